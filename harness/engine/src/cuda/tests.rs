//! The operations of this folder on CPU tensors, with the kernels compiled as C++.
//!
//! The same launches, arguments, gradients and kernels as on a GPU; only the driver and cuBLAS are replaced. Each
//! operation goes through the cases of [`crate::selftest`], in f32 and bf16. Without a C++ compiler on the machine
//! there is nothing to run the kernels with, and the tests say so.
use super::launch::Grid;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::selftest;
use candle_core::{Tensor, Var};
use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

type Emulate =
    unsafe extern "C" fn(*const c_char, c_int, c_int, c_int, c_int, c_int, *mut *mut c_void) -> c_int;

/// In which order the threads of a block take their turns.
#[derive(Clone, Copy)]
pub(super) enum Turns {
    Up,
    Down,
}

thread_local! {
    static ACTIVE: Cell<Option<Turns>> = const { Cell::new(None) };
}

/// Whether kernels of this thread run on CPU tensors.
pub(super) fn emulated() -> bool {
    ACTIVE.get().is_some()
}

/// Runs `f` with the kernels on CPU tensors; `None` without a C++ compiler.
pub(super) fn emulating<R>(turns: Turns, f: impl FnOnce() -> R) -> Option<R> {
    library()?;
    ACTIVE.set(Some(turns));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    ACTIVE.set(None);
    Some(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// A shared library made of one source file; `None` without a C++ compiler. It goes with the folder.
pub(super) fn compiled(source: &Path) -> Option<(tempfile::TempDir, PathBuf)> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("{compiler} is not there: {} is not tested", source.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lib.so");
    let built = Command::new(&compiler)
        .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-o"])
        .args([&file, source])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some((folder, file))
}

/// Builds and opens the emulator, once.
fn library() -> Option<Emulate> {
    static LIBRARY: OnceLock<Option<Emulate>> = OnceLock::new();
    *LIBRARY.get_or_init(|| {
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/kernels");
        let (_folder, file) = compiled(&kernels.join("emulate.cpp"))?;
        let (file, symbol) = (CString::new(file.to_str().unwrap()).unwrap(), c"fb_emulate");
        // SAFETY: the library was just built from our source, where the symbol has this type.
        unsafe {
            let library = libc::dlopen(file.as_ptr(), libc::RTLD_NOW);
            assert!(!library.is_null(), "the emulator does not load");
            let found = libc::dlsym(library, symbol.as_ptr());
            assert!(!found.is_null(), "the emulator has no entry");
            Some(std::mem::transmute::<*mut c_void, Emulate>(found))
        }
    })
}

/// What the driver does on a GPU.
pub(super) fn emulate(kernel: &str, grid: Grid, words: &mut [u64]) -> Result<()> {
    static TURN: Mutex<()> = Mutex::new(()); // the emulator has one set of coroutines
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let name = CString::new(kernel).unwrap();
    let mut arguments: Vec<*mut c_void> = words.iter_mut().map(|w| std::ptr::from_mut(w).cast()).collect();
    let number = |v: u32| c_int::try_from(v).unwrap();
    // SAFETY: the arguments are those of a launch; their memory is CPU memory, which nothing else touches meanwhile.
    let code = unsafe {
        library().unwrap()(
            name.as_ptr(),
            number(grid.x),
            number(grid.y),
            number(grid.block),
            number(grid.shared),
            c_int::from(matches!(ACTIVE.get(), Some(Turns::Down))),
            arguments.as_mut_ptr(),
        )
    };
    match code {
        0 => Ok(()),
        1 => Err(Error::argument("cuda", "a kernel", kernel)),
        2 => Err(Error::argument("cuda", "a launch a GPU allows", format!("{kernel} {grid:?}"))),
        _ => Err(Error::argument("cuda", "all threads at each barrier", kernel)),
    }
}

#[test]
fn every_operation_agrees_with_the_reference() {
    for turns in [Turns::Up, Turns::Down] {
        let run = || selftest::run(&candle_core::Device::Cpu, &selftest::Options { half: true }).unwrap();
        let Some(rows) = emulating(turns, run) else { return };
        let failed: Vec<String> = rows.iter().filter(|row| !row.pass).map(|row| format!("{row:?}")).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        assert!(rows.iter().filter(|row| row.dtype == "bf16").count() > 10, "{rows:#?}");
    }
}

#[test]
fn results_do_not_depend_on_the_order_of_threads() {
    let run = || {
        let x = Rng::new("test", 0, &[]);
        let values = |n: usize, mut rng: Rng| (0..n).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
        let var = |dims: &[usize], part| {
            let t = Tensor::from_vec(
                values(dims.iter().product(), x.clone().at(part)),
                dims,
                &candle_core::Device::Cpu,
            );
            Var::from_tensor(&t.unwrap()).unwrap()
        };
        let (x, w, b) = (var(&[300, 40], 0), var(&[40], 1 << 20), var(&[40], 1 << 21));
        let y = crate::ops::layer_norm(&x, &w, &b, 1e-6).unwrap();
        let y = crate::ops::softmax(&y, 1).unwrap();
        let grads = crate::backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        [&x, &w, &b].map(|v| grads.get(v).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    if let (Some(up), Some(down)) = (emulating(Turns::Up, run), emulating(Turns::Down, run)) {
        assert_eq!(up, down);
    }
}

#[test]
fn the_emulator_refuses_what_a_gpu_refuses() {
    let run = |kernel: &str, block, shared| {
        let grid = Grid { block, shared, ..Grid::blocks(1) };
        emulate(kernel, grid, &mut [0; 8]).unwrap_err().to_string()
    };
    if library().is_some() {
        assert!(run("no_such_kernel", 128, 0).contains("no_such_kernel"));
        assert!(run("scale_f32", 100, 0).contains("a launch a GPU allows"));
        assert!(run("scale_f32", 128, 1 << 20).contains("a launch a GPU allows"));
    }
}
