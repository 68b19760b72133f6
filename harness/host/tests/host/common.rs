//! Built plugins, closed-form tensors, comparisons.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use facebench_engine::{DType, Device, ParamStore, Tensor};
use facebench_host::{PluginDir, Plugins, RunCtx};
use serde_json::Value;

/// Files of the shipped plugins, without the platform's prefix and extension.
const SHIPPED: [&str; 9] = [
    "facebench_backbone_dino",
    "facebench_backbone_dinov2",
    "facebench_backbone_fsvfm",
    "facebench_backbone_mae",
    "facebench_backbone_resnet50",
    "facebench_head_fs_adapter",
    "facebench_head_linear",
    "facebench_masking_crfr_p",
    "facebench_masking_random",
];

/// `target/release` of the build that runs these tests.
pub(crate) fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().and_then(Path::parent).unwrap().to_path_buf()
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Folder with every plugin and fixture of the workspace, built on first use.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // the command a user types, so that nothing is compiled in a second variant
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--quiet", "--workspace"]).current_dir(workspace());
        cargo.env("CARGO_TARGET_DIR", target_dir().parent().unwrap());
        assert!(cargo.status().unwrap().success(), "the workspace does not build");
        target_dir()
    })
}

/// The file of a built library.
pub(crate) fn library(name: &str) -> PathBuf {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    built().join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
}

/// A folder with copies of these libraries.
pub(crate) fn folder_of(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let from = library(name);
        std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
    }
    dir
}

/// The shipped plugins and the `faulty` fixture.
pub(crate) fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Plugins> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let mut names = SHIPPED.to_vec();
        names.push("fixture_faulty");
        // the folder must outlive the process: opened libraries stay in use
        let dir = folder_of(&names).keep();
        Plugins::open(&[PluginDir::named(dir)]).unwrap()
    })
}

pub(crate) fn store(dtype: DType, seed: u64) -> ParamStore {
    ParamStore::new(&Device::Cpu, dtype, seed)
}

pub(crate) fn ctx(dtype: DType) -> RunCtx {
    RunCtx::new(&Device::Cpu, dtype, 7)
}

/// The closed-form tensor `j`: 0.05·sin(0.37 i + 1.7 j), +1 for layer-norm weights, rounded to f32.
pub(crate) fn fill(name: &str, j: usize, shape: &[usize], dtype: DType) -> Tensor {
    let one = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
    let count: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|i| (0.05 * (0.37 * i as f64 + 1.7 * j as f64).sin() + one) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// Closed-form tensors for a list of `[name, shape]`, in order.
pub(crate) fn fill_keys(keys: &Value, dtype: DType) -> BTreeMap<String, Tensor> {
    let keys = keys.as_array().unwrap();
    keys.iter()
        .enumerate()
        .map(|(j, key)| {
            let name = key[0].as_str().unwrap().to_string();
            let shape: Vec<usize> =
                key[1].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
            let tensor = fill(&name, j, &shape, dtype);
            (name, tensor)
        })
        .collect()
}

/// Images (B,3,side,side) from a formula of (b, c, y, x), rounded to f32.
pub(crate) fn images(
    batch: usize,
    side: usize,
    dtype: DType,
    f: impl Fn(usize, usize, usize, usize) -> f64,
) -> Tensor {
    let mut values = Vec::with_capacity(batch * 3 * side * side);
    for b in 0..batch {
        for c in 0..3 {
            for y in 0..side {
                values.extend((0..side).map(|x| f(b, c, y, x) as f32));
            }
        }
    }
    Tensor::from_vec(values, (batch, 3, side, side), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// Pseudo-random images.
pub(crate) fn noise(batch: usize, side: usize) -> Tensor {
    images(batch, side, DType::F32, |b, c, y, x| {
        let i = ((b * 3 + c) * side + y) * side + x;
        (12.9898 * i as f64).sin() * 1.7
    })
}

pub(crate) fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn max_diff(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Asserts that the first values are these.
#[track_caller]
pub(crate) fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert!(got.len() >= want.len(), "{what}: {} values, expected {}", got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "{what}[{i}]: {g} is not {w}");
    }
}

/// All numbers in nested lists, in order.
pub(crate) fn numbers(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}
