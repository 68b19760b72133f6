//! The CUDA driver's entry points: one device, everything done when the call returns.
//!
//! Names, arguments and error codes are those of the CUDA driver API 13.0. Where the driver would refuse (an empty
//! allocation, a launch beyond the device's limits, a copy outside of memory) this one does too, and says why on stderr.
use crate::exec::{self, Shape};
use crate::memory;
use crate::ptx::{Kernel, Module};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// `CUresult`
type Code = c_int;
const OK: Code = 0;
const INVALID_VALUE: Code = 1;
const OUT_OF_MEMORY: Code = 2;
const INVALID_DEVICE: Code = 101;
const INVALID_PTX: Code = 218;
const NOT_FOUND: Code = 500;
const ILLEGAL_ADDRESS: Code = 700;
const NOT_SUPPORTED: Code = 801;

/// Device memory it claims to have, bytes.
const TOTAL: usize = 8 << 30;
/// Threads of a block, at most.
const THREADS: u32 = 1024;
/// Shared memory of a block without asking for more, bytes.
const SHARED: usize = 48 * 1024;

/// Whether each launch is said on stderr.
fn trace() -> bool {
    static TRACE: OnceLock<bool> = OnceLock::new();
    *TRACE.get_or_init(|| std::env::var_os("SOFTGPU_TRACE").is_some())
}

/// Prints why, and returns the code.
pub(crate) fn refuse(code: Code, why: &str) -> Code {
    eprintln!("softgpu: {}", why.trim_start_matches("softgpu: "));
    code
}

/// Writes through a pointer the caller gave.
///
/// # Safety
/// `to` is null or may be written.
unsafe fn give<T>(to: *mut T, value: T) -> Code {
    if to.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: promised by the caller.
    unsafe { to.write(value) };
    OK
}

/// A handle that stands for the one context, stream or pool there is.
fn handle() -> *mut c_void {
    static ONE: u64 = 0;
    (&raw const ONE).cast_mut().cast()
}

/// Number of kernels run so far.
static LAUNCHES: AtomicU64 = AtomicU64::new(0);

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is promised by the entry point's contract")]
mod entries {
    use super::*;

    crate::entry! {
        fn cuInit(flags: c_uint) { if flags == 0 { OK } else { INVALID_VALUE } }
        fn cuDeviceGetCount(count: *mut c_int) { unsafe { give(count, 1) } }
        fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
            if ordinal == 0 { unsafe { give(device, 0) } } else { INVALID_DEVICE }
        }
        fn cuDeviceGetName(name: *mut c_char, length: c_int, _device: c_int) {
            let text = c"software GPU".to_bytes_with_nul();
            if name.is_null() || (length as usize) < text.len() {
                return INVALID_VALUE;
            }
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, text.len()) };
            OK
        }
        fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) { unsafe { give(bytes, TOTAL) } }
        fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) {
            // CUdevice_attribute
            let known = match attribute {
                1 => THREADS as c_int,
                2 | 3 => 1024,
                4 => 64,
                5 => i32::MAX,
                6 | 7 => 65_535,
                8 => SHARED as c_int,
                10 => 32,
                16 => 16,   // multiprocessors
                75 => 9,    // compute capability
                76 => 0,
                115 => 1,   // memory pools
                _ => return refuse(INVALID_VALUE, &format!("device attribute {attribute} is not known here")),
            };
            unsafe { give(value, known) }
        }
        fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _device: c_int) { unsafe { give(context, handle()) } }
        fn cuDevicePrimaryCtxRelease_v2(_device: c_int) { OK }
        fn cuCtxSetCurrent(_context: *mut c_void) { OK }
        fn cuCtxGetCurrent(context: *mut *mut c_void) { unsafe { give(context, handle()) } }
        fn cuCtxSynchronize() { OK }
        fn cuDeviceGetDefaultMemPool(pool: *mut *mut c_void, _device: c_int) { unsafe { give(pool, handle()) } }
        fn cuMemPoolSetAttribute(_pool: *mut c_void, _attribute: c_int, value: *mut c_void) {
            if value.is_null() { INVALID_VALUE } else { OK }
        }
        fn cuStreamCreate(stream: *mut *mut c_void, _flags: c_uint) { unsafe { give(stream, handle()) } }
        fn cuStreamDestroy_v2(_stream: *mut c_void) { OK }
        fn cuStreamSynchronize(_stream: *mut c_void) { OK }
        fn cuStreamWaitEvent(_stream: *mut c_void, _event: *mut c_void, _flags: c_uint) { OK }
        fn cuStreamIsCapturing(_stream: *mut c_void, status: *mut c_int) { unsafe { give(status, 0) } }
        fn cuEventCreate(event: *mut *mut c_void, _flags: c_uint) {
            unsafe { give(event, Box::into_raw(Box::new(Instant::now())).cast()) }
        }
        fn cuEventRecord(event: *mut c_void, _stream: *mut c_void) {
            unsafe { give(event.cast::<Instant>(), Instant::now()) }
        }
        fn cuEventQuery(_event: *mut c_void) { OK }
        fn cuEventSynchronize(_event: *mut c_void) { OK }
        fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) {
            if start.is_null() || end.is_null() {
                return INVALID_VALUE;
            }
            let (start, end) = unsafe { (*start.cast::<Instant>(), *end.cast::<Instant>()) };
            unsafe { give(milliseconds, end.duration_since(start).as_secs_f32() * 1e3) }
        }
        fn cuEventDestroy_v2(event: *mut c_void) {
            if !event.is_null() {
                drop(unsafe { Box::from_raw(event.cast::<Instant>()) });
            }
            OK
        }
        fn cuMemAlloc_v2(at: *mut u64, bytes: usize) {
            if bytes == 0 {
                return refuse(INVALID_VALUE, "an allocation of no bytes");
            }
            match memory::allocate(bytes) {
                Some(address) if memory::usage() <= TOTAL => unsafe { give(at, address) },
                _ => OUT_OF_MEMORY,
            }
        }
        fn cuMemAllocAsync(at: *mut u64, bytes: usize, _stream: *mut c_void) {
            // unlike cuMemAlloc, a memory pool takes no bytes for an answer
            if bytes == 0 { unsafe { give(at, 0) } } else { unsafe { cuMemAlloc_v2(at, bytes) } }
        }
        fn cuMemFree_v2(at: u64) {
            if memory::free(at) { OK } else { refuse(INVALID_VALUE, &format!("freeing {at:#x}, which is not allocated")) }
        }
        fn cuMemFreeAsync(at: u64, _stream: *mut c_void) { if at == 0 { OK } else { unsafe { cuMemFree_v2(at) } } }
        fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
            unsafe { give(free, TOTAL.saturating_sub(memory::usage())).max(give(total, TOTAL)) }
        }
        fn cuMemHostAlloc(at: *mut *mut c_void, bytes: usize, _flags: c_uint) {
            match memory::allocate(bytes) {
                Some(address) => unsafe { give(at, address as *mut c_void) },
                None => OUT_OF_MEMORY,
            }
        }
        fn cuMemFreeHost(at: *mut c_void) { unsafe { cuMemFree_v2(at as u64) } }
        fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, _stream: *mut c_void) {
            unsafe { copy(to as *mut u8, from.cast(), bytes, [to, 0]) }
        }
        fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, _stream: *mut c_void) {
            unsafe { copy(to.cast(), from as *const u8, bytes, [from, 0]) }
        }
        fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: *mut c_void) {
            unsafe { copy(to as *mut u8, from as *const u8, bytes, [from, to]) }
        }
        fn cuMemsetD8Async(to: u64, value: u8, bytes: usize, _stream: *mut c_void) {
            if let Err(why) = inside(to, bytes, "a memset") {
                return refuse(INVALID_VALUE, &why);
            }
            unsafe { (to as *mut u8).write_bytes(value, bytes) };
            OK
        }
        fn cuModuleLoadData(module: *mut *mut c_void, image: *const c_void) {
            let text = unsafe { CStr::from_ptr(image.cast()) };
            let loaded = text.to_str().map_err(|_| "the module is not PTX".to_owned())
                .and_then(|text| Module::new(text).map_err(|e| e.to_string()));
            match loaded {
                Ok(loaded) => {
                    for (at, bytes) in loaded.global_ranges() {
                        memory::lend(at, bytes);
                    }
                    // modules and kernels live as long as the process
                    unsafe { give(module, Box::into_raw(Box::new(loaded)).cast()) }
                }
                Err(why) => refuse(INVALID_PTX, &why),
            }
        }
        fn cuModuleUnload(_module: *mut c_void) { OK }
        fn cuModuleGetFunction(function: *mut *mut c_void, module: *mut c_void, name: *const c_char) {
            let (module, name) = unsafe { (&*module.cast::<Module>(), CStr::from_ptr(name)) };
            match module.kernel(&name.to_string_lossy()) {
                // the module keeps it
                Ok(kernel) => unsafe { give(function, Arc::as_ptr(&kernel).cast_mut().cast()) },
                Err(why @ crate::ptx::PtxError::NoKernel(_)) => refuse(NOT_FOUND, &why.to_string()),
                Err(why) => refuse(INVALID_PTX, &why.to_string()),
            }
        }
        fn cuFuncSetAttribute(_function: *mut c_void, attribute: c_int, _value: c_int) {
            refuse(NOT_SUPPORTED, &format!("function attribute {attribute} is not known here"))
        }
        fn cuLaunchKernel(
            function: *mut c_void,
            grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
            block_x: c_uint, block_y: c_uint, block_z: c_uint,
            shared: c_uint, _stream: *mut c_void,
            parameters: *mut *mut c_void, _extra: *mut *mut c_void,
        ) {
            let kernel = unsafe { &*function.cast::<Kernel>() };
            let shape = Shape {
                grid: [grid_x, grid_y, grid_z],
                block: [block_x, block_y, block_z],
                shared: shared as usize,
            };
            unsafe { launch(kernel, shape, parameters) }
        }
        fn cuGetErrorName(code: Code, text: *mut *const c_char) {
            let name = match code {
                OK => c"CUDA_SUCCESS",
                INVALID_VALUE => c"CUDA_ERROR_INVALID_VALUE",
                OUT_OF_MEMORY => c"CUDA_ERROR_OUT_OF_MEMORY",
                INVALID_DEVICE => c"CUDA_ERROR_INVALID_DEVICE",
                INVALID_PTX => c"CUDA_ERROR_INVALID_PTX",
                NOT_FOUND => c"CUDA_ERROR_NOT_FOUND",
                ILLEGAL_ADDRESS => c"CUDA_ERROR_ILLEGAL_ADDRESS",
                NOT_SUPPORTED => c"CUDA_ERROR_NOT_SUPPORTED",
                _ => return INVALID_VALUE,
            };
            unsafe { give(text, name.as_ptr()) }
        }
        fn cuGetErrorString(code: Code, text: *mut *const c_char) { unsafe { cuGetErrorName(code, text) } }
    }
}

fn inside(at: u64, bytes: usize, what: &str) -> Result<(), String> {
    let book = memory::book();
    match bytes == 0 || book.find(at, bytes).is_some() {
        true => Ok(()),
        false => Err(format!("{what} of {bytes} bytes at {at:#x}, {}", book.describe(at))),
    }
}

/// Copies after looking the device's addresses up (0: none).
///
/// # Safety
/// Host memory is valid for that many bytes.
unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize, device: [u64; 2]) -> Code {
    for at in device.into_iter().filter(|at| *at != 0) {
        if let Err(why) = inside(at, bytes, "a copy") {
            return refuse(INVALID_VALUE, &why);
        }
    }
    // SAFETY: device memory was looked up, host memory is promised by the caller. Ranges may overlap.
    unsafe { std::ptr::copy(from, to, bytes) };
    OK
}

/// Runs a kernel with the arguments the pointers lead to.
///
/// # Safety
/// `parameters` has a pointer to a value for each parameter of the kernel.
unsafe fn launch(kernel: &Kernel, shape: Shape, parameters: *mut *mut c_void) -> Code {
    let [gx, gy, gz] = shape.grid;
    let threads: u64 = shape.block.iter().map(|n| u64::from(*n)).product();
    let within = gx > 0 && gx <= i32::MAX as u32 && (1..=65_535).contains(&gy) && (1..=65_535).contains(&gz);
    if !within || threads == 0 || threads > u64::from(THREADS) || shape.block[2] > 64 {
        return refuse(INVALID_VALUE, &format!("{}: no GPU launches {shape:?}", kernel.name));
    }
    if kernel.shared + shape.shared > SHARED {
        let bytes = kernel.shared + shape.shared;
        return refuse(INVALID_VALUE, &format!("{}: {bytes} bytes of shared memory", kernel.name));
    }
    let size = kernel.parameters.last().map_or(0, |(offset, bytes)| offset + bytes);
    let mut values = vec![0u8; size];
    for (i, (offset, bytes)) in kernel.parameters.iter().enumerate() {
        // SAFETY: the caller gives a pointer for each parameter, to at least as many bytes as it has.
        unsafe {
            let from = *parameters.add(i);
            std::ptr::copy_nonoverlapping(from.cast::<u8>(), values[*offset..].as_mut_ptr(), *bytes);
        }
    }
    let number = LAUNCHES.fetch_add(1, Ordering::Relaxed);
    let begun = Instant::now();
    let result = exec::run(kernel, shape, &values);
    if trace() {
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        eprintln!(
            "softgpu: launch {number} {} {:?} {:?} {milliseconds:.2} ms",
            kernel.name, shape.grid, shape.block
        );
    }
    match result {
        Ok(()) => OK,
        Err(why) => refuse(ILLEGAL_ADDRESS, &why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_beyond_the_limits_are_refused() {
        let ptx = ".version 9.0\n.visible .entry k()\n{\n.shared .align 4 .b8 tile[40000];\nret;\n}\n";
        let kernel = Module::new(ptx).unwrap().kernel("k").unwrap();
        let code = |grid, block, shared| {
            // SAFETY: the kernel has no parameters.
            unsafe { launch(&kernel, Shape { grid, block, shared }, std::ptr::null_mut()) }
        };
        assert_eq!(code([3, 1, 1], [64, 2, 1], 9000), OK);
        assert_eq!(code([3, 1, 1], [64, 2, 1], 9153), INVALID_VALUE);
        assert_eq!(code([3, 65_536, 1], [64, 1, 1], 0), INVALID_VALUE);
        assert_eq!(code([0, 1, 1], [64, 1, 1], 0), INVALID_VALUE);
        assert_eq!(code([1, 1, 1], [1025, 1, 1], 0), INVALID_VALUE);
        assert_eq!(code([1, 1, 1], [1, 1, 65], 0), INVALID_VALUE);
    }

    #[test]
    fn copies_stay_inside_of_memory() {
        let at = memory::allocate(8).unwrap();
        let mut word = 7u64;
        // SAFETY: the host's side is a word.
        unsafe {
            assert_eq!(copy(at as *mut u8, (&raw const word).cast(), 8, [at, 0]), OK);
            assert_eq!(copy((&raw mut word).cast(), (at + 4) as *const u8, 8, [at + 4, 0]), INVALID_VALUE);
        }
        assert!(memory::free(at) && !memory::free(at));
    }
}
