//! The CUDA compiler from PyPI, in a private virtual environment: 104 MB to download, 271 MB on disk.
//!
//! The wheels hold the real `nvcc`. They are pinned by version and SHA-256, and installed without their
//! dependencies, which are not pinned and would bring parts of a newer release.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Either the compiler's folder, or why there is none.
pub(super) enum Outcome {
    /// The folder with `bin/nvcc`.
    Ready(PathBuf),
    /// What is missing on this machine, with a hint.
    Unavailable(String),
}

/// Makes the environment below `place` unless it is there and whole.
pub(super) fn install(place: &Path) -> Result<Outcome> {
    let venv = place.join("venv");
    // written last, so that an interrupted installation is repeated
    let done = venv.join("facebench-requirements.txt");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == REQUIREMENTS)
        && let Some(home) = find(&venv)
    {
        return Ok(Outcome::Ready(home));
    }
    eprintln!("installing the CUDA compiler from PyPI into {} (104 MB)", venv.display());
    if let Outcome::Unavailable(why) = environment(&venv)? {
        let other = "or name an installed CUDA toolkit with --cuda-home";
        return Ok(Outcome::Unavailable(format!("{why}, {other}")));
    }
    let wanted = venv.join("wanted.txt");
    std::fs::write(&wanted, REQUIREMENTS).with_context(|| format!("writing {}", wanted.display()))?;
    let pip = output(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(&wanted),
    )
    .context("starting pip")?;
    if !pip.status.success() {
        return Ok(unavailable(
            "pip could not install the CUDA compiler",
            &pip,
            "this step needs the network (PyPI); without it, name an installed CUDA toolkit with --cuda-home",
        ));
    }
    let Some(home) = find(&venv) else {
        return Ok(Outcome::Unavailable(format!("{}: the wheels brought no nvcc", venv.display())));
    };
    std::fs::rename(&wanted, &done).with_context(|| format!("writing {}", done.display()))?;
    Ok(Outcome::Ready(home))
}

/// Makes a virtual environment, empty also if there was one.
pub(super) fn environment(venv: &Path) -> Result<Outcome> {
    Ok(match output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv)) {
        Ok(made) if made.status.success() => Outcome::Ready(venv.to_owned()),
        Ok(made) => unavailable(
            "python3 cannot make a virtual environment",
            &made,
            "on Debian, `apt-get install python3-venv`",
        ),
        Err(error) => Outcome::Unavailable(format!(
            "python3 cannot be started: {error}\nhint: install Python 3.9 or newer"
        )),
    })
}

pub(super) fn output(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(std::process::Stdio::null()).output()
}

pub(super) fn unavailable(what: &str, output: &Output, hint: &str) -> Outcome {
    let said = [&output.stderr[..], &output.stdout[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim();
    Outcome::Unavailable(format!("{what}: {last}\nhint: {hint}"))
}

/// The toolkit's folder inside the environment.
fn find(venv: &Path) -> Option<PathBuf> {
    let pythons = std::fs::read_dir(venv.join("lib")).ok()?;
    pythons
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/nvidia/cu13")))
        .find(|home| home.join("bin/nvcc").is_file() && home.join("nvvm/bin/cicc").is_file())
}
