//! A small experiment, and one finished run of it that all tests share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use facebench_tests::{Bench, built, said};

/// Two models (random, pre-trained), one head, two protocols: ten units in a few seconds.
pub(crate) const TINY: &str = "\
name: tiny
data: {synth: {scale: tiny}}
pretrain:
  fs:
    backbone: {plugin: fsvfm, config: {size: micro}}
    objective: {decoder: {width: 32, depth: 1, heads: 4}, similarity: {depth: 1, heads: 4, hidden: 32, out: 16}}
    optim: {epochs: 2, warmup_epochs: 0, batch: 4, accum: 1}
models:
  Random: {backbone: {plugin: fsvfm, config: {size: micro}}, init: random}
  FS-VFM: {init: {pretrain: fs}}
heads:
  probe: {plugin: linear, config: {train: head, norm: layer}, recipe: {epochs: 2, warmup_epochs: 0, batch: 8}}
protocols: [diff-unseen, dfd-cross]
";

/// What [`TINY`] makes: data, pre-training, and for two models and two protocols a tuning and a scoring unit.
pub(crate) const UNITS: usize = 10;

/// A folder with `tiny.yaml`.
pub(crate) fn bench() -> Bench {
    let b = Bench::new();
    b.file("tiny.yaml", TINY);
    b
}

/// A folder with `tiny.yaml`, `runs` (finished) and `report`. Read only: tests that write copy from it.
pub(crate) fn finished() -> &'static Path {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("finished");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join("tiny.yaml"), TINY).expect("file");
        let args = ["run", "tiny.yaml", "--out", "report", "--threads", "1"];
        let mut command = std::process::Command::new(built().join("facebench"));
        let call = said(command.args(args).current_dir(&folder).env_remove("FACEBENCH_PLUGINS"), &args).ok();
        std::fs::write(folder.join("stdout"), call.stdout()).expect("file");
        std::fs::write(folder.join("stderr"), call.stderr()).expect("file");
        folder
    })
}

/// The data root of [`finished`].
pub(crate) fn data_root() -> PathBuf {
    one(&finished().join("runs"), "data-")
}

/// The only folder in `parent` whose name begins with `prefix`.
pub(crate) fn one(parent: &Path, prefix: &str) -> PathBuf {
    let all = all(parent, prefix);
    assert_eq!(all.len(), 1, "{prefix} in {}: {all:?}", parent.display());
    all[0].clone()
}

/// All folders in `parent` whose names begin with `prefix`, sorted.
pub(crate) fn all(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).expect("folder");
    let mut found: Vec<PathBuf> = entries
        .map(|e| e.expect("entry").path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    found.sort();
    found
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("folder") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copy");
        }
    }
}

/// All files below a folder with their bytes, by relative name.
pub(crate) fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").display().to_string();
                list.push((name, std::fs::read(&path).expect("file")));
            }
        }
    }
    list.sort();
    list
}

/// Tables of a report folder.
pub(crate) fn tables(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let list = contents(&folder.join("tables"));
    assert!(list.len() >= 6, "{} tables in {}", list.len(), folder.display());
    list
}
