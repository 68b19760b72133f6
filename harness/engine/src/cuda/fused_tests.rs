//! Attention by the library's interface, on CPU tensors: `engine/cudnn/double.cpp` stands in for cuDNN.
//!
//! What is tested is everything on this side of the interface: strides, addresses, passes, plans, stats, workspace, the
//! graph and its gradients. cuDNN itself is not.
use super::cudnn::{Cudnn, Library, Pass, Problem, place};
use super::tests::{Turns, compiled, emulating};
use crate::rng::Rng;
use crate::selftest;
use candle_core::{DType, Device, Tensor, Var};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

thread_local! {
    static STAND_IN: Cell<Option<&'static Cudnn>> = const { Cell::new(None) };
}

/// The double that stands in for cuDNN on this thread.
pub(super) fn stand_in() -> Option<&'static Cudnn> {
    STAND_IN.get()
}

/// Runs `f` with a double of its own; `None` without a C++ compiler.
fn with_double<R>(f: impl FnOnce(&'static Cudnn) -> R) -> Option<R> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let library = (*LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cudnn/double.cpp");
        let (_folder, file) = compiled(&source)?;
        Some(Library::load(&file).unwrap())
    }))?;
    let cudnn: &'static Cudnn = Box::leak(Box::new(Cudnn::open(library, &Device::Cpu).unwrap()));
    STAND_IN.set(Some(cudnn));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| emulating(Turns::Up, || f(cudnn))));
    STAND_IN.set(None);
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn random(dims: &[usize], part: u64) -> Tensor {
    let mut rng = Rng::new("fused-test", part, &[]);
    let values: Vec<f32> = (0..dims.iter().product::<usize>()).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Result and gradient of `Σ y·r` for a projection.
fn both(qkv: &Var, heads: usize) -> (Vec<f32>, Vec<f32>) {
    let y = crate::ops::attention_qkv(qkv, heads).unwrap();
    let r = random(y.dims(), 1);
    let grads = crate::backward(&y.mul(&r).unwrap().sum_all().unwrap()).unwrap();
    (values(&y), values(grads.get(qkv).unwrap()))
}

fn far(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_operation_agrees_with_the_reference() {
    with_double(|cudnn| {
        let rows = selftest::run(&Device::Cpu, &selftest::Options { half: true }).unwrap();
        let failed: Vec<String> = rows.iter().filter(|row| !row.pass).map(|row| format!("{row:?}")).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        let planned = |width, pass| {
            cudnn.problems().iter().filter(|(p, there)| *there && p.width == width && p.pass == pass).count()
        };
        // both cases of attention on a packed projection, and the wider transformer block
        for width in [16, 64, 8] {
            assert_eq!(
                (planned(width, Pass::ForwardStats), planned(width, Pass::Backward)),
                (1, 1),
                "{width}"
            );
        }
        // the narrower block is not for cuDNN
        assert!(cudnn.problems().iter().all(|(p, there)| *there == (p.width != 4)));
        assert_eq!(super::attention_kind(&Device::Cpu), "cudnn 1.2.3, composition for shapes it refuses");
    });
}

#[test]
fn plans_are_made_once_for_each_problem() {
    with_double(|cudnn| {
        assert_eq!(super::attention_kind(&Device::Cpu), "cudnn 1.2.3");
        let shapes = [(2, 5, 3, 16), (1, 5, 3, 16), (2, 6, 3, 16), (2, 5, 6, 8), (2, 5, 3, 16)];
        for (b, n, h, d) in shapes {
            both(&Var::from_tensor(&random(&[b, n, 3 * h * d], 0)).unwrap(), h);
        }
        assert_eq!(cudnn.problems().len(), 4 * 2);
        // without gradients: no stats, and no backward plan
        let qkv = Var::from_tensor(&random(&[7, 5, 48], 0)).unwrap();
        assert!(!crate::no_grad(|| crate::ops::attention_qkv(&qkv, 1)).unwrap().track_op());
        crate::ops::attention_qkv(&qkv.as_detached_tensor(), 1).unwrap();
        let new: Vec<_> = cudnn.problems().into_iter().filter(|(p, _)| p.batch == 7).collect();
        let problem = Problem { batch: 7, tokens: 5, heads: 1, width: 16, pass: Pass::Forward };
        assert_eq!(new, [(problem, true)]);
    });
}

#[test]
fn f32_stays_the_composition() {
    with_double(|cudnn| {
        let qkv = random(&[2, 5, 48], 0).to_dtype(DType::F32).unwrap();
        crate::ops::attention_qkv(&qkv, 1).unwrap();
        assert!(cudnn.problems().is_empty());
    });
}

#[test]
fn what_cudnn_refuses_is_composed_in_both_directions() {
    with_double(|cudnn| {
        // a forward plan alone is not enough when a gradient will be asked for
        let qkv = Var::from_tensor(&random(&[3, 1, 48], 0)).unwrap();
        let (y, grad) = both(&qkv, 2);
        let v: Vec<f32> = values(&qkv).chunks(48).flat_map(|row| row[32..].to_vec()).collect();
        assert_eq!(y, v, "one token attends to itself");
        assert!(grad.chunks(48).all(|row| row[..32].iter().all(|g| *g == 0.0)), "{grad:?}");
        assert_eq!(cudnn.problems().iter().filter(|(_, there)| *there).count(), 1);
        assert!(super::attention_kind(&Device::Cpu).ends_with("composition for shapes it refuses"));
    });
}

/// Views: a slice of a larger tensor begins anywhere, also where cuDNN takes no address; gradients come transposed.
#[test]
fn views_give_what_copies_give() {
    with_double(|_| {
        let (b, n, h, d) = (2, 5, 3, 16);
        let count = b * n * 3 * h * d;
        let flat = Var::from_tensor(&random(&[count + 8], 0)).unwrap();
        for start in [1, 8] {
            let part = flat.narrow(0, start, count).unwrap().reshape((b, n, 3 * h * d)).unwrap();
            let (y, grad) = both(&Var::from_tensor(&part.force_contiguous().unwrap()).unwrap(), h);
            let seen = crate::ops::attention_qkv(&part, h).unwrap();
            assert_eq!(values(&seen), y);
            let r = random(seen.dims(), 1).t().unwrap().contiguous().unwrap();
            let loss = seen.t().unwrap().mul(&r).unwrap().sum_all().unwrap();
            let grads = crate::backward(&loss).unwrap();
            assert_eq!(values(grads.get(&flat).unwrap())[start..][..count], grad);
        }
    });
}

/// Both ways round bf16 differently: close, and not the same bits, which would mean that one of them did not run.
#[test]
fn the_composition_is_close_and_another() {
    let qkv = Var::from_tensor(&random(&[2, 37, 3 * 2 * 24], 0)).unwrap();
    let fused = with_double(|_| both(&qkv, 2));
    let composed = emulating(Turns::Up, || both(&qkv, 2));
    if let (Some(a), Some(b)) = (fused, composed) {
        assert_ne!(a, b);
        assert!(far(&a.0, &b.0) < 0.02 && far(&a.1, &b.1) < 0.05, "{} {}", far(&a.0, &b.0), far(&a.1, &b.1));
    }
}

#[test]
fn a_library_is_found_by_variable_and_beside_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let program = || Some(folder.path().join("facebench"));
    let beside = folder.path().join("libfacebench_cudnn.so");
    assert_eq!(place(None, program()), None);
    std::fs::write(&beside, "").unwrap();
    assert_eq!(place(None, program()), Some(beside.clone()));
    assert_eq!(place(Some("".into()), program()), Some(beside.clone()));
    assert_eq!(place(Some("off".into()), program()), None);
    assert_eq!(place(Some("/no/such.so".into()), program()), Some(PathBuf::from("/no/such.so")));
    assert!(Library::load(Path::new("/no/such.so")).is_err_and(|why| why.contains("/no/such.so")));
    assert!(Library::load(&beside).is_err());
}

#[test]
fn another_version_of_the_interface_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("other.cpp");
    for (text, expected) in [
        ("extern \"C\" int fb_sdpa_abi() { return 2; }", "it has version 2 of the interface, this program 1"),
        ("extern \"C\" int fb_sdpa_abi() { return 1; }", "it has no fb_sdpa_error"),
        ("int nothing;", "it has no fb_sdpa_abi"),
    ] {
        std::fs::write(&source, text).unwrap();
        let Some((_folder, file)) = compiled(&source) else { return };
        let why = Library::load(&file).err().unwrap();
        assert_eq!(why.lines().next(), Some(expected));
    }
}
