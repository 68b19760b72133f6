//! The matrix product against its definition, on every instruction set of the machine.
use super::epilogue::Epilogue;
use super::gemm::{Out, gemm};
use super::math::gelu;
use super::micro::Portable;
use super::pack::Mat;
use super::parallel::Shared;
use super::{Level, available, rows};
use crate::rng::Rng;

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new("test", seed, &[]);
    (0..n).map(|_| (rng.uniform() * 2.0 - 1.0) as f32).collect()
}

/// Sizes around every tile and block boundary.
const SIZES: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (3, 5, 2),
    (14, 32, 8),
    (15, 33, 9),
    (6, 16, 384),
    (29, 47, 385),
    (7, 96, 770),
    (65, 65, 32),
    (130, 31, 40),
    (113, 70, 400),
    (250, 100, 64),
    (400, 8, 257),
];

#[derive(Clone, Copy, PartialEq)]
enum Order {
    RowMajor,
    Transposed,
}

fn check(level: Level, (m, n, k): (usize, usize, usize), a_order: Order, b_order: Order, add: bool) {
    let (a, b) = (random(m * k, 1), random(k * n, 2));
    let pick = |v: &[f32], i: usize, j: usize, rows: usize, cols: usize, order: Order| {
        f64::from(if order == Order::RowMajor { v[i * cols + j] } else { v[j * rows + i] })
    };
    let mat = |v: &[f32], rows: usize, cols: usize, order: Order| {
        if order == Order::RowMajor { Mat::rows(v.as_ptr(), cols) } else { Mat::rows(v.as_ptr(), rows).t() }
    };
    let ld = n + 3; // a wider row: columns beyond n must stay untouched
    let start = random(m * ld, 3);
    let mut c = start.clone();
    let mut out = Out::new(&mut c, ld, Epilogue::None);
    out.add = add;
    // SAFETY: sizes as allocated above.
    unsafe { gemm(level, m, n, k, mat(&a, m, k, a_order), mat(&b, k, n, b_order), out) };
    for i in 0..m {
        for j in 0..ld {
            let mut want = f64::from(start[i * ld + j]);
            if j < n {
                let sum: f64 =
                    (0..k).map(|p| pick(&a, i, p, m, k, a_order) * pick(&b, p, j, k, n, b_order)).sum();
                want = if add { want + sum } else { sum };
            }
            let got = f64::from(c[i * ld + j]);
            assert!(
                (got - want).abs() < 1e-6 * (1.0 + k as f64),
                "{level:?} {m}x{n}x{k} at ({i}, {j}): {got}, not {want}"
            );
        }
    }
}

#[test]
fn products_match_the_definition_on_every_instruction_set() {
    for level in available() {
        for size in SIZES {
            for a in [Order::RowMajor, Order::Transposed] {
                for b in [Order::RowMajor, Order::Transposed] {
                    check(level, size, a, b, a == b);
                }
            }
        }
    }
}

#[test]
fn epilogues_match_their_definition() {
    let (m, n, k) = (31, 45, 390);
    let (a, b, bias) = (random(m * k, 1), random(k * n, 2), random(n, 3));
    let (residual, scale) = (random(m * n, 4), random(m, 5));
    let p = |v: &[f32]| Shared::from_ptr(v.as_ptr().cast_mut());
    for level in available() {
        let run = |epilogue| {
            let mut c = vec![0.0f32; m * n];
            // SAFETY: sizes as allocated above.
            unsafe {
                let (a, b) = (Mat::rows(a.as_ptr(), k), Mat::rows(b.as_ptr(), n));
                gemm(level, m, n, k, a, b, Out::new(&mut c, n, epilogue));
            }
            c
        };
        let plain = run(Epilogue::None);
        let mut slope = vec![0.0f32; m * n];
        let kept = Shared::new(&mut slope);
        let biased = run(Epilogue::Bias(p(&bias)));
        let gelued = run(Epilogue::BiasGelu(p(&bias), kept));
        let added = run(Epilogue::BiasResidual { bias: p(&bias), residual: p(&residual), scale: p(&scale) });
        let null = Shared::from_ptr(std::ptr::null_mut());
        let unscaled = run(Epilogue::BiasResidual { bias: p(&bias), residual: p(&residual), scale: null });
        let times = run(Epilogue::Mul(p(&residual)));
        for at in 0..m * n {
            let (i, j) = (at / n, at % n);
            let v = plain[at] + bias[j];
            let near = |got: f32, want: f32| {
                assert!((got - want).abs() < 2e-6 * (1.0 + want.abs()), "{got}, not {want}");
            };
            near(biased[at], v);
            near(gelued[at], gelu::<Portable>(v).0);
            near(slope[at], gelu::<Portable>(v).1);
            near(added[at], residual[at] + scale[i] * v);
            near(unscaled[at], residual[at] + v);
            near(times[at], plain[at] * residual[at]);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (m, n, k) = (701, 190, 805);
    let (a, b) = (random(m * k, 1), random(k * n, 2));
    let run = |threads: usize| {
        let pool = crate::runtime::thread_pool(threads).unwrap();
        pool.install(|| {
            let mut c = vec![0.0f32; m * n];
            // SAFETY: sizes as allocated above.
            unsafe {
                let (a, b) = (Mat::rows(a.as_ptr(), k), Mat::rows(b.as_ptr(), n));
                gemm(super::level(), m, n, k, a, b, Out::new(&mut c, n, Epilogue::None));
            }
            let w = &b[..n];
            let (dw, db) = rows::layer_norm_backward(
                super::level(),
                (&c, w, &c.clone()),
                &mut vec![0.0; m * n],
                false,
                1e-6,
                true,
            )
            .unwrap();
            (c.clone(), dw, db, rows::column_sums(super::level(), &c, n))
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(one == run(threads), "{threads} threads");
    }
}
