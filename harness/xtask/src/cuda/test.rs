//! `cargo xtask cuda --test`: the CUDA build runs where there is no GPU.
//!
//! `facebench-softgpu` takes the place of the driver, cuBLAS and cuRAND: the program is the one a GPU machine gets, and
//! the kernels are the PTX in it, interpreted and checked. First every operation against its definition in f64, then
//! a whole experiment on both devices, in f32 and with bf16 activations, whose curves and scores must agree. Fused
//! attention is computed by the test double of cuDNN, whose memory is the processor's, as the software GPU's is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Pre-training, fine-tuning, an adapter, scoring; seconds on a processor.
const EXPERIMENT: &str = include_str!("experiment.yaml");

/// The names under which the program opens the libraries of CUDA 13.
const NAMES: [&str; 3] = ["libcuda.so.1", "libcublas.so.13", "libcurand.so.10"];

/// A setting of the experiment.
struct Setting {
    name: &'static str,
    changes: &'static [&'static str],
    /// Whether attention is the double's, and not the composition.
    fused: bool,
    /// How far numbers may lie apart, relative to the largest of their column.
    tolerance: f64,
}

const BF16: &[&str] = &["pretrain.fs-vfm.optim.precision=bf16", "heads.full fine-tune.recipe.precision=bf16"];

/// What is run on both devices. Roundings to the 8 bits of bf16 fall differently in another order of sums.
const SETTINGS: [Setting; 3] = [
    Setting { name: "f32", changes: &[], fused: false, tolerance: 1e-4 },
    Setting { name: "bf16", changes: BF16, fused: false, tolerance: 0.05 },
    Setting { name: "bf16-fused", changes: BF16, fused: true, tolerance: 0.05 },
];

/// Runs the program of the CUDA build below `place` on the software GPU.
pub(super) fn run(root: &Path, place: &Path) -> Result<()> {
    let built = place.join("build/release");
    let libraries = libraries(place, &built)?;
    let double = double(root, &libraries)?;
    let program = |device: &str, fused: bool, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(built.join("facebench"));
        command.args(arguments).args(["--device", device]).stdout(std::process::Stdio::null());
        command.env("LD_LIBRARY_PATH", &libraries).env_remove("RUST_BACKTRACE");
        command.env("FACEBENCH_CUDNN", if fused { double.as_os_str() } else { "off".as_ref() });
        let status = command.status().context("starting the CUDA build")?;
        ensure!(status.success(), "`facebench {}` on {device}: {status}", arguments.join(" "));
        Ok(())
    };
    for fused in [false, true] {
        eprintln!("every operation on the software GPU{}", if fused { ", attention fused" } else { "" });
        program("cuda:0", fused, &["selftest"])?;
    }

    let work = place.join("test");
    std::fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    let experiment = work.join("experiment.yaml");
    std::fs::write(&experiment, EXPERIMENT).with_context(|| format!("writing {}", experiment.display()))?;
    for Setting { name, changes, fused, tolerance } in SETTINGS {
        let mut stores = Vec::new();
        for device in ["cpu", "cuda:0"] {
            eprintln!("an experiment in {name} on {device}");
            let store = work.join(format!("{name}-{}", device.replace(':', "")));
            if store.exists() {
                std::fs::remove_dir_all(&store).with_context(|| format!("removing {}", store.display()))?;
            }
            let paths = [text(&experiment)?, text(&store)?];
            let mut arguments = vec!["run", paths[0], "--runs", paths[1]];
            arguments.extend(changes.iter().flat_map(|change| ["-s", *change]));
            program(device, fused, &arguments)?;
            stores.push(store);
        }
        let (numbers, apart) = compare(&stores[0], &stores[1], tolerance)?;
        eprintln!("{name}: {numbers} numbers agree, the farthest to {apart:.1e} (allowed {tolerance:.0e})");
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not a name in UTF-8", path.display()))
}

/// A folder with the software GPU under the names of NVIDIA's libraries.
fn libraries(place: &Path, built: &Path) -> Result<PathBuf> {
    let folder = place.join("softgpu");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for name in NAMES {
        super::workspace::link(&built.join("libsoftgpu.so"), &folder.join(name))?;
    }
    Ok(folder)
}

/// The test double of cuDNN, compiled.
fn double(root: &Path, folder: &Path) -> Result<PathBuf> {
    let file = folder.join("libfacebench_cudnn.so");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let status = Command::new(&compiler)
        .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-DFB_ANY_STREAM", "-o"])
        .args([&file, &root.join("harness/engine/cudnn/double.cpp")])
        .status()
        .with_context(|| format!("starting {}", compiler.display()))?;
    ensure!(status.success(), "{} failed on the test double of cuDNN", compiler.display());
    Ok(file)
}

/// Numbers compared, and the largest distance, of the curves and scores of all units.
fn compare(cpu: &Path, gpu: &Path, tolerance: f64) -> Result<(usize, f64)> {
    let (mut numbers, mut apart) = (0, 0f64);
    for entry in std::fs::read_dir(cpu).with_context(|| format!("reading {}", cpu.display()))? {
        let unit = entry?.path();
        for file in ["curves.csv", "scores.csv"] {
            let Ok(ours) = std::fs::read_to_string(unit.join(file)) else { continue };
            let other = gpu.join(unit.file_name().context("a unit has a name")?).join(file);
            let theirs =
                std::fs::read_to_string(&other).with_context(|| format!("reading {}", other.display()))?;
            let (ours, theirs) = (columns(&ours)?, columns(&theirs)?);
            ensure!(
                ours.keys().eq(theirs.keys()),
                "{}: other columns than on the processor",
                other.display()
            );
            for (name, column) in &ours {
                let theirs = &theirs[name];
                ensure!(column.len() == theirs.len(), "{}: another number of rows", other.display());
                // AUCs of a handful of videos jump where two scores change places
                if *name == "val_auc" {
                    continue;
                }
                let largest = column.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
                for (a, b) in column.iter().zip(theirs) {
                    let distance = (a - b).abs() / largest;
                    if distance.is_nan() || distance > tolerance {
                        bail!("{}: {name} is {b}, on the processor {a}", other.display());
                    }
                    apart = apart.max(distance);
                    numbers += 1;
                }
            }
        }
    }
    ensure!(numbers > 0, "{}: nothing to compare", cpu.display());
    Ok((numbers, apart))
}

/// The columns that hold numbers only.
fn columns(csv: &str) -> Result<BTreeMap<&str, Vec<f64>>> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().context("an empty table")?.split(',').collect();
    let mut columns: BTreeMap<&str, Vec<f64>> = names.iter().map(|name| (*name, Vec::new())).collect();
    for line in lines {
        for (name, cell) in names.iter().zip(line.split(',')) {
            match (cell.parse(), columns.get_mut(name)) {
                (Ok(number), Some(column)) => column.push(number),
                _ => drop(columns.remove(name)),
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_differ_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |store: &str, scores: &str| {
            std::fs::create_dir_all(folder.path().join(store).join("unit")).unwrap();
            std::fs::write(folder.path().join(store).join("unit/scores.csv"), scores).unwrap();
            folder.path().join(store)
        };
        let cpu = write("cpu", "video,score\na,0.5\nb,0.25\n");
        assert_eq!(compare(&cpu, &write("same", "video,score\na,0.5\nb,0.25\n"), 1e-6).unwrap(), (2, 0.0));
        assert_eq!(compare(&cpu, &write("near", "video,score\na,0.5\nb,0.375\n"), 0.3).unwrap(), (2, 0.25));
        let refused = |scores| compare(&cpu, &write("other", scores), 0.2).unwrap_err().to_string();
        assert!(refused("video,score\na,0.5\nb,0.375\n").contains("score is 0.375, on the processor 0.25"));
        assert!(refused("video,score\na,0.5\nb,NaN\n").contains("NaN"));
        assert!(refused("video,score\na,0.5\n").contains("another number of rows"));
        assert!(refused("video,raw\na,0.5\nb,0.25\n").contains("other columns"));
    }
}
