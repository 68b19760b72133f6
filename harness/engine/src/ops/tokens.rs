//! Selecting visible tokens and putting them back.
//!
//! Masked pre-training encodes only the visible patches: [`gather_tokens`] picks them per image,
//! [`scatter_tokens`] returns them to their places and fills the others with the mask token. Both
//! copy whole tokens; the position lists are read once, when the operation is called.
use super::fast;
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::parallel::{self, Shared};
use crate::kernels::scratch::uninit;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Tensor};

/// Picks `keep[b, i]` from `x[b]`. `x: (B, N, D)`, `keep: (B, n)` u32 → `(B, n, D)`.
pub fn gather_tokens(x: &Tensor, keep: &Tensor) -> Result<Tensor> {
    let (b, total, d) = x.dims3()?;
    let n = check_keep("gather_tokens", keep, b)?;
    if cuda::applies(x, &[])
        && n > 0
        && let Some(y) = cuda::gather_tokens(x, keep)?
    {
        return Ok(y);
    }
    if !fast::applies(&[x]) {
        let index = keep.unsqueeze(2)?.broadcast_as((b, n, d))?.contiguous()?;
        return Ok(x.contiguous()?.gather(&index, 1)?);
    }
    let keep: Vec<u32> = keep.flatten_all()?.to_vec1()?;
    if let Some(far) = keep.iter().find(|&&k| k as usize >= total) {
        return Err(Error::argument("gather_tokens", format!("positions below {total}"), far.to_string()));
    }
    let x = x.contiguous()?;
    let op = Gather { keep, n };
    Ok(if x.track_op() { x.apply_op1(op)? } else { x.apply_op1_no_bwd(&op)? })
}

/// Inverse of [`gather_tokens`]: `out[b, keep[b, i]] = x[b, i]`, every other position holds
/// `fill`. `x: (B, n, D)`, `keep: (B, n)` u32 without repetitions, `fill: (1, 1, D)` →
/// `(B, total, D)`.
pub fn scatter_tokens(x: &Tensor, keep: &Tensor, fill: &Tensor, total: usize) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    if check_keep("scatter_tokens", keep, b)? != n || fill.elem_count() != d {
        let got = format!("x {:?}, keep {:?}, fill {:?}", x.dims(), keep.dims(), fill.dims());
        return Err(Error::argument("scatter_tokens", "x (B, n, D), keep (B, n), fill (1, 1, D)", got));
    }
    if cuda::applies(x, &[fill]) && total > 0 {
        return cuda::scatter_tokens(x, keep, fill, total);
    }
    let source = sources(keep, n, total)?;
    let fill = &fill.to_dtype(x.dtype())?;
    if !fast::applies(&[x, fill]) {
        let index = Tensor::from_vec(source, (b, total, 1), x.device())?;
        let index = index.broadcast_as((b, total, d))?.contiguous()?;
        let fill = fill.reshape((1, 1, d))?.broadcast_as((b, 1, d))?;
        return Ok(Tensor::cat(&[x, &fill], 1)?.contiguous()?.gather(&index, 1)?); // fill is source n
    }
    let (x, fill) = (x.contiguous()?, fill.contiguous()?);
    let op = Scatter { source, total };
    Ok(if fast::tracked(&[&x, &fill]) { x.apply_op2(&fill, op)? } else { x.apply_op2_no_bwd(&fill, &op)? })
}

fn check_keep(op: &'static str, keep: &Tensor, batch: usize) -> Result<usize> {
    match keep.dims2() {
        Ok((b, n)) if b == batch && keep.dtype() == DType::U32 => Ok(n),
        _ => {
            let got = format!("{:?} {:?}", keep.dims(), keep.dtype());
            Err(Error::argument(op, format!("keep: ({batch}, n) u32"), got))
        }
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
                    let expected = format!("distinct positions below {total}");
                    return Err(Error::argument("scatter_tokens", expected, position.to_string()));
                }
            }
        }
    }
    Ok(source)
}

/// Calls `f(image, out)` for the `images` equal parts of a fresh buffer of `len` values.
fn per_image(images: usize, len: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let mut out = uninit(len);
    let part = len / images.max(1);
    let shared = Shared::new(&mut out);
    // SAFETY: each task has its own image.
    parallel::for_each(images, len, |image| f(image, unsafe { shared.slice(image * part, part) }));
    out
}

struct Gather {
    keep: Vec<u32>,
    n: usize,
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather-tokens"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (b, total, d) = layout.shape().dims3()?;
        let (x, n) = (fast::values(x, layout)?, self.n);
        let out = per_image(b, b * n * d, |image, out| {
            let x = &x[image * total * d..][..total * d];
            for (&k, out) in self.keep[image * n..][..n].iter().zip(out.chunks_exact_mut(d.max(1))) {
                out.copy_from_slice(&x[k as usize * d..][..d]);
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((b, n, d))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (b, total, d) = x.dims3()?;
        let n = self.n;
        let dx = fast::with(g, |g| {
            Ok(per_image(b, b * total * d, |image, dx| {
                dx.fill(0.0);
                let g = &g[image * n * d..][..n * d];
                for (&k, g) in self.keep[image * n..][..n].iter().zip(g.chunks_exact(d.max(1))) {
                    for (o, v) in dx[k as usize * d..][..d].iter_mut().zip(g) {
                        *o += v; // a token may be picked more than once
                    }
                }
            }))
        })?;
        Ok(Some(fast::tensor(dx, x.shape())?))
    }
}

struct Scatter {
    source: Vec<u32>,
    total: usize,
}

impl CustomOp2 for Scatter {
    fn name(&self) -> &'static str {
        "scatter-tokens"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        fill: &CpuStorage,
        lf: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (b, n, d) = lx.shape().dims3()?;
        let (x, fill, total) = (fast::values(x, lx)?, fast::values(fill, lf)?, self.total);
        let out = per_image(b, b * total * d, |image, out| {
            let source = &self.source[image * total..][..total];
            for (&s, out) in source.iter().zip(out.chunks_exact_mut(d.max(1))) {
                let s = s as usize;
                out.copy_from_slice(if s < n { &x[(image * n + s) * d..][..d] } else { fill });
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((b, total, d))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        fill: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (b, n, d) = x.dims3()?;
        let total = self.total;
        fast::with(g, |g| {
            let token = |image: usize, position: usize| &g[(image * total + position) * d..][..d];
            let dx = x.track_op().then(|| {
                per_image(b, b * n * d, |image, dx| {
                    for (position, &s) in self.source[image * total..][..total].iter().enumerate() {
                        if (s as usize) < n {
                            dx[s as usize * d..][..d].copy_from_slice(token(image, position));
                        }
                    }
                })
            });
            let df = fill.track_op().then(|| {
                // per image, then over images in order
                let sums = per_image(b, b * d, |image, sum| {
                    sum.fill(0.0);
                    for (position, &s) in self.source[image * total..][..total].iter().enumerate() {
                        if s as usize >= n {
                            for (o, v) in sum.iter_mut().zip(token(image, position)) {
                                *o += v;
                            }
                        }
                    }
                });
                let mut df = vec![0.0; d];
                for image in sums.chunks_exact(d.max(1)) {
                    for (o, v) in df.iter_mut().zip(image) {
                        *o += v;
                    }
                }
                df
            });
            let dx = dx.map(|dx| fast::tensor(dx, x.shape())).transpose()?;
            let df = match df {
                Some(df) => fast::parameter(fill, df)?,
                None => None,
            };
            Ok((dx, df))
        })
    }
}
