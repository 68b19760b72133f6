//! `cargo xtask cuda --cudnn`: the library that attention by cuDNN goes through, beside the CUDA program.
//!
//! Its source is one C++ file over NVIDIA's header-only frontend. The headers come in PyPI wheels, pinned by version
//! and SHA-256; the wheel of cuDNN is 366 MB for 0.4 MB of headers, so the wheels are removed once the headers are out.
//! cuDNN is opened at run time: neither it nor a GPU is needed here, and nothing else is built.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::nvcc::{Outcome, output, unavailable};

const REQUIREMENTS: &str = include_str!("cudnn-requirements.txt");

/// Copies every header of the wheels in the first folder to the second.
const UNPACK: &str = "
import pathlib, sys, zipfile
wheels, headers = map(pathlib.Path, sys.argv[1:])
for wheel in sorted(wheels.glob('*.whl')):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(('.h', '.hpp')):
                archive.extract(name, headers)
";

/// Folders below the headers that hold them.
const FOLDERS: [&str; 3] = ["include", "nvidia/cudnn/include", "nvidia/cu13/include"];

/// Builds the library below `place` with the CUDA headers at `home`.
pub(super) fn build(root: &Path, place: &Path, home: &Path) -> Result<Outcome> {
    let headers = match headers(place)? {
        Outcome::Ready(headers) => headers,
        missing @ Outcome::Unavailable(_) => return Ok(missing),
    };
    let source = root.join("harness/engine/cudnn");
    let release = place.join("build/release");
    std::fs::create_dir_all(&release).with_context(|| format!("creating {}", release.display()))?;
    let file = release.join("libfacebench_cudnn.so");
    // renamed when whole: a program that has the old one open keeps it
    let part = release.join(format!("libfacebench_cudnn.so.{}", std::process::id()));
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    eprintln!("compiling {} (a minute or two)", file.display());
    let mut call = Command::new(&compiler);
    // the headers of others are not ours to warn about; the C++ library goes in, since clusters have older ones
    call.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-s", "-static-libstdc++", "-static-libgcc"]);
    for folder in FOLDERS {
        call.arg("-isystem").arg(headers.join(folder));
    }
    let mut exports = std::ffi::OsString::from("-Wl,--version-script=");
    exports.push(source.join("sdpa.map"));
    call.arg("-isystem").arg(home.join("include")).arg(exports);
    call.arg("-o").arg(&part).arg(source.join("sdpa.cpp")).arg("-ldl");
    let status = match call.status() {
        Ok(status) => status,
        Err(error) => {
            return Ok(Outcome::Unavailable(format!(
                "{} cannot be started: {error}\nhint: install a C++ compiler (`apt-get install g++`), or name one with CXX",
                compiler.display()
            )));
        }
    };
    if !status.success() {
        let _ = std::fs::remove_file(&part);
        bail!("{} failed on {}", compiler.display(), source.join("sdpa.cpp").display());
    }
    std::fs::rename(&part, &file).with_context(|| format!("writing {}", file.display()))?;
    Ok(Outcome::Ready(file))
}

/// Fetches the headers into `place/cudnn/headers` unless they are there and whole.
fn headers(place: &Path) -> Result<Outcome> {
    let folder = place.join("cudnn");
    let headers = folder.join("headers");
    // inside the folder, which is renamed when whole, so that an interrupted step is repeated
    let done = headers.join("requirements.txt");
    if std::fs::read_to_string(done).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(Outcome::Ready(headers));
    }
    let part = folder.join("headers.part");
    let (wheels, venv) = (part.join("wheels"), part.join("venv"));
    remove(&headers)?;
    remove(&part)?;
    std::fs::create_dir_all(&wheels).with_context(|| format!("creating {}", wheels.display()))?;
    let wanted = part.join("requirements.txt");
    std::fs::write(&wanted, REQUIREMENTS).with_context(|| format!("writing {}", wanted.display()))?;
    eprintln!(
        "fetching the cuDNN headers from PyPI into {}: 459 MB to download, of which 4 MB are kept",
        headers.display()
    );
    if let missing @ Outcome::Unavailable(_) = super::nvcc::environment(&venv)? {
        return Ok(missing);
    }
    let python = venv.join("bin/python");
    let architecture = std::env::consts::ARCH;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"])
        // no cache: the wheels are not needed again
        .args(["--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary", ":all:"])
        // headers are the same for every Python, but the frontend has a wheel for each: one is pinned
        .args(["--implementation", "cp", "--python-version", "311", "--abi", "cp311", "--abi", "none"]);
    for system in ["manylinux_2_28", "manylinux_2_27", "manylinux2014"] {
        pip.arg("--platform").arg(format!("{system}_{architecture}"));
    }
    let pip =
        output(pip.arg("--dest").arg(&wheels).arg("--requirement").arg(&wanted)).context("starting pip")?;
    if !pip.status.success() {
        return Ok(unavailable(
            "pip could not fetch the cuDNN headers",
            &pip,
            "this step needs the network (PyPI)",
        ));
    }
    let unpacked = output(Command::new(&python).args(["-c", UNPACK]).args([&wheels, &part]))
        .context("starting python")?;
    if !unpacked.status.success() {
        return Ok(unavailable("the wheels cannot be unpacked", &unpacked, "is the disk full?"));
    }
    for (inside, file) in FOLDERS.into_iter().zip(["cudnn_frontend.h", "cudnn.h", "nvrtc.h"]) {
        if !part.join(inside).join(file).is_file() {
            bail!("the wheels brought no {inside}/{file}");
        }
    }
    remove(&wheels)?;
    remove(&venv)?;
    std::fs::rename(&part, &headers).with_context(|| format!("writing {}", headers.display()))?;
    Ok(Outcome::Ready(headers))
}

/// Removes a folder that may not be there.
fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_is_pinned_by_version_and_hash() {
        let lines: Vec<&str> = REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).collect();
        let (hashes, names): (Vec<&str>, Vec<&str>) =
            lines.iter().partition(|line| line.contains("--hash=sha256:"));
        assert_eq!((names.len(), hashes.len()), (FOLDERS.len(), 2 * FOLDERS.len()));
        assert!(names.iter().all(|name| name.contains("==")));
    }

    #[test]
    fn whole_headers_are_taken_without_the_network() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("cudnn/headers");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("requirements.txt"), REQUIREMENTS).unwrap();
        let Outcome::Ready(found) = headers(place.path()).unwrap() else { panic!("not ready") };
        assert_eq!(found, folder);
    }
}
