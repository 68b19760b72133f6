//! Opening a GPU.
#[cfg(not(feature = "cuda"))]
use crate::error::Error;
use crate::error::Result;
use candle_core::Device;

/// Opens GPU number `n`: one stream for everything, freed memory kept by the process.
///
/// # Errors
/// This build has no CUDA, a library of CUDA is missing, or there is no such GPU; the message says which. Nothing
/// panics on a machine without CUDA.
pub fn open(n: usize) -> Result<Device> {
    #[cfg(feature = "cuda")]
    {
        super::driver::open(n)
    }
    #[cfg(not(feature = "cuda"))]
    {
        Err(Error::Device {
            device: format!("cuda:{n}"),
            reason: "this program was built without CUDA\nhint: use `--device cpu`, or build with `cargo xtask cuda`".into(),
        })
    }
}

/// Lets matrix products of f32 tensors on GPUs use TF32 (10-bit mantissas). Off unless called: it changes results, so
/// whoever turns it on must record it. Applies to the whole process.
///
/// # Errors
/// This build has no CUDA.
pub fn set_tf32(on: bool) -> Result<()> {
    #[cfg(feature = "cuda")]
    {
        candle_core::cuda_backend::set_gemm_reduced_precision_f32(on);
        Ok(())
    }
    #[cfg(not(feature = "cuda"))]
    {
        match on {
            false => Ok(()),
            true => Err(Error::argument("tf32", "a build with CUDA", "one without")),
        }
    }
}
