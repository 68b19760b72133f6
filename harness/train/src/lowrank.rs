//! Low-rank updates of a backbone's weights, kept beside them (LoRA, arXiv 2106.09685).
//!
//! W + (alpha / rank) · B A, with A (rank, in) ~ U(±1/√in) and B (out, rank) = 0, so that training starts from the
//! backbone as it is. The update is computed here and handed to the backbone plugin in the weight's place: any plugin
//! with blocks named as in timm works unchanged, and scoring multiplies by the merged weight, at no extra cost.
//! In the fused qkv weight, the thirds of query, key and value have updates of their own.

use std::collections::BTreeMap;

use candle_core::Tensor;
use facebench_engine::ParamStore;
use facebench_engine::params::Init;
use facebench_host::LowRank;

use crate::error::{Result, bad_spec};

/// What names of update parameters start with.
pub(crate) const PREFIX: &str = "lora.";

/// Target word → weight in a block, and which third of it.
const TARGETS: [(&str, &str, Option<usize>); 6] = [
    ("q", "attn.qkv", Some(0)),
    ("k", "attn.qkv", Some(1)),
    ("v", "attn.qkv", Some(2)),
    ("proj", "attn.proj", None),
    ("fc1", "mlp.fc1", None),
    ("fc2", "mlp.fc2", None),
];

/// By weight: target words, each with the third it stands for.
pub(crate) type Targets = BTreeMap<String, Vec<(&'static str, Option<usize>)>>;

/// Weights that `how` updates, of those with these names.
pub(crate) fn targets(how: &LowRank, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Targets> {
    let known: Vec<&str> = TARGETS.iter().map(|t| t.0).collect();
    if let Some(odd) = how.targets.iter().find(|t| !known.contains(&t.as_str())) {
        return bad_spec!("low-rank target `{odd}`: expected one of {}", known.join(", "));
    }
    if how.rank == 0 || how.targets.is_empty() {
        return bad_spec!("a low-rank update needs a rank of at least 1 and a target");
    }
    let mut found = BTreeMap::new();
    for name in shapes.keys() {
        let Some(base) = name.strip_suffix(".weight").filter(|n| n.starts_with("blocks.")) else {
            continue;
        };
        let wanted = |(word, layer, _): &(&str, &str, _)| {
            base.ends_with(&format!(".{layer}")) && how.targets.iter().any(|t| t == word)
        };
        let words: Vec<_> =
            TARGETS.into_iter().filter(wanted).map(|(word, _, third)| (word, third)).collect();
        if !words.is_empty() {
            found.insert(name.clone(), words);
        }
    }
    if found.is_empty() {
        return bad_spec!(
            "no weight of this backbone is called like {}; a low-rank update needs a vision transformer with timm's names\n\
             hint: `bitfit` or `linear` work with every backbone",
            how.targets.join(", ")
        );
    }
    Ok(found)
}

/// One product B A and where it is added.
struct Factor {
    third: Option<usize>,
    a: Tensor,
    b: Tensor,
}

/// The update of every targeted weight.
pub(crate) struct Update {
    scale: f64,
    weights: BTreeMap<String, (Tensor, Vec<Factor>)>,
}

impl Update {
    /// Creates the update's parameters for the blocks that `store` holds.
    pub(crate) fn new(how: &LowRank, store: &ParamStore) -> Result<Self> {
        let mut weights = BTreeMap::new();
        let tensors = store.tensors();
        for (name, words) in targets(how, &store.shapes())? {
            let weight = tensors[&name].clone();
            let base = name.trim_end_matches(".weight");
            let mut factors = Vec::new();
            for (word, third) in words {
                let (out, input) = weight.dims2()?;
                let out = if third.is_some() { out / 3 } else { out };
                let bound = 1.0 / (input as f64).sqrt();
                let p = format!("{PREFIX}{base}.{word}");
                factors.push(Factor {
                    third,
                    a: store.get(&format!("{p}.a"), (how.rank, input), &Init::Uniform { bound })?,
                    b: store.get(&format!("{p}.b"), (out, how.rank), &Init::ZEROS)?,
                });
            }
            weights.insert(name, (weight, factors));
        }
        Ok(Self { scale: how.alpha / how.rank as f64, weights })
    }

    /// The updated weights by name; `tracked` lets gradients reach A and B.
    pub(crate) fn effective(&self, tracked: bool) -> Result<BTreeMap<String, Tensor>> {
        let mut out = BTreeMap::new();
        for (name, (weight, factors)) in &self.weights {
            let product = |f: &Factor| -> Result<Tensor> {
                let (a, b) = if tracked { (f.a.clone(), f.b.clone()) } else { (f.a.detach(), f.b.detach()) };
                Ok((b.matmul(&a)? * self.scale)?)
            };
            let delta = match factors.as_slice() {
                [Factor { third: None, .. }] => product(&factors[0])?,
                thirds => {
                    let (out, input) = weight.dims2()?;
                    let zero = Tensor::zeros((out / 3, input), weight.dtype(), weight.device())?;
                    let rows: Vec<Tensor> = (0..3)
                        .map(|i| match thirds.iter().find(|f| f.third == Some(i)) {
                            Some(factor) => product(factor),
                            None => Ok(zero.clone()),
                        })
                        .collect::<Result<_>>()?;
                    Tensor::cat(&rows, 0)?
                }
            };
            out.insert(name.clone(), (weight + delta)?);
        }
        Ok(out)
    }
}
