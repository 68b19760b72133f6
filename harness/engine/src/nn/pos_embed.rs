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

/// Resizes a table `(1, 1 + g², D)` to `grid × grid` positions: cls row unchanged, the rest
/// bicubic with A = -0.75, half-pixel centres, no antialiasing, border samples clamped (PyTorch's
/// `interpolate(mode="bicubic", align_corners=False)`).
pub fn interpolate_pos_embed(table: &Tensor, grid: usize) -> Result<Tensor> {
    let (_, rows, width) = table.dims3()?;
    let old = ((rows.saturating_sub(1)) as f64).sqrt().round() as usize;
    if old == 0 || old * old + 1 != rows || grid == 0 {
        return Err(Error::argument(
            "interpolate_pos_embed",
            "(1, 1 + g*g, D) and a grid of at least 1",
            format!("{:?}, {grid}", table.dims()),
        ));
    }
    if old == grid {
        return Ok(table.clone());
    }
    let dtype = table.dtype();
    let values: Vec<f64> = table.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
    let taps = cubic_taps(old, grid);
    let patches = &values[width..];
    let mut wide = vec![0.0f64; old * grid * width]; // (old rows, new columns, D)
    for y in 0..old {
        for (x, taps) in taps.iter().enumerate() {
            accumulate(&mut wide[(y * grid + x) * width..][..width], taps, |s| {
                &patches[(y * old + s) * width..][..width]
            });
        }
    }
    let mut out = values[..width].to_vec();
    out.resize((1 + grid * grid) * width, 0.0);
    for (y, taps) in taps.iter().enumerate() {
        for x in 0..grid {
            let at = (1 + y * grid + x) * width;
            accumulate(&mut out[at..at + width], taps, |s| &wide[(s * grid + x) * width..][..width]);
        }
    }
    Ok(Tensor::from_vec(out, (1, 1 + grid * grid, width), table.device())?.to_dtype(dtype)?)
}

fn accumulate<'a>(out: &mut [f64], taps: &[(usize, f64); 4], source: impl Fn(usize) -> &'a [f64]) {
    for &(at, weight) in taps {
        for (o, s) in out.iter_mut().zip(source(at)) {
            *o += weight * s;
        }
    }
}

/// For each of `new` samples the four source positions and weights of Keys' cubic, A = -0.75.
fn cubic_taps(old: usize, new: usize) -> Vec<[(usize, f64); 4]> {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let scale = old as f64 / new as f64;
    (0..new)
        .map(|i| {
            let centre = scale * (i as f64 + 0.5) - 0.5;
            let floor = centre.floor();
            let t = centre - floor;
            let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            std::array::from_fn(|k| {
                let at = (floor as i64 + k as i64 - 1).clamp(0, old as i64 - 1);
                (at as usize, weights[k])
            })
        })
        .collect()
}
