//! `cargo demo`: build the program with every plugin, then run its demo.
//!
//! An alias can only start a cargo program, so this one builds the release (as `cargo build --release` does, in
//! the same profile, so nothing is compiled twice) and hands over. `cargo xtask build` only builds;
//! `cargo xtask cuda` builds for NVIDIA GPUs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cuda;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((task, rest)) if task == "demo" => build().and_then(|()| facebench("demo", rest)),
        Some((task, [])) if task == "build" => build().map(|()| 0),
        Some((task, rest)) if task == "cuda" => root().and_then(|root| cuda::run(&root, rest)),
        _ => {
            eprintln!(
                "usage: cargo xtask build | cargo xtask cuda [--help] | cargo demo [ARGUMENTS of `facebench demo`]"
            );
            Ok(2)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The workspace's root: two folders above this crate.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("the workspace has a root")?.to_owned())
}

/// The cargo that runs us.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `cargo build --release` of the default members.
fn build() -> Result<()> {
    let status = Command::new(cargo())
        .args(["build", "--release", "--locked"])
        .current_dir(root()?)
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// Hands over to the built program, so that signals reach it and its exit code is ours.
fn facebench(command: &str, rest: &[String]) -> Result<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root()?.join("target"), PathBuf::from);
    let program = target.join("release").join(format!("facebench{}", std::env::consts::EXE_SUFFIX));
    let mut call = Command::new(&program);
    call.arg(command).args(rest);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        Err(call.exec()).with_context(|| format!("starting {}", program.display()))
    }
    #[cfg(not(unix))]
    {
        let status = call.status().with_context(|| format!("starting {}", program.display()))?;
        Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(130))
    }
}
