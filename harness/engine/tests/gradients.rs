//! Every operation: the composite form against finite differences in f64, and the fast f32 form
//! against the composite one, on odd sizes and on inputs that are not contiguous.
#![allow(clippy::unwrap_used)]
use facebench_engine::ops::{self, BlockWeights, BranchScales, losses};
use facebench_engine::{DType, Device, Result, Rng, Tensor, Var, backward};

/// An operation on some inputs.
type Op = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Sync>;

/// How an input lies in memory.
#[derive(Clone, Copy)]
enum Lie {
    Plain,
    /// A slice of a longer tensor along dimension 1.
    Sliced,
    /// The first two dimensions swapped twice, the second time without a copy.
    Transposed,
}

struct Case {
    name: &'static str,
    shapes: Vec<Vec<usize>>,
    lie: Lie,
    op: Op,
}

fn case(
    name: &'static str,
    shapes: &[&[usize]],
    lie: Lie,
    op: impl Fn(&[Tensor]) -> Result<Tensor> + Sync + 'static,
) -> Case {
    Case { name, shapes: shapes.iter().map(|s| s.to_vec()).collect(), lie, op: Box::new(op) }
}

fn weights(t: &[Tensor]) -> BlockWeights {
    BlockWeights {
        norm1_weight: t[0].clone(),
        norm1_bias: t[1].clone(),
        qkv_weight: t[2].clone(),
        qkv_bias: t[3].clone(),
        proj_weight: t[4].clone(),
        proj_bias: t[5].clone(),
        norm2_weight: t[6].clone(),
        norm2_bias: t[7].clone(),
        fc1_weight: t[8].clone(),
        fc1_bias: t[9].clone(),
        fc2_weight: t[10].clone(),
        fc2_bias: t[11].clone(),
    }
}

fn block_shapes(b: usize, n: usize, c: usize, m: usize) -> Vec<Vec<usize>> {
    let v = |d: &[usize]| d.to_vec();
    vec![
        v(&[b, n, c]),
        v(&[c]),
        v(&[c]),
        v(&[3 * c, c]),
        v(&[3 * c]),
        v(&[c, c]),
        v(&[c]),
        v(&[c]),
        v(&[c]),
        v(&[m, c]),
        v(&[m]),
        v(&[c, m]),
        v(&[c]),
    ]
}

fn keep() -> Tensor {
    Tensor::new(&[[4u32, 0, 2], [1, 3, 4]], &Device::Cpu).unwrap()
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for lie in [Lie::Plain, Lie::Sliced, Lie::Transposed] {
        all.push(case("linear", &[&[3, 5, 7], &[9, 7], &[9]], lie, |t| {
            ops::linear(&t[0], &t[1], Some(&t[2]))
        }));
        all.push(case("linear, no bias", &[&[4, 7], &[3, 7]], lie, |t| ops::linear(&t[0], &t[1], None)));
        all.push(case("linear_gelu", &[&[2, 5, 6], &[11, 6], &[11]], lie, |t| {
            ops::linear_gelu(&t[0], &t[1], Some(&t[2]))
        }));
        all.push(case("layer_norm", &[&[4, 3, 19], &[19], &[19]], lie, |t| {
            ops::layer_norm(&t[0], &t[1], &t[2], 1e-5)
        }));
        all.push(case("gelu", &[&[3, 4, 5]], lie, |t| ops::gelu(&t[0])));
        all.push(case("softmax, last", &[&[3, 4, 17]], lie, |t| ops::softmax(&t[0], 2)));
        all.push(case("softmax, middle", &[&[3, 4, 5]], lie, |t| ops::softmax(&t[0], 1)));
        all.push(case("attention", &[&[2, 3, 5, 4], &[2, 3, 7, 4], &[2, 3, 7, 6]], lie, |t| {
            ops::attention(&t[0], &t[1], &t[2], 0.3)
        }));
        all.push(case("attention_qkv", &[&[2, 5, 36]], lie, |t| ops::attention_qkv(&t[0], 3)));
        all.push(case("gather_tokens", &[&[2, 5, 6]], lie, |t| ops::gather_tokens(&t[0], &keep())));
        all.push(case("scatter_tokens", &[&[2, 3, 6], &[1, 1, 6]], lie, |t| {
            ops::scatter_tokens(&t[0], &keep(), &t[1], 5)
        }));
        all.push(case("patchify", &[&[2, 3, 8, 12]], lie, |t| ops::patchify(&t[0], 4)));
        all.push(case("patch_targets", &[&[2, 3, 8, 12]], lie, |t| ops::patch_targets(&t[0], 4)));
        all.push(case("normalise", &[&[4, 7]], lie, |t| ops::normalise(&t[0], 1, 1e-12)));
        all.push(case("masked_mse", &[&[2, 5, 7]], lie, |t| {
            let target = (&t[0].detach().ones_like()? * 0.25)?;
            let mask = Tensor::new(&[[1.0f64, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 1.0]], &Device::Cpu)?;
            ops::masked_mse(&t[0], &target, &mask.to_dtype(t[0].dtype())?)
        }));
        all.push(case("cross_entropy", &[&[4, 3]], lie, |t| {
            ops::cross_entropy(&t[0], &losses::one_hot(&[0, 2, 1, 2], 3, 0.1, &t[0])?)
        }));
        all.push(case("drop_path", &[&[6, 2, 3]], lie, |t| {
            ops::drop_path(&t[0], 0.4, &mut Rng::new("test", 1, &["path"]))
        }));
        all.push(case("dropout", &[&[6, 2, 3]], lie, |t| {
            ops::dropout(&t[0], 0.4, &mut Rng::new("test", 1, &[]))
        }));
        let block = |name, scales: Option<BranchScales>| Case {
            name,
            shapes: block_shapes(2, 5, 6, 10),
            lie,
            op: Box::new(move |t| {
                ops::transformer_block_with(&t[0], &weights(&t[1..]), 2, 1e-6, scales.as_ref())
            }),
        };
        all.push(block("transformer_block", None));
        let scales = BranchScales { attention: vec![0.0, 1.25], mlp: vec![1.25, 0.5] };
        all.push(block("transformer_block, stochastic depth", Some(scales)));
    }
    all
}

fn random(shape: &[usize], rng: &mut Rng) -> Vec<f64> {
    // steps of 2^-10, so that f32 and f64 runs start from the same numbers
    (0..shape.iter().product()).map(|_| (rng.normal() * 1024.0).round() / 1024.0).collect()
}

fn inputs(case: &Case) -> Vec<Vec<f64>> {
    let mut rng = Rng::new("gradients", 7, &[case.name]);
    case.shapes.iter().map(|s| random(s, &mut rng)).collect()
}

/// A variable and the same values as the operation sees them.
fn lay(values: &[f64], shape: &[usize], dtype: DType, lie: Lie) -> (Var, Tensor) {
    let plain = Tensor::from_slice(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    let rank = shape.len();
    match lie {
        Lie::Sliced if rank >= 3 => {
            let longer = Tensor::cat(&[&plain, &plain], 1).unwrap();
            let var = Var::from_tensor(&longer).unwrap();
            let view = var.narrow(1, 0, shape[1]).unwrap();
            (var, view)
        }
        Lie::Transposed if rank >= 2 => {
            let var = Var::from_tensor(&plain.transpose(0, 1).unwrap().contiguous().unwrap()).unwrap();
            let view = var.transpose(0, 1).unwrap();
            (var, view)
        }
        _ => {
            let var = Var::from_tensor(&plain).unwrap();
            let view = var.as_tensor().clone();
            (var, view)
        }
    }
}

/// Fixed weights that turn the output into a scalar.
fn contract(y: &Tensor) -> Tensor {
    let n = y.elem_count();
    let c: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7 + 0.3).sin()).collect();
    let c = Tensor::from_vec(c, y.dims(), &Device::Cpu).unwrap().to_dtype(y.dtype()).unwrap();
    y.mul(&c).unwrap().sum_all().unwrap()
}

struct Run {
    output: Vec<f64>,
    grads: Vec<Vec<f64>>,
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn run(case: &Case, values: &[Vec<f64>], dtype: DType, lie: Lie) -> Run {
    let (vars, views): (Vec<Var>, Vec<Tensor>) =
        values.iter().zip(&case.shapes).map(|(v, s)| lay(v, s, dtype, lie)).unzip();
    let y = (case.op)(&views).unwrap();
    let grads = backward(&contract(&y)).unwrap();
    let mut out = Vec::new();
    for (var, shape) in vars.iter().zip(&case.shapes) {
        let g = grads.get(var).unwrap_or_else(|| panic!("{}: an input got no gradient", case.name));
        let g = match lie {
            Lie::Sliced if shape.len() >= 3 => g.narrow(1, 0, shape[1]).unwrap(),
            Lie::Transposed if shape.len() >= 2 => g.transpose(0, 1).unwrap(),
            _ => g.clone(),
        };
        out.push(flat(&g));
    }
    Run { output: flat(&y), grads: out }
}

fn value(case: &Case, values: &[Vec<f64>]) -> f64 {
    let views: Vec<Tensor> = values
        .iter()
        .zip(&case.shapes)
        .map(|(v, s)| Tensor::from_slice(v, s.as_slice(), &Device::Cpu).unwrap())
        .collect();
    contract(&(case.op)(&views).unwrap()).to_scalar::<f64>().unwrap()
}

#[test]
fn composite_gradients_match_finite_differences() {
    for case in cases() {
        let mut values = inputs(&case);
        let run = run(&case, &values, DType::F64, case.lie);
        for (input, grads) in run.grads.iter().enumerate() {
            // every element of small inputs, a spread of them otherwise
            for at in (0..grads.len()).step_by(1 + grads.len() / 40) {
                let (old, h) = (values[input][at], 1e-5);
                values[input][at] = old + h;
                let up = value(&case, &values);
                values[input][at] = old - h;
                let down = value(&case, &values);
                values[input][at] = old;
                let want = (up - down) / (2.0 * h);
                assert!(
                    (grads[at] - want).abs() < 1e-7 * (1.0 + want.abs()),
                    "{}: input {input}, element {at}: {}, not {want}",
                    case.name,
                    grads[at]
                );
            }
        }
    }
}

#[test]
fn fast_form_matches_the_composite_one() {
    for case in cases() {
        let values = inputs(&case);
        let (fast, exact) =
            (run(&case, &values, DType::F32, case.lie), run(&case, &values, DType::F64, Lie::Plain));
        let near = |what: &str, got: &[f64], want: &[f64]| {
            assert_eq!(got.len(), want.len(), "{}: {what}", case.name);
            let size = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
            // unit-variance weights make a block's scores large and its softmax sharp
            let size = if case.name.starts_with("transformer_block") { 5.0 * size } else { size };
            for (i, (g, w)) in got.iter().zip(want).enumerate() {
                assert!((g - w).abs() < 4e-6 * size, "{}: {what} element {i}: {g}, not {w}", case.name);
            }
        };
        near("output", &fast.output, &exact.output);
        for (i, (got, want)) in fast.grads.iter().zip(&exact.grads).enumerate() {
            near(&format!("gradient of input {i}"), got, want);
        }
    }
}

/// The tests above once more on every lower instruction set.
#[test]
fn lower_instruction_sets_agree_too() {
    if std::env::var_os("FACEBENCH_ISA").is_some() {
        return; // this is the inner run
    }
    for level in ["portable", "avx2"] {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fast_form_matches_the_composite_one", "blocks_of_realistic_size_agree"])
            .env("FACEBENCH_ISA", level)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{level}");
    }
}

#[test]
fn blocks_of_realistic_size_agree() {
    let (b, n, c) = (3, 65, 96);
    let case = Case {
        name: "transformer_block 96",
        shapes: block_shapes(b, n, c, 4 * c),
        lie: Lie::Plain,
        op: Box::new(|t| ops::transformer_block(&t[0], &weights(&t[1..]), 3, 1e-6)),
    };
    let mut values = inputs(&case);
    for v in &mut values[1..] {
        for x in v {
            *x = (*x * 128.0).round() / 1024.0; // weights of a trained network's size
        }
    }
    let (fast, exact) =
        (run(&case, &values, DType::F32, Lie::Plain), run(&case, &values, DType::F64, Lie::Plain));
    let relative = |got: &[f64], want: &[f64]| {
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied()).max(1e-9)
    };
    assert!(relative(&fast.output, &exact.output) < 1e-6);
    for (i, (got, want)) in fast.grads.iter().zip(&exact.grads).enumerate() {
        let error = relative(got, want);
        assert!(error < 3e-6, "input {i}: {error}");
    }
}

#[test]
fn frozen_parameters_cost_and_get_nothing() {
    let mut rng = Rng::new("frozen", 0, &[]);
    let shapes = block_shapes(2, 5, 6, 10);
    let make = |s: &Vec<usize>, rng: &mut Rng| {
        Tensor::from_vec(random(s, rng), s.as_slice(), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
    };
    let plain: Vec<Tensor> = shapes.iter().map(|s| make(s, &mut rng)).collect();
    // nothing trains: no graph at all
    let y = ops::transformer_block(&plain[0], &weights(&plain[1..]), 2, 1e-6).unwrap();
    assert!(!y.track_op());
    // any single parameter trains while the input is frozen
    for trained in 1..plain.len() {
        let mut t = plain.clone();
        let var = Var::from_tensor(&plain[trained]).unwrap();
        t[trained] = var.as_tensor().clone();
        let y = ops::transformer_block(&t[0], &weights(&t[1..]), 2, 1e-6).unwrap();
        let got = flat(backward(&contract(&y)).unwrap().get(&var).unwrap());
        let all: Vec<Var> = plain.iter().map(|p| Var::from_tensor(p).unwrap()).collect();
        let t: Vec<Tensor> = all.iter().map(|v| v.as_tensor().clone()).collect();
        let y = ops::transformer_block(&t[0], &weights(&t[1..]), 2, 1e-6).unwrap();
        let want = flat(backward(&contract(&y)).unwrap().get(&all[trained]).unwrap());
        assert_eq!(got, want, "parameter {trained}");
    }
}

#[test]
fn a_graph_can_be_walked_twice() {
    let mut rng = Rng::new("twice", 0, &[]);
    let vars: Vec<Var> = block_shapes(2, 5, 6, 10)
        .iter()
        .map(|s| {
            Var::from_tensor(
                &Tensor::from_vec(random(s, &mut rng), s.as_slice(), &Device::Cpu)
                    .unwrap()
                    .to_dtype(DType::F32)
                    .unwrap(),
            )
            .unwrap()
        })
        .collect();
    let t: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = ops::transformer_block(&t[0], &weights(&t[1..]), 2, 1e-6).unwrap();
    let y = ops::linear_gelu(&y, &t[9], Some(&t[10])).unwrap();
    let loss = contract(&y);
    let (first, second) = (backward(&loss).unwrap(), backward(&loss).unwrap());
    for var in &vars {
        assert_eq!(flat(first.get(var).unwrap()), flat(second.get(var).unwrap()));
    }
}

#[test]
fn taking_gradients_the_other_way_is_an_error() {
    let mut rng = Rng::new("other", 0, &[]);
    let vars: Vec<Var> = block_shapes(1, 2, 4, 4)
        .iter()
        .map(|s| {
            Var::from_tensor(
                &Tensor::from_vec(random(s, &mut rng), s.as_slice(), &Device::Cpu)
                    .unwrap()
                    .to_dtype(DType::F32)
                    .unwrap(),
            )
            .unwrap()
        })
        .collect();
    let t: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = ops::transformer_block(&t[0], &weights(&t[1..]), 2, 1e-6).unwrap();
    let error = contract(&y).backward().unwrap_err().to_string();
    assert!(error.contains("hint: call facebench_engine::backward"), "{error}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (b, n, c) = (5, 33, 48);
    let case = Case {
        name: "threads",
        shapes: block_shapes(b, n, c, 4 * c),
        lie: Lie::Plain,
        op: Box::new(|t| ops::transformer_block(&t[0], &weights(&t[1..]), 3, 1e-6)),
    };
    let values = inputs(&case);
    let with = |threads: usize| {
        let pool = facebench_engine::runtime::thread_pool(threads).unwrap();
        pool.install(|| run(&case, &values, DType::F32, Lie::Plain))
    };
    let one = with(1);
    for threads in [2, 5] {
        let other = with(threads);
        assert!(one.output == other.output && one.grads == other.grads, "{threads} threads");
    }
}
