//! Selecting visible tokens and putting them back.
//!
//! Masked pre-training encodes only the visible patches: [`gather_tokens`] picks them per image,
//! [`scatter_tokens`] returns them to their places and fills the others with the mask token.
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};

/// Picks `keep[b, i]` from `x[b]`. `x: (B, N, D)`, `keep: (B, n)` u32 → `(B, n, D)`.
pub fn gather_tokens(x: &Tensor, keep: &Tensor) -> Result<Tensor> {
    let (b, _, d) = x.dims3()?;
    let n = check_keep("gather_tokens", keep, b)?;
    let index = keep.unsqueeze(2)?.broadcast_as((b, n, d))?.contiguous()?;
    Ok(x.contiguous()?.gather(&index, 1)?)
}

/// Inverse of [`gather_tokens`]: `out[b, keep[b, i]] = x[b, i]`, every other position holds
/// `fill`. `x: (B, n, D)`, `keep: (B, n)` u32 without repetitions, `fill: (1, 1, D)` →
/// `(B, total, D)`.
pub fn scatter_tokens(x: &Tensor, keep: &Tensor, fill: &Tensor, total: usize) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    check_keep("scatter_tokens", keep, b)?;
    let index = sources(keep, n, total)?;
    let index =
        Tensor::from_vec(index, (b, total, 1), x.device())?.broadcast_as((b, total, d))?.contiguous()?;
    let source = Tensor::cat(&[x, &fill.broadcast_as((b, 1, d))?], 1)?; // fill is source n
    Ok(source.gather(&index, 1)?)
}

fn check_keep(op: &'static str, keep: &Tensor, batch: usize) -> Result<usize> {
    match keep.dims2() {
        Ok((b, n)) if b == batch && keep.dtype() == DType::U32 => Ok(n),
        _ => Err(Error::argument(
            op,
            format!("keep: ({batch}, n) u32"),
            format!("{:?} {:?}", keep.dims(), keep.dtype()),
        )),
    }
}

/// For every output position the input token it comes from, `n` where there is none.
fn sources(keep: &Tensor, n: usize, total: usize) -> Result<Vec<u32>> {
    let rows = keep.to_vec2::<u32>()?;
    let mut source = vec![n as u32; rows.len() * total];
    for (row, out) in rows.iter().zip(source.chunks_exact_mut(total.max(1))) {
        for (i, &position) in row.iter().enumerate() {
            match out.get_mut(position as usize) {
                Some(slot) if *slot == n as u32 => *slot = i as u32,
                _ => {
                    return Err(Error::argument(
                        "scatter_tokens",
                        format!("distinct positions below {total}"),
                        position.to_string(),
                    ));
                }
            }
        }
    }
    Ok(source)
}
