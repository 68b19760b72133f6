//! Launching a kernel on tensors: addresses, arguments, and the stand-in that tests use for the driver.
use crate::error::{Error, Result};
use candle_core::backend::BackendDevice as _;
use candle_core::{CpuStorage, DType, Device, Shape, Storage, Tensor};

/// Threads of a block wherever nothing else is said.
pub(super) const BLOCK: usize = 128;

/// Shared memory every GPU grants without asking, bytes.
pub(super) const SHARED: usize = 48 * 1024;

/// One argument of a kernel.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    /// A contiguous tensor, read or written.
    T(&'a Tensor),
    /// A fresh result.
    Out(&'a Fresh),
    /// No tensor.
    Null,
    /// `int`
    I(usize),
    /// `long long`
    L(usize),
    /// `unsigned long long`
    U(u64),
    /// `float`
    F(f64),
    /// `double`
    D(f64),
}

/// Memory of a result that has no tensor yet.
pub(super) struct Fresh {
    pub(super) storage: Storage,
    pub(super) shape: Shape,
}

impl Fresh {
    /// Uninitialised memory on the device of `like`; the launch that follows writes all of it.
    pub(super) fn new(like: &Tensor, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        // SAFETY: plain numbers; whoever asks for fresh memory writes it before anything reads it.
        let storage = unsafe {
            match like.device() {
                Device::Cpu => Storage::Cpu(candle_core::cpu_backend::CpuDevice.alloc_uninit(&shape, dtype)?),
                Device::Cuda(device) => Storage::Cuda(device.alloc_uninit(&shape, dtype)?),
                Device::Metal(_) => return Err(Error::argument("cuda", "a CUDA device", "a Metal device")),
            }
        };
        Ok(Self { storage, shape })
    }
}

/// An uninitialised tensor on the device of `like`; the launch that follows writes all of it.
pub(super) fn empty(like: &Tensor, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    // SAFETY: plain numbers, written before they are read.
    Ok(unsafe { Tensor::empty(shape, dtype, like.device()) }?)
}

/// Whether kernels can work on this tensor.
pub(super) fn reaches(t: &Tensor) -> bool {
    #[cfg(test)]
    if super::tests::emulated() {
        return t.device().is_cpu();
    }
    t.device().is_cuda()
}

/// The shape of a launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Blocks.
    pub(super) x: u32,
    /// Blocks in the second dimension.
    pub(super) y: u32,
    /// Threads of a block.
    pub(super) block: u32,
    /// Shared memory of a block, bytes.
    pub(super) shared: u32,
}

impl Grid {
    /// `blocks` blocks.
    pub(super) fn blocks(blocks: usize) -> Self {
        Self { x: number(blocks), y: 1, block: BLOCK as u32, shared: 0 }
    }

    /// Enough blocks for `n` elements; kernels of this kind go round, so a limit does no harm.
    pub(super) fn elements(n: usize) -> Self {
        Self { block: 256, ..Self::blocks(n.div_ceil(256).min(4096)) }
    }

    /// With a second dimension.
    pub(super) fn by(self, y: usize) -> Self {
        Self { y: number(y), ..self }
    }

    /// With `bytes` of shared memory.
    pub(super) fn shared(self, bytes: usize) -> Self {
        Self { shared: number(bytes), ..self }
    }
}

/// What does not fit becomes too large for any launch, which is refused.
fn number(v: usize) -> u32 {
    u32::try_from(v).unwrap_or(u32::MAX)
}

/// Largest value of a kernel's `int`.
const INT: usize = i32::MAX as usize;

/// Launches `{kernel}_{type}`, or `kernel` itself where there is no type. An empty grid is no launch.
pub(super) fn launch(kernel: &str, dtype: Option<DType>, grid: Grid, args: &[Arg]) -> Result<()> {
    let name = match dtype {
        None => kernel.to_owned(),
        Some(DType::F32) => format!("{kernel}_f32"),
        Some(DType::BF16) => format!("{kernel}_bf16"),
        Some(other) => return Err(Error::argument("cuda", "f32 or bf16", format!("{other:?} for {kernel}"))),
    };
    if grid.x == 0 || grid.y == 0 {
        return Ok(());
    }
    if grid.x > i32::MAX as u32 || grid.y > 65_535 || grid.block > 1024 || grid.shared as usize > SHARED {
        let got = format!("{grid:?} for {kernel}");
        return Err(Error::argument("cuda", "a launch within the limits of the device", got));
    }
    let mut device = None;
    let mut words = Vec::with_capacity(args.len());
    for arg in args {
        words.push(match *arg {
            Arg::T(t) => {
                device = Some(t.device().clone());
                at(t)?
            }
            Arg::Out(fresh) => address(&fresh.storage, 0)?,
            Arg::Null => 0,
            Arg::I(v) if v > INT => {
                return Err(Error::argument(
                    "cuda",
                    format!("sizes up to {INT}"),
                    format!("{v} for {kernel}"),
                ));
            }
            Arg::I(v) | Arg::L(v) => v as u64,
            Arg::U(v) => v,
            Arg::F(v) => u64::from((v as f32).to_bits()),
            Arg::D(v) => v.to_bits(),
        });
    }
    match device {
        #[cfg(test)]
        Some(Device::Cpu) if super::tests::emulated() => super::tests::emulate(&name, grid, &mut words),
        #[cfg(feature = "cuda")]
        Some(Device::Cuda(device)) => {
            // SAFETY: each caller states the kernel's parameters next to the call, with the sizes of its tensors.
            Ok(unsafe { super::driver::launch(&device, &name, grid, &words) }?)
        }
        _ => Err(Error::argument("cuda", "a tensor on a CUDA device", format!("none for {name}, {grid:?}"))),
    }
}

/// Address of the first value of a contiguous tensor.
pub(super) fn at(t: &Tensor) -> Result<u64> {
    if !t.is_contiguous() {
        return Err(Error::argument("cuda", "contiguous tensors", format!("{:?}", t.layout())));
    }
    let (storage, layout) = t.storage_and_layout();
    address(&storage, layout.start_offset())
}

/// The raw stream of a device, whose context becomes current on this thread; 0 for the CPU, which has none.
pub(super) fn stream(device: &Device) -> Result<u64> {
    match device {
        Device::Cpu => Ok(0),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => Ok(super::driver::stream(device)?),
        _ => Err(Error::argument("cuda", "a device this build can reach", "another device")),
    }
}

/// Address of element `offset` of a storage.
pub(super) fn address(storage: &Storage, offset: usize) -> Result<u64> {
    match storage {
        #[cfg(feature = "cuda")]
        Storage::Cuda(cuda) => Ok(super::driver::address(cuda, offset)?),
        Storage::Cpu(cpu) => {
            let (base, size) = match cpu {
                CpuStorage::F32(v) => (v.as_ptr() as u64, 4),
                CpuStorage::BF16(v) => (v.as_ptr() as u64, 2),
                CpuStorage::U32(v) => (v.as_ptr() as u64, 4),
                CpuStorage::F64(v) => (v.as_ptr() as u64, 8),
                _ => return Err(Error::argument("cuda", "f32, bf16, u32 or f64 values", "another type")),
            };
            Ok(base + (offset * size) as u64)
        }
        _ => Err(Error::argument("cuda", "a tensor this build can reach", "another device")),
    }
}
