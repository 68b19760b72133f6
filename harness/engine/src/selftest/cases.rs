//! The list of compared operations, with sizes that are not multiples of anything.
use crate::error::Result;
use crate::ops::{self, BlockWeights, BranchScales, losses};
use crate::optim::{
    Adam, AdamConfig, AdamW, Group, Lars, LarsConfig, Sgd, SgdConfig, accumulate_gradients, clip_global_norm,
    ema_update, global_norm,
};
use crate::params::{Init, ParamStore};
use crate::rng::Rng;
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// An operation on some inputs, all on one device.
pub(super) type Op = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

/// One compared operation.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) shapes: Vec<Vec<usize>>,
    /// How many of the last inputs are parameters, which may stay f32 below bf16 activations.
    pub(super) parameters: usize,
    /// Inputs without a gradient.
    pub(super) constant: Vec<usize>,
    pub(super) gradients: bool,
    pub(super) half: bool,
    /// Standard deviation of the inputs.
    pub(super) scale: f64,
    pub(super) op: Op,
}

impl Case {
    pub(super) fn parameters(self, parameters: usize) -> Self {
        Self { parameters, ..self }
    }

    pub(super) fn constant(self, constant: &[usize]) -> Self {
        Self { constant: constant.to_vec(), ..self }
    }

    pub(super) fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// Works in place on f32 parameters: no gradient, no bf16.
    fn update(self) -> Self {
        Self { gradients: false, half: false, ..self }
    }
}

pub(super) fn case(
    name: &'static str,
    shapes: &[&[usize]],
    op: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Case {
    Case {
        name,
        shapes: shapes.iter().map(|s| s.to_vec()).collect(),
        parameters: 0,
        constant: Vec::new(),
        gradients: true,
        half: true,
        scale: 1.0,
        op: Box::new(op),
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = layers();
    all.extend(tokens());
    all.extend(objectives());
    all.extend(super::images::images());
    all.extend(updates());
    all
}

fn layers() -> Vec<Case> {
    let mut all = Vec::new();
    for (b, n, i, o) in [(3, 5, 7, 9), (2, 67, 96, 130)] {
        all.push(
            case("linear", &[&[b, n, i], &[o, i], &[o]], |t| ops::linear(&t[0], &t[1], Some(&t[2])))
                .parameters(2),
        );
        all.push(
            case("linear_gelu", &[&[b, n, i], &[o, i], &[o]], |t| {
                ops::linear_gelu(&t[0], &t[1], Some(&t[2]))
            })
            .parameters(2)
            .scale(0.5),
        );
    }
    all.push(
        case("linear, no bias", &[&[5, 33], &[3, 33]], |t| ops::linear(&t[0], &t[1], None)).parameters(1),
    );
    all.push(
        case("linear, first token", &[&[3, 4, 10], &[6, 10], &[6]], |t| {
            ops::linear(&t[0].narrow(1, 0, 1)?, &t[1], Some(&t[2]))
        })
        .parameters(2),
    );
    for shape in [&[3, 5, 193][..], &[301, 24], &[2, 1024], &[2, 4001]] {
        let d = shape[shape.len() - 1];
        all.push(
            case("layer_norm", &[shape, &[d], &[d]], |t| ops::layer_norm(&t[0], &t[1], &t[2], 1e-6))
                .parameters(2),
        );
    }
    all.push(case("gelu", &[&[3, 5, 11]], |t| ops::gelu(&t[0])).scale(2.0));
    all.push(case("gelu, transposed", &[&[3, 5]], |t| ops::gelu(&t[0].t()?)));
    for shape in [&[4, 7, 197][..], &[5, 1], &[3, 1500], &[2, 33]] {
        all.push(case("softmax", &[shape], |t| ops::softmax(&t[0], t[0].rank() - 1)));
    }
    all.push(case("softmax, dimension 0", &[&[5, 3]], |t| ops::softmax(&t[0], 0)));
    all.push(case("attention", &[&[2, 3, 5, 8], &[2, 3, 7, 8], &[2, 3, 7, 6]], |t| {
        ops::attention(&t[0], &t[1], &t[2], 0.3)
    }));
    all.push(case("attention, transposed", &[&[2, 5, 3, 8], &[2, 5, 3, 8], &[2, 5, 3, 8]], |t| {
        let (q, k, v) = (t[0].transpose(1, 2)?, t[1].transpose(1, 2)?, t[2].transpose(1, 2)?);
        ops::attention(&q, &k, &v, 0.3)
    }));
    for (b, n, d, h) in [(2, 5, 16, 3), (1, 50, 64, 2)] {
        all.push(case("attention_qkv", &[&[b, n, 3 * h * d]], move |t| ops::attention_qkv(&t[0], h)));
    }
    all.push(block("transformer_block", 9, 24, None));
    let scales = BranchScales { attention: vec![0.0, 1.25], mlp: vec![1.25, 0.0] };
    all.push(block("transformer_block, stochastic depth", 5, 12, Some(scales)));
    all
}

fn block(name: &'static str, n: usize, c: usize, scales: Option<BranchScales>) -> Case {
    let (b, m, heads) = (2, 3 * c, 3);
    let shapes: [&[usize]; 13] = [
        &[b, n, c],
        &[c],
        &[c],
        &[3 * c, c],
        &[3 * c],
        &[c, c],
        &[c],
        &[c],
        &[c],
        &[m, c],
        &[m],
        &[c, m],
        &[c],
    ];
    case(name, &shapes, move |t| {
        let weights = BlockWeights {
            norm1_weight: t[1].clone(),
            norm1_bias: t[2].clone(),
            qkv_weight: t[3].clone(),
            qkv_bias: t[4].clone(),
            proj_weight: t[5].clone(),
            proj_bias: t[6].clone(),
            norm2_weight: t[7].clone(),
            norm2_bias: t[8].clone(),
            fc1_weight: t[9].clone(),
            fc1_bias: t[10].clone(),
            fc2_weight: t[11].clone(),
            fc2_bias: t[12].clone(),
        };
        ops::transformer_block_with(&t[0], &weights, heads, 1e-6, scales.as_ref())
    })
    .parameters(12)
    .scale(0.4)
}

fn tokens() -> Vec<Case> {
    let keep = |t: &Tensor, rows: &[[u32; 3]; 2]| Tensor::new(rows, t.device());
    vec![
        case("gather_tokens", &[&[2, 6, 131]], move |t| {
            ops::gather_tokens(&t[0], &keep(&t[0], &[[4, 0, 2], [1, 3, 5]])?)
        }),
        case("gather_tokens, repeated", &[&[2, 5, 7]], move |t| {
            ops::gather_tokens(&t[0], &keep(&t[0], &[[1, 1, 1], [4, 0, 4]])?)
        }),
        case("scatter_tokens", &[&[2, 3, 131], &[1, 1, 131]], move |t| {
            ops::scatter_tokens(&t[0], &keep(&t[0], &[[4, 0, 2], [1, 3, 5]])?, &t[1], 6)
        })
        .parameters(1),
        case("patchify", &[&[2, 3, 8, 12]], |t| ops::patchify(&t[0], 4)),
        case("patch_targets", &[&[2, 3, 8, 12]], |t| ops::patch_targets(&t[0], 4)),
        case("normalise_pixels", &[&[2, 5, 48]], |t| ops::normalise_pixels(&t[0])),
        case("normalise_pixels, constant", &[&[2, 5, 48]], |t| ops::normalise_pixels(&t[0].detach()))
            .constant(&[0]),
        case("dropout", &[&[5, 77]], |t| ops::dropout(&t[0], 0.3, &mut stream())),
        case("drop_path", &[&[9, 2, 7]], |t| ops::drop_path(&t[0], 0.4, &mut stream())),
    ]
}

fn objectives() -> Vec<Case> {
    let mask = |t: &Tensor| Tensor::new(&[[1f32, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 1.0]], t.device());
    let real = |t: &[Tensor]| ops::normalise(&t[0], 1, 1e-12);
    vec![
        case("masked_mse", &[&[2, 5, 147], &[2, 5, 147]], move |t| {
            ops::masked_mse(&t[0], &t[1].detach(), &mask(&t[0])?)
        })
        .constant(&[1]),
        case("masked_mse, soft targets", &[&[2, 5, 4], &[2, 5, 4]], move |t| {
            ops::masked_mse(&t[0], &t[1], &mask(&t[0])?.to_dtype(t[0].dtype())?)
        }),
        case("cross_entropy", &[&[6, 5], &[6, 5]], |t| {
            ops::cross_entropy(&t[0], &ops::softmax(&t[1].detach(), 1)?)
        })
        .constant(&[1]),
        case("cross_entropy, 1000 classes", &[&[3, 1000]], |t| {
            ops::cross_entropy(&t[0], &losses::one_hot(&[999, 0, 17], 1000, 0.1, &t[0])?)
        }),
        case("normalise", &[&[4, 33]], |t| ops::normalise(&t[0], 1, 1e-12)),
        case("simsiam", &[&[4, 9], &[4, 9]], |t| losses::simsiam(&t[0], &t[1])),
        case("byol", &[&[4, 9], &[4, 9]], |t| losses::byol(&t[0], &t[1])),
        case("info_nce", &[&[4, 9], &[4, 9]], |t| losses::info_nce(&t[0], &t[1], 0.2, false)).scale(0.2),
        case("moco_v3", &[&[4, 9], &[4, 9]], |t| losses::moco_v3(&t[0], &t[1], 0.2)),
        case("real_anchored", &[&[5, 9]], move |t| {
            losses::real_anchored(&real(t)?, &[0, 1, 0, 1, 0], 0, 0.5)
        }),
    ]
}

/// Optimiser, average and norm: results after a few steps.
fn updates() -> Vec<Case> {
    vec![
        case("adamw", &[&[7, 301], &[7, 301]], |t| {
            optimise(t, |groups| {
                let mut optimiser = AdamW::new(groups, AdamConfig::default())?;
                Ok(Box::new(move |grads, lr| optimiser.step(grads, lr)))
            })
        })
        .update(),
        case("adam", &[&[7, 301], &[7, 301]], |t| {
            optimise(t, |groups| {
                let mut optimiser = Adam::new(groups, AdamConfig::default())?;
                Ok(Box::new(move |grads, lr| optimiser.step(grads, lr)))
            })
        })
        .update(),
        case("sgd, momentum", &[&[7, 301], &[7, 301]], |t| {
            optimise(t, |groups| {
                let config = SgdConfig { momentum: 0.9, nesterov: true, decoupled: false };
                let mut optimiser = Sgd::new(groups, config)?;
                Ok(Box::new(move |grads, lr| optimiser.step(grads, lr)))
            })
        })
        .update(),
        case("lars", &[&[7, 301], &[7, 301]], |t| {
            optimise(t, |groups| {
                let mut optimiser = Lars::new(groups, LarsConfig::default())?;
                Ok(Box::new(move |grads, lr| optimiser.step(grads, lr)))
            })
        })
        .update(),
        case("accumulate_gradients", &[&[3, 301], &[3, 301]], |t| {
            let var = Var::from_tensor(&t[0].force_contiguous()?)?;
            let named = [("p".to_owned(), var.clone())];
            let mut grads = crate::backward(&var.mul(&t[1])?.sum_all()?)?;
            let mut more = crate::backward(&var.sqr()?.sum_all()?)?;
            accumulate_gradients(&mut grads, &mut more, &named)?;
            Ok(grads.get(&var).map_or_else(|| var.zeros_like(), |g| Ok(g.clone()))?)
        })
        .update(),
        case("ema_update", &[&[3, 301], &[3, 301]], |t| {
            let store = |value: &Tensor| -> Result<ParamStore> {
                let store = ParamStore::new(value.device(), value.dtype(), 0);
                store.provide(BTreeMap::from([("w".to_owned(), value.force_contiguous()?)]));
                store.get("w", value.shape(), &Init::ZEROS)?;
                Ok(store)
            };
            let (target, online) = (store(&t[0])?, store(&t[1])?);
            ema_update(&target, &online, 0.9)?;
            target.get("w", t[0].shape(), &Init::ZEROS)
        })
        .update(),
        case("clip_global_norm", &[&[3, 301], &[57]], |t| {
            let vars =
                [Var::from_tensor(&t[0].force_contiguous()?)?, Var::from_tensor(&t[1].force_contiguous()?)?];
            let loss = (vars[0].sqr()?.sum_all()? + vars[1].sqr()?.sum_all()?)?;
            let mut grads = crate::backward(&loss)?;
            let named: Vec<(String, Var)> = vars.iter().map(|v| ("p".to_owned(), v.clone())).collect();
            let before = clip_global_norm(&mut grads, &named, 1.5)?;
            let after = global_norm(&grads, &named)?;
            let norms = Tensor::new(&[before / 10.0, after], t[0].device())?.to_dtype(t[0].dtype())?;
            let first = grads.get(&vars[0]).map(Tensor::flatten_all).transpose()?;
            Ok(match first {
                Some(first) => Tensor::cat(&[&norms, &first], 0)?,
                None => norms,
            })
        })
        .update(),
    ]
}

type Step = Box<dyn FnMut(&candle_core::backprop::GradStore, f64) -> Result<()>>;

/// Three steps on parameter `t[0]` with gradient `t[1]`.
fn optimise(t: &[Tensor], make: impl Fn(Vec<Group>) -> Result<Step>) -> Result<Tensor> {
    let var = Var::from_tensor(&t[0].force_contiguous()?)?;
    let group = Group { vars: vec![("p".into(), var.clone())], lr_scale: 0.5, weight_decay: 0.1 };
    let mut step = make(vec![group])?;
    for _ in 0..3 {
        step(&crate::backward(&var.mul(&t[1])?.sum_all()?)?, 0.02)?;
    }
    Ok(var.as_detached_tensor())
}

/// The random numbers of a case: the same on every device.
fn stream() -> Rng {
    let mut rng = Rng::new("selftest-random", 7, &[]);
    for _ in 0..5 {
        rng.uniform(); // not at the start of a block of the stream
    }
    rng
}
