//! Tensors for the runners: filled parameters, values, summaries, soft targets.

use std::collections::BTreeMap;

use facebench_engine::{DType, Device, Tensor};
use serde_json::Value;

use crate::rules::{self, Fill};
use crate::sheet::{Case, Limit, Must as _};

/// Both precisions a trajectory is run in, with the key of its tolerances.
pub(crate) const PRECISIONS: [(DType, &str, &str); 2] =
    [(DType::F64, "f64", "f64"), (DType::F32, "f32", "f32_against_f64_values")];

/// A tensor of f32 values in the given precision.
pub(crate) fn tensor(values: Vec<f32>, dims: &[usize], dtype: DType) -> Result<Tensor, String> {
    Tensor::from_vec(values, dims, &Device::Cpu).and_then(|t| t.to_dtype(dtype)).must("tensor")
}

/// A tensor of f64 values in the given precision.
pub(crate) fn tensor64(values: Vec<f64>, dims: &[usize], dtype: DType) -> Result<Tensor, String> {
    Tensor::from_vec(values, dims, &Device::Cpu).and_then(|t| t.to_dtype(dtype)).must("tensor")
}

/// All elements, row-major.
pub(crate) fn values(t: &Tensor) -> Result<Vec<f64>, String> {
    t.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).must("tensor")
}

/// A scalar.
pub(crate) fn scalar(t: &Tensor) -> Result<f64, String> {
    t.to_dtype(DType::F64).and_then(|t| t.to_scalar()).must("scalar")
}

/// Root of the sum of squares.
pub(crate) fn l2(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// `[[name, [dims]], …]` as names and dimensions.
pub(crate) fn keys(list: &Value) -> Result<Vec<(String, Vec<usize>)>, String> {
    let mut out = Vec::new();
    for entry in list.as_array().must("list of keys")? {
        out.push((entry[0].as_str().must("key")?.to_owned(), rules::sizes(&entry[1])?));
    }
    Ok(out)
}

/// Parameters in key order by the fill rule.
pub(crate) fn filled(fill: &Fill, keys: &[(String, Vec<usize>)]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut out = BTreeMap::new();
    for (j, (name, dims)) in keys.iter().enumerate() {
        let values = fill.named(name, dims.iter().product(), j as f64);
        out.insert(name.clone(), tensor(values, dims, DType::F32)?);
    }
    Ok(out)
}

/// SHA-256 of tensors as concatenated little-endian f32, in the given order.
pub(crate) fn digest<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<String, String> {
    let mut bytes = Vec::new();
    for t in tensors {
        bytes.extend(values(t)?.into_iter().flat_map(|v| (v as f32).to_le_bytes()));
    }
    Ok(rules::sha256(&bytes))
}

/// Compares the digest at the first key of `init_check` that holds `part`.
pub(crate) fn check_digest(case: &mut Case, file: &Value, part: &str, got: &str) -> Result<(), String> {
    let Some(checks) = file["init_check"].as_object() else { return Ok(()) };
    let Some((key, want)) = checks.iter().find(|(k, _)| k.contains(part)) else { return Ok(()) };
    case.same(key, got, want.as_str().must("digest")?);
    Ok(())
}

/// Limits of the parameters after training.
pub(crate) struct Summary {
    pub(crate) samples: Limit,
    pub(crate) l2: Option<Limit>,
    /// Elements of the key third of `attn.qkv.bias` are left out: their exact gradient is zero
    pub(crate) without_keys: bool,
}

/// Compares parameters with `{name: {samples, l2, …}}`: elements 0, n/3, 2n/3, n-1, and the norm. Returns how many
/// samples were beyond their limit and how many there were; `forgiven` of them are not failures.
pub(crate) fn check_parameters(
    case: &mut Case,
    what: &str,
    got: &BTreeMap<String, Tensor>,
    want: &Value,
    limits: &Summary,
    forgiven: usize,
) -> Result<(), String> {
    let mut spare = forgiven;
    for (name, summary) in want.as_object().must("parameter summaries")? {
        let v = values(got.get(name).ok_or_else(|| format!("{what}: no parameter {name}"))?)?;
        let n = v.len();
        let keys = limits.without_keys && name.ends_with("attn.qkv.bias");
        let samples = rules::flat(&summary["samples"]);
        if samples.len() != 4 || n == 0 {
            return Err(format!("{what}: {name} needs 4 samples, the file has {}", samples.len()));
        }
        for (at, want) in [0, n / 3, 2 * n / 3, n - 1].into_iter().zip(samples) {
            if keys && (n / 3..2 * n / 3).contains(&at) {
                continue;
            }
            if (v[at] - want).abs() > limits.samples.absolute && spare > 0 {
                spare -= 1;
                continue;
            }
            case.number(&format!("{what} {name} [{at}]"), v[at], want, limits.samples);
        }
        if let (Some(limit), Some(want), false) = (limits.l2, summary["l2"].as_f64(), keys) {
            let limit = Limit { absolute: limit.absolute + 1e-12, ..limit };
            case.number(&format!("{what} {name} l2"), l2(&v), want, limit);
        }
    }
    Ok(())
}

/// One-hot rows, smoothed: 1 - s + s/C where the label is, s/C elsewhere.
pub(crate) fn soft_targets(labels: &[u32], classes: usize, smoothing: f64) -> Vec<f64> {
    let off = smoothing / classes as f64;
    let on = 1.0 - smoothing + off;
    labels.iter().flat_map(|&y| (0..classes).map(move |c| if y as usize == c { on } else { off })).collect()
}

/// `lam · v + (1 - lam) · reverse(v)` over rows of a batch.
pub(crate) fn mixed(rows: &[f64], batch: usize, lam: f64) -> Vec<f64> {
    let per = rows.len() / batch.max(1);
    let other = |b: usize, i: usize| rows[(batch - 1 - b) * per + i];
    (0..batch)
        .flat_map(|b| (0..per).map(move |i| (b, i)))
        .map(|(b, i)| lam * rows[b * per + i] + (1.0 - lam) * other(b, i))
        .collect()
}
