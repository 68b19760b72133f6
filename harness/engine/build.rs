//! Compiles the CUDA kernels to PTX, only with the feature `cuda`. The compiler is `$NVCC`, else `nvcc` on the path.
//!
//! PTX for compute capability 8.0 is translated by the driver for every GPU from A100 on, once, and kept in its cache.
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=src/cuda/kernels");
    println!("cargo:rerun-if-env-changed=NVCC");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return ExitCode::SUCCESS;
    }
    let nvcc = std::env::var_os("NVCC").unwrap_or_else(|| "nvcc".into());
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default().join("kernels.ptx");
    let status = Command::new(&nvcc)
        .args([
            "-std=c++17",
            "-O3",
            "--ptx",
            "-gencode=arch=compute_80,code=compute_80",
            "-Werror",
            "all-warnings",
        ])
        .arg("-o")
        .arg(&out)
        .arg("src/cuda/kernels/kernels.cu")
        .status();
    match status {
        Ok(status) if status.success() => return ExitCode::SUCCESS,
        Ok(status) => println!("cargo:error=the CUDA compiler failed on the engine's kernels: {status}"),
        Err(error) => {
            println!("cargo:error={}: {error}; `cargo xtask cuda` brings the CUDA compiler", nvcc.display());
        }
    }
    ExitCode::FAILURE
}
