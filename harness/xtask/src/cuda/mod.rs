//! `cargo xtask cuda`: the program with CUDA, from a machine that has neither CUDA nor a GPU.
//!
//! Three steps, each repeatable and safe to interrupt, all below `target/cuda`: the compiler from PyPI ([`nvcc`]),
//! two derived crates ([`patch`]), and a workspace that is ours with those two crates in it ([`workspace`]), built
//! with its own target directory. The CPU build and the committed `Cargo.lock` are never touched.
//!
//! The program built this way opens the CUDA libraries when it starts using a GPU, so it also runs where there are
//! none; stock candle would link them and not start at all.

mod cudnn;
mod nvcc;
mod patch;
mod test;
mod workspace;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Exit code when the compiler cannot be had here: no Python, no network. CI skips on it.
pub(crate) const NO_COMPILER: u8 = 3;

const USAGE: &str = "usage: cargo xtask cuda [--check | --test | --cudnn] [--cuda-home DIR]

Builds the program and every plugin with CUDA into target/cuda/build/release. No CUDA and no GPU are needed for it.

  --check           only check: all Rust code against the CUDA bindings, all kernels with the real compiler
  --test            build, then run it on a GPU made of software: every operation, and a whole experiment
  --cudnn           only the library for bf16 attention by cuDNN, beside the program (459 MB to download once)
  --cuda-home DIR   an installed CUDA toolkit to use instead of the compiler from PyPI

Example: cargo xtask cuda && target/cuda/build/release/facebench selftest --device auto";

/// What is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Build,
    Check,
    Test,
    Cudnn,
}

/// What was asked for.
struct Arguments {
    what: What,
    cuda_home: Option<PathBuf>,
}

/// Runs the command; the result is the exit code.
pub(crate) fn run(root: &Path, words: &[String]) -> Result<u8> {
    let Some(arguments) = parse(words)? else {
        // a closed pipe is no reason to panic
        let _ = writeln!(std::io::stdout(), "{USAGE}");
        return Ok(0);
    };
    if !cfg!(target_os = "linux") {
        bail!("CUDA builds are made on Linux only");
    }
    let place = root.join("target/cuda");
    std::fs::create_dir_all(&place).with_context(|| format!("creating {}", place.display()))?;
    let home = match arguments.cuda_home {
        Some(home) if home.join("bin/nvcc").is_file() => home,
        Some(home) => bail!("{}: no bin/nvcc in this folder", home.display()),
        None => match nvcc::install(&place)? {
            nvcc::Outcome::Ready(home) => home,
            nvcc::Outcome::Unavailable(why) => {
                eprintln!("error: {why}");
                return Ok(NO_COMPILER);
            }
        },
    };
    if arguments.what == What::Cudnn {
        return finish(cudnn::build(root, &place, &home)?);
    }
    patch::derive(root, &place)?;
    let workspace = workspace::mirror(root, &place)?;
    build(&workspace, &place, &home, arguments.what == What::Check)?;
    if arguments.what == What::Test {
        test::run(root, &place)?;
    }
    if arguments.what != What::Check {
        let _ = writeln!(std::io::stdout(), "{}", place.join("build/release/facebench").display());
    }
    Ok(0)
}

/// Names what was built, or says what it takes.
fn finish(outcome: nvcc::Outcome) -> Result<u8> {
    match outcome {
        nvcc::Outcome::Ready(file) => {
            let _ = writeln!(std::io::stdout(), "{}", file.display());
            Ok(0)
        }
        nvcc::Outcome::Unavailable(why) => {
            eprintln!("error: {why}");
            Ok(NO_COMPILER)
        }
    }
}

fn parse(words: &[String]) -> Result<Option<Arguments>> {
    let mut arguments = Arguments { what: What::Build, cuda_home: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--check" | "--test" | "--cudnn" if arguments.what != What::Build => {
                bail!(
                    "cuda: give one of --check, --test and --cudnn
{USAGE}"
                )
            }
            "--check" => arguments.what = What::Check,
            "--test" => arguments.what = What::Test,
            "--cudnn" => arguments.what = What::Cudnn,
            "--cuda-home" => {
                let home = words.next().context("--cuda-home: a folder must follow")?;
                arguments.cuda_home =
                    Some(std::path::absolute(home).with_context(|| format!("--cuda-home {home}"))?);
            }
            "--help" | "-h" => return Ok(None),
            other => bail!("cuda: unexpected {other:?}\n{USAGE}"),
        }
    }
    Ok(Some(arguments))
}

/// Builds or checks the mirrored workspace with the compiler at `home`.
fn build(workspace: &Path, place: &Path, home: &Path, check: bool) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut path = home.join("bin").into_os_string();
    if let Some(others) = std::env::var_os("PATH") {
        path.push(":");
        path.push(others);
    }
    let mut cargo = Command::new(crate::cargo());
    cargo.arg(if check { "check" } else { "build" }).args(["--release", "--locked"]);
    if check {
        cargo.args(["--package", "facebench"]);
    } else {
        cargo.args(["--workspace", "--exclude", "xtask", "--exclude", "facebench-tests"]);
    }
    cargo
        .args(["--features", "facebench/cuda"])
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", place.join("build"))
        .env("PATH", path)
        .env("CUDA_HOME", home)
        .env("NVCC", home.join("bin/nvcc"))
        // PTX for compute capability 8.0: the driver translates it for every GPU from A100 on
        .env("CUDA_COMPUTE_CAP", "80")
        // the bindings' CUDA release, otherwise read from an installed toolkit
        .env("CUDARC_CUDA_VERSION", "13000")
        .env("CUDAFORGE_THREADS", threads.to_string());
    let status = cargo.status().context("starting cargo")?;
    if !status.success() {
        bail!("the CUDA {} failed", if check { "check" } else { "build" });
    }
    Ok(())
}
