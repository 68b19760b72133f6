//! What heads want measured on the training set: statistics of the pooled features, or the features themselves.
//!
//! A head asks for fixed tensors with reserved names; they are filled here once, before training, from features
//! computed without augmentation, and travel with the trained parameters. Sums are f64 in the order of the samples.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use facebench_engine::ParamStore;
use facebench_protocols::Sample;

use crate::detector::FeatureBatch;
use crate::error::{Result, bad_spec};

/// What the reserved names start with.
pub(crate) const PREFIX: &str = "fit.";

/// Whether the head in `store` wants something measured.
pub(crate) fn wanted(store: &ParamStore) -> bool {
    store.names().iter().any(|n| n.starts_with(PREFIX))
}

/// Measures on the features of `samples` and sets what was asked for.
pub(crate) fn fill(store: &ParamStore, features: &FeatureBatch, samples: &[Sample]) -> Result<()> {
    let pooled = &features.pooled; // (N, D)
    let (count, width) = pooled.dims2()?;
    let mut values = BTreeMap::new();
    for name in store.names().into_iter().filter(|n| n.starts_with(PREFIX)) {
        let value = match name.as_str() {
            "fit.features" => pooled.clone(),
            "fit.labels" => {
                let labels: Vec<f32> = samples.iter().map(|s| f32::from(s.label)).collect();
                Tensor::from_vec(labels, count, pooled.device())?
            }
            "fit.mean" | "fit.std" => {
                let (mean, std) = statistics(pooled)?;
                let chosen = if name == "fit.mean" { mean } else { std };
                Tensor::from_vec(chosen, width, pooled.device())?
            }
            other => {
                return bad_spec!(
                    "the head asks for `{other}`, expected fit.mean, fit.std, fit.features or fit.labels"
                );
            }
        };
        values.insert(name, value);
    }
    Ok(store.set_all(&values)?)
}

/// Mean and standard deviation of each of the D columns; a column that never changes gets 1.
fn statistics(pooled: &Tensor) -> Result<(Vec<f32>, Vec<f32>)> {
    let (count, width) = pooled.dims2()?;
    let values: Vec<f32> = pooled.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let mut mean = vec![0f64; width];
    for row in values.chunks_exact(width) {
        for (m, v) in mean.iter_mut().zip(row) {
            *m += f64::from(*v) / count as f64;
        }
    }
    let mut variance = vec![0f64; width];
    for row in values.chunks_exact(width) {
        for ((s, v), m) in variance.iter_mut().zip(row).zip(&mean) {
            *s += (f64::from(*v) - m).powi(2) / count as f64;
        }
    }
    let std = variance.iter().map(|v| if *v > 1e-24 { v.sqrt() as f32 } else { 1.0 }).collect();
    Ok((mean.iter().map(|m| *m as f32).collect(), std))
}
