//! What happens to a tile of a matrix product before it is stored.
//!
//! Bias, GELU (keeping its slope for the backward pass), residual sums and products with a saved
//! slope happen while the tile is in the first-level cache, instead of in passes of their own.
use super::Isa;
use super::math::{LANES, gelu, map3};
use super::parallel::Shared;

/// The last step of a matrix product `v = A·B`; `r` is the row, `j` the column. Pointers are the
/// whole matrices, with the layout of `C`.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue {
    /// `v`
    None,
    /// `v + bias[j]`
    Bias(Shared<f32>),
    /// `gelu(v + bias[j])`; the slope there goes to the second pointer unless it is null.
    BiasGelu(Shared<f32>, Shared<f32>),
    /// `residual[r, j] + scale[r]·(v + bias[j])`; a null scale is 1.
    BiasResidual { bias: Shared<f32>, residual: Shared<f32>, scale: Shared<f32> },
    /// `v · factor[r, j]`
    Mul(Shared<f32>),
}

/// Where a tile lies in `C`.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Epilogue {
    /// Stores `tile` (stride NR) to `c` (stride `ldc`), adding what is there if `add`.
    ///
    /// # Safety
    /// `place` lies inside `c` and inside every matrix of the epilogue; no other task touches it.
    #[inline(always)]
    pub(crate) unsafe fn store<I: Isa>(self, tile: &[f32], place: Place, c: *mut f32, ldc: usize, add: bool) {
        for r in 0..place.rows {
            let tile = &tile[r * I::NR..][..place.cols];
            let at = (place.row + r) * ldc + place.col;
            // SAFETY: row `r` of the tile's place, see above.
            unsafe {
                if place.cols == I::NR {
                    self.store_row::<I>(&tile[..I::NR], place.row + r, place.col, at, c, add);
                } else {
                    self.store_row::<I>(tile, place.row + r, place.col, at, c, add);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store_row<I: Isa>(
        self,
        tile: &[f32],
        row: usize,
        col: usize,
        at: usize,
        c: *mut f32,
        add: bool,
    ) {
        let n = tile.len();
        // SAFETY: `n` values at `at` (matrices) or `col` (bias) exist, see `store`.
        unsafe {
            let c = std::slice::from_raw_parts_mut(c.add(at), n);
            let part =
                |p: Shared<f32>, start: usize| std::slice::from_raw_parts(p.get().add(start).cast_const(), n);
            if add {
                map3(c, tile, tile, |c, v, _| v + c);
            } else {
                c.copy_from_slice(tile);
            }
            match self {
                Self::None => {}
                Self::Bias(bias) => {
                    let bias = part(bias, col);
                    map3(c, bias, bias, |v, b, _| v + b);
                }
                Self::BiasGelu(bias, slope) => {
                    let bias = part(bias, col);
                    if slope.get().is_null() {
                        map3(c, bias, bias, |v, b, _| gelu::<I>(v + b).0);
                    } else {
                        gelu_with_slope::<I>(c, bias, slope.slice(at, n));
                    }
                }
                Self::BiasResidual { bias, residual, scale } => {
                    let (bias, residual) = (part(bias, col), part(residual, at));
                    let scale = if scale.get().is_null() { 1.0 } else { *scale.get().add(row) };
                    map3(c, bias, residual, |v, b, r| r + scale * (v + b));
                }
                Self::Mul(factor) => {
                    let factor = part(factor, at);
                    map3(c, factor, factor, |v, f, _| v * f);
                }
            }
        }
    }
}

/// `slope = gelu'(c + bias)`, then `c = gelu(c + bias)`.
#[inline(always)]
fn gelu_with_slope<I: Isa>(c: &mut [f32], bias: &[f32], slope: &mut [f32]) {
    let ((c, c_rest), (bias, bias_rest)) = (c.as_chunks_mut::<LANES>(), bias.as_chunks::<LANES>());
    let (slope, slope_rest) = slope.as_chunks_mut::<LANES>();
    for ((c, bias), slope) in c.iter_mut().zip(bias).zip(slope) {
        let (mut value, mut derivative) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            (value[i], derivative[i]) = gelu::<I>(c[i] + bias[i]);
        }
        *c = value;
        *slope = derivative;
    }
    for ((c, bias), slope) in c_rest.iter_mut().zip(bias_rest).zip(slope_rest) {
        (*c, *slope) = gelu::<I>(*c + bias);
    }
}
