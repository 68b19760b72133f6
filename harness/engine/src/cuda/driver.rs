//! The part that talks to the CUDA driver: opening a device, addresses, launches.
//!
//! candle's bindings open the CUDA libraries when first used and panic where one is missing, so their presence is
//! tested before anything else. One real stream is made: candle's default is a stream per host thread, between which
//! nothing is ordered. With a single stream per-tensor events protect nothing and are turned off.
use super::launch::Grid;
use crate::error::{Error, Result};
use candle_core::backend::BackendDevice as _;
use candle_core::cuda_backend::cudarc::driver::{
    DevicePtr as _, LaunchConfig, PushKernelArg as _, result, sys,
};
use candle_core::cuda_backend::{CudaStorageSlice as Slice, WrapErr as _, cudarc};
use candle_core::{CudaDevice, CudaStorage, Device, bail};

/// All kernels, translated by the driver when the first of them is launched.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

pub(super) fn open(n: usize) -> Result<Device> {
    let fail = |reason: String| Error::Device { device: format!("cuda:{n}"), reason };
    // SAFETY: these only try to open a shared library.
    let (driver, blas, rand) = unsafe {
        (
            cudarc::driver::sys::is_culib_present(),
            cudarc::cublas::sys::is_culib_present(),
            cudarc::curand::sys::is_culib_present(),
        )
    };
    if !driver {
        return Err(fail(
            "no NVIDIA driver on this machine (libcuda.so.1 is not found)\nhint: use `--device cpu`".into(),
        ));
    }
    for (name, present) in [("libcublas", blas), ("libcurand", rand)] {
        if !present {
            return Err(fail(format!(
                "{name} is not found\nhint: put the folders of the CUDA 13 libraries into LD_LIBRARY_PATH, see docs/cuda.md"
            )));
        }
    }
    let plain = |e: candle_core::Error| {
        fail(format!("{}\nhint: `nvidia-smi` shows which devices the driver can use", first_line(&e)))
    };
    let device = CudaDevice::new_with_stream(n).map_err(plain)?;
    // SAFETY: everything happens on the one stream just made, in the order of the calls.
    unsafe { device.disable_event_tracking() };
    keep_memory(n).map_err(plain)?;
    device.synchronize().map_err(plain)?;
    Ok(Device::Cuda(device))
}

/// The driver's pool keeps what is freed; by default it returns everything to the system at each synchronisation.
fn keep_memory(n: usize) -> candle_core::Result<()> {
    let mut all = u64::MAX;
    let ordinal = i32::try_from(n).map_err(candle_core::Error::wrap)?;
    // SAFETY: the device exists, and the attribute is a 64-bit number.
    unsafe {
        let pool = result::device::get_default_mem_pool(result::device::get(ordinal).w()?).w()?;
        result::mem_pool::set_attribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut all).cast(),
        )
        .w()
    }
}

/// The message without a backtrace.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or("unknown error").to_owned()
}

/// Address of element `offset` of a storage.
pub(super) fn address(storage: &CudaStorage, offset: usize) -> candle_core::Result<u64> {
    let stream = storage.device.cuda_stream();
    // the guards returned beside the addresses record events, which are off
    let (base, size) = match &storage.slice {
        Slice::F32(s) => (s.device_ptr(&stream).0, 4),
        Slice::BF16(s) => (s.device_ptr(&stream).0, 2),
        Slice::U32(s) => (s.device_ptr(&stream).0, 4),
        Slice::F64(s) => (s.device_ptr(&stream).0, 8),
        _ => bail!("expected f32, bf16, u32 or f64 values on the device"),
    };
    Ok(base + (offset * size) as u64)
}

/// The device's one stream, for libraries that are not candle's; its context becomes current on this thread.
pub(super) fn stream(device: &CudaDevice) -> candle_core::Result<u64> {
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    Ok(stream.cu_stream() as u64)
}

/// Launches `kernel` with arguments of 8 bytes each (shorter ones are read from the first bytes).
///
/// # Safety
/// The arguments are those of the kernel, and their memory is as large as the launch needs.
pub(super) unsafe fn launch(
    device: &CudaDevice,
    kernel: &str,
    grid: Grid,
    arguments: &[u64],
) -> candle_core::Result<()> {
    let function = device.get_or_load_custom_func(kernel, "facebench", PTX)?;
    let mut call = function.builder();
    for argument in arguments {
        // the driver copies as many bytes as the kernel's parameter has; numbers are stored little endian
        call.arg(argument);
    }
    let shape = LaunchConfig {
        grid_dim: (grid.x, grid.y, 1),
        block_dim: (grid.block, 1, 1),
        shared_mem_bytes: grid.shared,
    };
    // SAFETY: promised by the caller.
    unsafe { call.launch(shape) }.w()?;
    Ok(())
}
