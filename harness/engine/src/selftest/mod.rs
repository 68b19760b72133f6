//! Every operation on a device, against its definition in f64 on the processor.
//!
//! For each case random inputs go through the operation twice, on the device in the type under test and on the
//! processor as the composite in f64, forward and backward (of `Σ y·r` with fixed random `r`). Compared is the largest
//! absolute difference, over the largest absolute value of the reference, for the result and for each gradient. For
//! bf16 the inputs are rounded first, so that only the arithmetic is judged. On the CPU the same cases compare the
//! fast kernels with the composites.
mod bench;
mod cases;
mod images;

pub use bench::{Timing, bench};

use crate::error::Result;
use crate::rng::Rng;
use candle_core::{DType, Device, Tensor, Var};
use cases::{Case, cases};

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Also bf16 activations, with bf16 and with f32 parameters.
    pub half: bool,
}

/// One compared operation.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the operation.
    pub op: &'static str,
    /// `f32`, `bf16`, or `bf16+f32` for bf16 activations with f32 parameters.
    pub dtype: &'static str,
    /// Shapes of its inputs.
    pub shapes: String,
    /// Largest relative deviation of the result.
    pub forward: f64,
    /// Largest relative deviation of a gradient; `None` for operations without one.
    pub backward: Option<f64>,
    /// What is allowed.
    pub tolerance: f64,
    /// Whether both are within it.
    pub pass: bool,
}

/// Allowed deviation in f32: a few hundred roundings.
pub const TOLERANCE_F32: f64 = 5e-5;

/// Allowed deviation in bf16, whose numbers have 8 bits: a few roundings in a row.
pub const TOLERANCE_BF16: f64 = 3e-2;

/// How the inputs of a run are stored.
#[derive(Clone, Copy, PartialEq)]
enum Precision {
    Single,
    Half,
    /// bf16 activations, f32 parameters.
    Mixed,
}

/// Runs all cases on `device`. An operation that fails, rather than deviates, is an error naming it.
pub fn run(device: &Device, options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for case in cases() {
        rows.push(compare(&case, device, Precision::Single)?);
        if options.half && case.half {
            rows.push(compare(&case, device, Precision::Half)?);
            if case.parameters > 0 {
                rows.push(compare(&case, device, Precision::Mixed)?);
            }
        }
    }
    Ok(rows)
}

fn compare(case: &Case, device: &Device, precision: Precision) -> Result<Row> {
    let (dtype, name, tolerance) = match precision {
        Precision::Single => (DType::F32, "f32", TOLERANCE_F32),
        Precision::Half => (DType::BF16, "bf16", TOLERANCE_BF16),
        Precision::Mixed => (DType::BF16, "bf16+f32", TOLERANCE_BF16),
    };
    let wrong = |e| {
        crate::Error::argument(
            "selftest",
            format!("{} in {name} to run", case.name),
            format!("{e}").lines().next().unwrap_or_default().to_owned(),
        )
    };
    let first_parameter = case.shapes.len() - case.parameters;
    let (mut tested, mut exact) = (Vec::new(), Vec::new());
    for (i, shape) in case.shapes.iter().enumerate() {
        let mut rng = Rng::new("selftest", i as u64, &[case.name]);
        let count: usize = shape.iter().product();
        let values: Vec<f64> = (0..count).map(|_| case.scale * rng.normal()).collect();
        let rounded = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?.to_dtype(dtype)?;
        exact.push(Var::from_tensor(&rounded.to_dtype(DType::F64)?)?);
        let kept = if precision == Precision::Mixed && i >= first_parameter { DType::F32 } else { dtype };
        tested.push(Var::from_tensor(&rounded.to_dtype(kept)?.to_device(device)?)?);
    }
    let (got, expected) = (value(case, &tested).map_err(wrong)?, value(case, &exact)?);
    let forward = deviation(&got.0, &expected.0)?;
    let mut backward = None;
    for (got, expected) in got.1.iter().zip(&expected.1) {
        backward = Some(deviation(got, expected)?.max(backward.unwrap_or(0.0)));
    }
    let pass = forward <= tolerance && backward.is_none_or(|b| b <= tolerance);
    let shapes: Vec<String> = case.shapes.iter().take(3).map(|s| format!("{s:?}")).collect();
    let more = if case.shapes.len() > 3 { " .." } else { "" };
    Ok(Row {
        op: case.name,
        dtype: name,
        shapes: format!("{}{more}", shapes.join(" ")),
        forward,
        backward,
        tolerance,
        pass,
    })
}

/// The result, and the gradient of every input.
fn value(case: &Case, inputs: &[Var]) -> Result<(Tensor, Vec<Tensor>)> {
    let tensors: Vec<Tensor> = inputs
        .iter()
        .map(|v| if case.gradients { v.as_tensor().clone() } else { v.as_detached_tensor() })
        .collect();
    let y = (case.op)(&tensors)?;
    if !case.gradients {
        return Ok((y, Vec::new()));
    }
    let mut rng = Rng::new("selftest-direction", 0, &[case.name]);
    let r: Vec<f64> = (0..y.elem_count()).map(|_| rng.normal()).collect();
    // rounded to bf16, so that the same direction is exact in every precision
    let r = Tensor::from_vec(r, y.shape(), &Device::Cpu)?.to_dtype(DType::BF16)?;
    let loss = y.mul(&r.to_dtype(y.dtype())?.to_device(y.device())?)?.sum_all()?;
    let grads = crate::backward(&loss)?;
    let mut out = Vec::new();
    for (i, v) in inputs.iter().enumerate() {
        out.push(match grads.get(v) {
            Some(grad) => grad.clone(),
            // a lost gradient must show as one, also where the reference's happens to be small
            None if case.constant.contains(&i) => v.as_tensor().zeros_like()?,
            None => v.as_tensor().affine(0.0, f64::NAN)?,
        });
    }
    Ok((y, out))
}

/// Largest absolute difference over the largest absolute expected value (at least 1e-3); infinite where either is
/// not a number.
fn deviation(got: &Tensor, expected: &Tensor) -> Result<f64> {
    let flat = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (got_values, expected_values) = (flat(got)?, flat(expected)?);
    if got.dims() != expected.dims() {
        return Ok(f64::INFINITY);
    }
    let (mut difference, mut size) = (0f64, 1e-3f64);
    for (a, b) in got_values.iter().zip(&expected_values) {
        if !a.is_finite() || !b.is_finite() {
            return Ok(f64::INFINITY);
        }
        difference = difference.max((a - b).abs());
        size = size.max(b.abs());
    }
    Ok(difference / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_kernels_agree_with_the_reference() {
        for row in run(&Device::Cpu, &Options::default()).unwrap() {
            assert!(row.pass, "{row:?}");
        }
    }

    #[test]
    fn a_wrong_result_and_a_lost_gradient_fail() {
        let new = |gradients, op: fn(&[Tensor]) -> Result<Tensor>| Case {
            name: "wrong",
            shapes: vec![vec![2, 3]],
            parameters: 0,
            constant: Vec::new(),
            gradients,
            half: false,
            scale: 1.0,
            op: Box::new(op),
        };
        let wrong = new(true, |t| match t[0].dtype() {
            DType::F64 => Ok(t[0].sqr()?),
            _ => Ok((t[0].sqr()? * 1.001)?),
        });
        let row = compare(&wrong, &Device::Cpu, Precision::Single).unwrap();
        assert!(!row.pass && (row.forward - 1e-3).abs() < 1e-4, "{row:?}");
        let cut = new(true, |t| match t[0].dtype() {
            DType::F64 => Ok(t[0].sqr()?),
            _ => Ok((t[0].detach().sqr()? + t[0].detach())?.sub(&t[0].detach())?),
        });
        assert!(
            compare(&cut, &Device::Cpu, Precision::Single).unwrap().backward.is_some_and(f64::is_infinite)
        );
    }
}
