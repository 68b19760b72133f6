//! Position tables: fixed sine-cosine codes and resizing of learned ones.
//!
//! The cls row comes first. The sine-cosine table follows the MAE code (arXiv 2111.06377): the
//! first half of the channels encodes the column, the second the row.
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};

/// Fixed table of shape (1 + grid², width), row-major, in f64 rounded to f32. The cls row is zero.
/// `width` must be divisible by 4.
pub fn sincos_pos_embed(width: usize, grid: usize) -> Result<Vec<f32>> {
    if width == 0 || !width.is_multiple_of(4) {
        return Err(Error::argument("sincos_pos_embed", "a width divisible by 4", width.to_string()));
    }
    let quarter = width / 4;
    let mut table = vec![0.0f32; (1 + grid * grid) * width];
    for (at, row) in table.chunks_exact_mut(width).skip(1).enumerate() {
        for (half, position) in [(0, at % grid), (1, at / grid)] {
            for i in 0..quarter {
                let omega = 1.0 / 10_000f64.powf(i as f64 / quarter as f64);
                let angle = position as f64 * omega;
                row[half * 2 * quarter + i] = angle.sin() as f32;
                row[half * 2 * quarter + quarter + i] = angle.cos() as f32;
            }
        }
    }
    Ok(table)
}

/// How a table of positions is resampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// PyTorch's `interpolate(mode="bicubic", align_corners=False)`: Keys' cubic with A = -0.75, half-pixel centres, no
    /// antialiasing, border samples clamped.
    #[default]
    Bicubic,
    /// The same with `scale_factor = (new + 0.1) / old`, as DINO and DINOv2 call it.
    BicubicOffset,
    /// The same with `antialias=True`: A = -0.5, the kernel widened when shrinking.
    BicubicAntialias,
}

/// Resizes a table `(1, 1 + g², D)` to `grid × grid` positions, bicubically; the cls row is unchanged.
pub fn interpolate_pos_embed(table: &Tensor, grid: usize) -> Result<Tensor> {
    resize_positions(table, 1, (grid, grid), Resize::Bicubic)
}

/// Resizes a table `(1, rows + g², D)` to a grid of (rows, columns) positions; the first `rows` rows are unchanged.
/// The result is f32 for half-precision tables.
///
/// Errors: a table that is not a square grid after its first rows, an empty grid.
pub fn resize_positions(table: &Tensor, rows: usize, grid: (usize, usize), how: Resize) -> Result<Tensor> {
    let (_, total, width) = table.dims3()?;
    let old = (total.saturating_sub(rows) as f64).sqrt().round() as usize;
    if old == 0 || old * old + rows != total || grid.0 == 0 || grid.1 == 0 {
        return Err(Error::argument(
            "resize_positions",
            format!("(1, {rows} + g*g, D) and a grid of at least 1 x 1"),
            format!("{:?}, {grid:?}", table.dims()),
        ));
    }
    if (old, old) == grid {
        return Ok(table.clone());
    }
    let dtype = if table.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let values: Vec<f64> = table.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
    let (down, across) = (how.taps(old, grid.0), how.taps(old, grid.1));
    let patches = &values[rows * width..];
    let mut wide = vec![0.0f64; old * grid.1 * width]; // (old rows, new columns, D)
    for y in 0..old {
        for (x, taps) in across.iter().enumerate() {
            accumulate(&mut wide[(y * grid.1 + x) * width..][..width], taps, |s| {
                &patches[(y * old + s) * width..][..width]
            });
        }
    }
    let mut out = values[..rows * width].to_vec();
    out.resize((rows + grid.0 * grid.1) * width, 0.0);
    for (y, taps) in down.iter().enumerate() {
        for x in 0..grid.1 {
            let at = (rows + y * grid.1 + x) * width;
            accumulate(&mut out[at..at + width], taps, |s| &wide[(s * grid.1 + x) * width..][..width]);
        }
    }
    Ok(Tensor::from_vec(out, (1, rows + grid.0 * grid.1, width), table.device())?.to_dtype(dtype)?)
}

/// Position rows (1, R·C, D) of one grid (rows, columns) for another, by the cubic of [`interpolate_pos_embed`].
/// Differentiable: one product with a fixed matrix. For tables that train on several input sizes.
pub fn regrid_positions(table: &Tensor, from: (usize, usize), to: (usize, usize)) -> Result<Tensor> {
    let (one, n, _) = table.dims3()?;
    if one != 1 || from.0 * from.1 != n || n == 0 || to.0 * to.1 == 0 {
        return Err(Error::argument(
            "regrid_positions",
            "(1, rows * columns, D) and a grid of at least 1 x 1",
            format!("{:?}, {from:?} to {to:?}", table.dims()),
        ));
    }
    if from == to {
        return Ok(table.clone());
    }
    let (rows, columns) = (Resize::Bicubic.taps(from.0, to.0), Resize::Bicubic.taps(from.1, to.1));
    let mut weights = vec![0.0f64; to.0 * to.1 * n];
    for (at, line) in weights.chunks_exact_mut(n).enumerate() {
        for &(y, wy) in &rows[at / to.1] {
            for &(x, wx) in &columns[at % to.1] {
                line[y * from.1 + x] += wy * wx;
            }
        }
    }
    let weights = Tensor::from_vec(weights, (to.0 * to.1, n), table.device())?.to_dtype(table.dtype())?;
    Ok(weights.matmul(&table.squeeze(0)?.contiguous()?)?.unsqueeze(0)?)
}

fn accumulate<'a>(out: &mut [f64], taps: &[(usize, f64)], source: impl Fn(usize) -> &'a [f64]) {
    for &(at, weight) in taps {
        for (o, s) in out.iter_mut().zip(source(at)) {
            *o += weight * s;
        }
    }
}

impl Resize {
    /// For each of `new` samples the source positions and their weights.
    fn taps(self, old: usize, new: usize) -> Vec<Vec<(usize, f64)>> {
        match self {
            Self::Bicubic => cubic_taps(old, new, old as f64 / new as f64),
            Self::BicubicOffset => cubic_taps(old, new, old as f64 / (new as f64 + 0.1)),
            Self::BicubicAntialias => widened_taps(old, new),
        }
    }
}

/// Keys' cubic at distance `x`.
fn cubic(x: f64, a: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

/// Four neighbours each, weighted with A = -0.75; `scale` is the step in the source.
fn cubic_taps(old: usize, new: usize, scale: f64) -> Vec<Vec<(usize, f64)>> {
    let tap = |centre: f64, k: i64| {
        let floor = centre.floor();
        let at = (floor as i64 + k - 1).clamp(0, old as i64 - 1) as usize;
        (at, cubic(centre - floor - (k - 1) as f64, -0.75))
    };
    (0..new).map(|i| (0..4).map(|k| tap(scale * (i as f64 + 0.5) - 0.5, k)).collect()).collect()
}

/// The kernel with A = -0.5, as wide as the step when shrinking, cut at the border and normalised.
fn widened_taps(old: usize, new: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    (0..new)
        .map(|i| {
            let centre = scale * (i as f64 + 0.5);
            let first = ((centre - 2.0 * stretch + 0.5) as i64).max(0) as usize;
            let last = ((centre + 2.0 * stretch + 0.5) as usize).min(old);
            let weights: Vec<f64> =
                (first..last).map(|j| cubic((j as f64 - centre + 0.5) / stretch, -0.5)).collect();
            let sum: f64 = weights.iter().sum();
            (first..last).zip(weights).map(|(j, w)| (j, w / sum)).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// PyTorch 2.15 in f64: `interpolate(mode="bicubic")` with a size, with `scale_factor=(new + 0.1)/5`, with antialias.
    #[test]
    fn every_rule_equals_pytorchs() {
        let values: Vec<f64> = (0..50).map(f64::from).map(|i| (0.9 * i + 0.01 * i * i).sin()).collect();
        let table = Tensor::from_vec(values, (1, 25, 2), &Device::Cpu).unwrap();
        for (new, how, first, middle, last, sum) in [
            (3, Resize::Bicubic, [0.0784151098, 0.3653710555], -0.4579307193, -0.08181501, -0.1230185653),
            (
                3,
                Resize::BicubicOffset,
                [0.079710583, 0.385538963],
                -0.3791689046,
                0.1442858731,
                -0.4592504035,
            ),
            (
                3,
                Resize::BicubicAntialias,
                [0.0731468005, 0.246349302],
                0.0098749627,
                -0.0118335508,
                0.1735105403,
            ),
            (7, Resize::Bicubic, [-0.0376470857, 0.9783512706], -0.4579307193, -1.0701753491, 0.7941772839),
            (
                7,
                Resize::BicubicOffset,
                [-0.0386250385, 0.9830310513],
                -0.4312396257,
                -0.9835991787,
                0.4887026931,
            ),
            (
                7,
                Resize::BicubicAntialias,
                [-0.0269768063, 0.9266654724],
                -0.4579307193,
                -1.0093297819,
                0.8059570443,
            ),
        ] {
            let got = resize_positions(&table, 0, (new, new), how).unwrap();
            let got = got.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let n = got.len();
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-8, "{how:?} to {new}: {a} is not {b}");
            close(got[0], first[0]);
            close(got[1], first[1]);
            close(got[new * new], middle);
            close(got[n - 1], last);
            close(got.iter().sum(), sum);
        }
    }

    #[test]
    fn resizing_equals_the_loading_rule_and_has_gradients() {
        let values: Vec<f64> = (0..17 * 8).map(|i| (0.7 * i as f64).sin()).collect();
        let table = Tensor::from_vec(values, (1, 17, 8), &Device::Cpu).unwrap();
        let patches = Var::from_tensor(&table.narrow(1, 1, 16).unwrap().contiguous().unwrap()).unwrap();
        for grid in [2, 3, 7] {
            let got = regrid_positions(&patches, (4, 4), (grid, grid)).unwrap();
            let want = interpolate_pos_embed(&table, grid).unwrap().narrow(1, 1, grid * grid).unwrap();
            let off = (&got - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(off < 1e-14, "{grid}: {off}");
            // each new position is an average of old ones: the gradients of the sum add up to their number
            let grads = crate::backward(&got.sum_all().unwrap()).unwrap();
            let sum = grads.get(&patches).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            assert!((sum - (8 * grid * grid) as f64).abs() < 1e-10);
        }
        assert!(regrid_positions(&patches, (3, 5), (2, 2)).is_err());
    }
}
