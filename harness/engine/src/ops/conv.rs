//! Convolution and pooling over images (B, C, H, W).
//!
//! Dense and grouped convolutions are candle's. A depthwise convolution (one filter per channel) on the CPU is a custom
//! operation, because candle would run it as one convolution per channel; elsewhere it is candle's too. Padding may differ
//! from side to side, as TensorFlow's SAME needs. Pooling is a composition that works on every device.
use super::half;
use crate::error::{Error, Result};
use crate::kernels::parallel::{self, Shared};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor, WithDType};

/// How a convolution steps over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Step inside the filter.
    pub dilation: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Zeros added above, below, left, right.
    pub pad: [usize; 4],
}

/// `x` (B, C, H, W) with filters `w` (O, C/groups, k, k) and bias `b` (O).
pub fn conv2d(x: &Tensor, w: &Tensor, b: Option<&Tensor>, conv: Conv2d) -> Result<Tensor> {
    if half::is(x) {
        // no kernel takes half-precision images beside f32 filters
        return match b {
            Some(b) => half::in_f32(x, [w, b], |x, [w, b]| conv2d(x, &w, Some(&b), conv)),
            None => half::in_f32(x, [w], |x, [w]| conv2d(x, &w, None, conv)),
        };
    }
    let (_, c, h, width) = x.dims4()?;
    let (o, per_group, kh, kw) = w.dims4()?;
    let Conv2d { stride, dilation, groups, pad } = conv;
    let want = |what: &str, got: String| Error::argument("conv2d", what, got);
    if stride == 0 || dilation == 0 || groups == 0 {
        return Err(want("positive stride, dilation and groups", format!("{conv:?}")));
    }
    if per_group * groups != c || o % groups != 0 {
        return Err(want(
            "channels that the groups divide",
            format!("{:?} with {:?}, {groups} groups", x.dims(), w.dims()),
        ));
    }
    let span = |k: usize| dilation * (k - 1) + 1;
    if kh == 0 || kw == 0 || h + pad[0] + pad[1] < span(kh) || width + pad[2] + pad[3] < span(kw) {
        return Err(want(
            "an input at least as large as the filter",
            format!("{:?} with {:?}", x.dims(), w.dims()),
        ));
    }
    let even = pad.iter().all(|p| *p == pad[0]);
    let depthwise =
        per_group == 1 && groups == c && o == c && x.device().is_cpu() && float(x) && x.dtype() == w.dtype();
    let (x, own) = if even && !depthwise {
        (x.clone(), pad[0])
    } else {
        (x.pad_with_zeros(2, pad[0], pad[1])?.pad_with_zeros(3, pad[2], pad[3])?, 0)
    };
    let y = if depthwise {
        x.contiguous()?.apply_op2(&w.contiguous()?, Depthwise { stride, dilation })?
    } else {
        x.contiguous()?.conv2d(&w.contiguous()?, own, stride, dilation, groups)?
    };
    Ok(match b {
        Some(b) => y.broadcast_add(&b.reshape((1, (), 1, 1))?)?,
        None => y,
    })
}

fn float(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::F32 | DType::F64)
}

/// Largest value of each `k` × `k` window, `pad` rows and columns of −∞ around the image.
pub fn max_pool2d(x: &Tensor, k: usize, stride: usize, pad: usize) -> Result<Tensor> {
    // max over rows, then over columns; a window that reaches over the border reads the border again, which changes no
    // maximum while pad < k
    let mut y = x.clone();
    for dim in [2, 3] {
        let taps = windows(&y, dim, k, stride, pad, "max_pool2d")?;
        let mut taps = taps.into_iter();
        let mut best = taps.next().ok_or_else(|| Error::argument("max_pool2d", "a window", "0"))?;
        for tap in taps {
            best = best.maximum(&tap)?;
        }
        y = best;
    }
    Ok(y)
}

/// Mean of each `k` × `k` window without padding.
pub fn avg_pool2d(x: &Tensor, k: usize, stride: usize) -> Result<Tensor> {
    let mut y = x.clone();
    for dim in [2, 3] {
        let taps = windows(&y, dim, k, stride, 0, "avg_pool2d")?;
        let mut taps = taps.into_iter();
        let mut sum = taps.next().ok_or_else(|| Error::argument("avg_pool2d", "a window", "0"))?;
        for tap in taps {
            sum = (sum + tap)?;
        }
        y = (sum / k as f64)?;
    }
    Ok(y)
}

/// The `k` elements of every window along `dim`, as `k` tensors.
fn windows(
    x: &Tensor,
    dim: usize,
    k: usize,
    stride: usize,
    pad: usize,
    op: &'static str,
) -> Result<Vec<Tensor>> {
    let n = x.dim(dim)?;
    if stride == 0 || k == 0 || pad >= k || n + 2 * pad < k {
        let got = format!("window {k}, stride {stride}, padding {pad} on {:?}", x.dims());
        return Err(Error::argument(op, "a window that fits, padding smaller than it", got));
    }
    let out = (n + 2 * pad - k) / stride + 1;
    let x = x.contiguous()?;
    (0..k)
        .map(|tap| {
            let at = |i: usize| (i * stride + tap).saturating_sub(pad).min(n - 1) as u32;
            let index: Vec<u32> = (0..out).map(at).collect();
            Ok(x.index_select(&Tensor::new(index, x.device())?, dim)?)
        })
        .collect()
}

/// `y = (x − μ) / √(σ² + eps) · w + b` per channel of (B, C, H, W).
///
/// With `momentum` the statistics are those of the batch (biased variance) and the running ones move towards them in
/// place: `r ← (1 − m) r + m s`, with the unbiased variance (Ioffe & Szegedy, arXiv 1502.03167, as PyTorch does it).
/// Without, the running ones are used.
pub fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running: [&Tensor; 2],
    eps: f64,
    momentum: Option<f64>,
) -> Result<Tensor> {
    if half::is(x) {
        // statistics are never rounded
        return half::in_f32(x, [weight, bias], |x, [w, b]| batch_norm(x, &w, &b, running, eps, momentum));
    }
    let (b, c, h, w) = x.dims4()?;
    let row = |t: &Tensor| t.reshape((1, c, 1, 1));
    let Some(momentum) = momentum else {
        let scale = (weight / (running[1] + eps)?.sqrt()?)?;
        let shift = (bias - (running[0] * &scale)?)?;
        return Ok(x.broadcast_mul(&row(&scale)?)?.broadcast_add(&row(&shift)?)?);
    };
    let n = b * h * w;
    if n < 2 {
        let got = format!("{:?}", x.dims());
        return Err(Error::argument("batch_norm", "more than one value per channel while training", got));
    }
    let flat = x.transpose(0, 1)?.contiguous()?.reshape((c, n))?;
    let mean = flat.mean_keepdim(1)?; // (C, 1)
    let centred = flat.broadcast_sub(&mean)?;
    let var = centred.sqr()?.mean_keepdim(1)?;
    for (to, now) in [(running[0], &mean), (running[1], &(&var * (n as f64 / (n as f64 - 1.0)))?)] {
        let now = now.detach().flatten_all()?.to_dtype(to.dtype())?;
        to.slice_set(&((to * (1.0 - momentum))? + (now * momentum)?)?, 0, 0)?;
    }
    let y = centred.broadcast_div(&(var + eps)?.sqrt()?)?;
    let y = y.broadcast_mul(&weight.reshape((c, 1))?)?.broadcast_add(&bias.reshape((c, 1))?)?;
    Ok(y.reshape((c, b, h, w))?.transpose(0, 1)?.contiguous()?)
}

/// One filter per channel over an input that is padded already.
#[derive(Clone, Copy)]
struct Depthwise {
    stride: usize,
    dilation: usize,
}

/// Sizes of a depthwise convolution.
struct Sizes {
    b: usize,
    c: usize,
    h: usize,
    w: usize,
    kh: usize,
    kw: usize,
    oh: usize,
    ow: usize,
}

impl Depthwise {
    fn sizes(self, x: &[usize], w: &[usize]) -> Sizes {
        let ([b, c, h, width], [_, _, kh, kw]) = ([x[0], x[1], x[2], x[3]], [w[0], w[1], w[2], w[3]]);
        let out = |n: usize, k: usize| (n - self.dilation * (k - 1) - 1) / self.stride + 1;
        Sizes { b, c, h, w: width, kh, kw, oh: out(h, kh), ow: out(width, kw) }
    }

    fn forward<T: Number>(self, x: &[T], k: &[T], s: &Sizes) -> Vec<T> {
        let mut out = vec![T::ZERO; s.b * s.c * s.oh * s.ow];
        let shared = Shared::new(&mut out);
        parallel::for_each(s.b * s.c, s.b * s.c * s.oh * s.ow * s.kh * s.kw, |plane| {
            // SAFETY: each task writes one output plane.
            let out = unsafe { shared.slice(plane * s.oh * s.ow, s.oh * s.ow) };
            let x = &x[plane * s.h * s.w..][..s.h * s.w];
            let k = &k[plane % s.c * s.kh * s.kw..][..s.kh * s.kw];
            self.each_tap(s, |tap, row_in, row_out| {
                for (i, o) in out[row_out..row_out + s.ow].iter_mut().enumerate() {
                    *o += k[tap] * x[row_in + i * self.stride];
                }
            });
        });
        out
    }

    /// Gradients of input and filters.
    fn backward<T: Number>(self, x: &[T], k: &[T], grad: &[T], s: &Sizes) -> (Vec<T>, Vec<T>) {
        let (mut dx, mut dk) = (vec![T::ZERO; x.len()], vec![T::ZERO; k.len()]);
        let (to_x, to_k) = (Shared::new(&mut dx), Shared::new(&mut dk));
        // one task per channel, so that the filter's gradient is summed in a fixed order
        parallel::for_each(s.c, 2 * s.b * s.c * s.oh * s.ow * s.kh * s.kw, |c| {
            // SAFETY: each task writes its own channel's filter.
            let dk = unsafe { to_k.slice(c * s.kh * s.kw, s.kh * s.kw) };
            let k = &k[c * s.kh * s.kw..][..s.kh * s.kw];
            for b in 0..s.b {
                let plane = b * s.c + c;
                // SAFETY: each task writes the input planes of its own channel.
                let dx = unsafe { to_x.slice(plane * s.h * s.w, s.h * s.w) };
                let x = &x[plane * s.h * s.w..][..s.h * s.w];
                let grad = &grad[plane * s.oh * s.ow..][..s.oh * s.ow];
                self.each_tap(s, |tap, row_in, row_out| {
                    let mut sum = T::ZERO;
                    for (i, g) in grad[row_out..row_out + s.ow].iter().enumerate() {
                        let at = row_in + i * self.stride;
                        dx[at] += k[tap] * *g;
                        sum += x[at] * *g;
                    }
                    dk[tap] += sum;
                });
            }
        });
        (dx, dk)
    }

    /// (tap of the filter, first input of a row, first output of that row).
    fn each_tap(self, s: &Sizes, mut f: impl FnMut(usize, usize, usize)) {
        for oy in 0..s.oh {
            for ky in 0..s.kh {
                for kx in 0..s.kw {
                    let row = (oy * self.stride + ky * self.dilation) * s.w + kx * self.dilation;
                    f(ky * s.kw + kx, row, oy * s.ow);
                }
            }
        }
    }
}

/// f32 and f64.
trait Number: WithDType + Copy + Send + Sync + std::ops::AddAssign + std::ops::Mul<Output = Self> {
    const ZERO: Self;
}

impl Number for f32 {
    const ZERO: Self = 0.0;
}

impl Number for f64 {
    const ZERO: Self = 0.0;
}

fn values<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => candle_core::bail!("depthwise convolution: the inputs must be contiguous"),
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        k: &CpuStorage,
        lk: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let s = self.sizes(lx.dims(), lk.dims());
        let out = match x {
            CpuStorage::F64(_) => CpuStorage::F64(self.forward::<f64>(values(x, lx)?, values(k, lk)?, &s)),
            _ => CpuStorage::F32(self.forward::<f32>(values(x, lx)?, values(k, lk)?, &s)),
        };
        Ok((out, Shape::from((s.b, s.c, s.oh, s.ow))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        k: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let s = self.sizes(x.dims(), k.dims());
        let run = |f64s: bool| -> candle_core::Result<(Tensor, Tensor)> {
            let flat = |t: &Tensor| t.contiguous()?.flatten_all();
            let (fx, fk, fg) = (flat(x)?, flat(k)?, flat(grad)?);
            if f64s {
                let (dx, dk) = self.backward(&fx.to_vec1::<f64>()?, &fk.to_vec1()?, &fg.to_vec1()?, &s);
                Ok((
                    Tensor::from_vec(dx, x.shape(), x.device())?,
                    Tensor::from_vec(dk, k.shape(), k.device())?,
                ))
            } else {
                let (dx, dk) = self.backward(&fx.to_vec1::<f32>()?, &fk.to_vec1()?, &fg.to_vec1()?, &s);
                Ok((
                    Tensor::from_vec(dx, x.shape(), x.device())?,
                    Tensor::from_vec(dk, k.shape(), k.device())?,
                ))
            }
        };
        let (dx, dk) = run(x.dtype() == DType::F64)?;
        Ok((Some(dx), Some(dk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn wave(shape: &[usize], phase: f64) -> Tensor {
        let n = shape.iter().product::<usize>();
        let v: Vec<f64> = (0..n).map(|i| (1.3 * i as f64 + 0.01 * (i * i) as f64 + phase).sin()).collect();
        Tensor::from_vec(v, shape, &Device::Cpu).unwrap()
    }

    /// Largest difference between the analytic gradient of a weighted sum and central differences, over all inputs.
    fn worst(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) -> f64 {
        let score = |y: &Tensor| (y * wave(y.dims(), 0.4)).unwrap().sum_all().unwrap();
        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let grads = crate::backward(&score(&f(&tensors))).unwrap();
        let mut worst = 0.0f64;
        for (which, var) in vars.iter().enumerate() {
            let exact = grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let flat = inputs[which].flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for i in 0..flat.len() {
                let at = |d: f64| {
                    let mut v = flat.clone();
                    v[i] += d;
                    let mut all = inputs.to_vec();
                    all[which] = Tensor::from_vec(v, inputs[which].shape(), &Device::Cpu).unwrap();
                    score(&f(&all)).to_scalar::<f64>().unwrap()
                };
                worst = worst.max(((at(1e-5) - at(-1e-5)) / 2e-5 - exact[i]).abs());
            }
        }
        worst
    }

    #[test]
    fn gradients_agree_with_differences() {
        let conv = |stride, groups, pad, dilation| Conv2d { stride, dilation, groups, pad };
        for (c, o, k, conv) in [
            (2, 3, 3, conv(1, 1, [1; 4], 1)),
            (2, 3, 3, conv(2, 1, [0, 1, 0, 1], 1)),
            (2, 4, 1, conv(2, 1, [0; 4], 1)),
            (4, 4, 3, conv(2, 2, [1; 4], 1)),
            (3, 3, 3, conv(1, 3, [1; 4], 1)),
            (3, 3, 3, conv(2, 3, [0, 1, 0, 1], 1)),
            (3, 3, 3, conv(1, 3, [2; 4], 2)),
        ] {
            let inputs = [wave(&[2, c, 6, 6], 0.0), wave(&[o, c / conv.groups, k, k], 1.0), wave(&[o], 2.0)];
            let error = worst(&inputs, |t| conv2d(&t[0], &t[1], Some(&t[2]), conv).unwrap());
            assert!(error < 1e-8, "{conv:?}: {error}");
        }
        let x = [wave(&[1, 2, 5, 5], 0.0)];
        assert!(worst(&x, |t| max_pool2d(&t[0], 3, 2, 1).unwrap()) < 1e-8);
        assert!(worst(&x, |t| avg_pool2d(&t[0], 2, 2).unwrap()) < 1e-8);
        let bn = [wave(&[2, 3, 2, 2], 0.0), wave(&[3], 1.0), wave(&[3], 2.0)];
        for momentum in [None, Some(0.1)] {
            let error = worst(&bn, |t| {
                let (mean, var) = (wave(&[3], 0.3), wave(&[3], 0.5).affine(0.3, 1.0).unwrap());
                batch_norm(&t[0], &t[1], &t[2], [&mean, &var], 1e-3, momentum).unwrap()
            });
            assert!(error < 1e-7, "{momentum:?}: {error}");
        }
    }

    #[test]
    fn one_filter_per_channel_equals_candles_groups() {
        let (x, w) = (wave(&[2, 4, 7, 9], 0.0), wave(&[4, 1, 3, 3], 1.0));
        for stride in [1, 2] {
            let ours = conv2d(&x, &w, None, Conv2d { stride, dilation: 1, groups: 4, pad: [1; 4] }).unwrap();
            let theirs = x.conv2d(&w, 1, stride, 1, 4).unwrap();
            let worst =
                (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(worst < 1e-12);
        }
    }

    /// PyTorch 2: `BatchNorm1d(1, momentum=0.1)` on 1, 2, 3, 6 from mean 0 and variance 1: 0.3 and 0.9 + 0.1 · 14/3.
    #[test]
    fn running_statistics_move_and_are_then_used() {
        let x = Tensor::new(&[1.0f64, 2.0, 3.0, 6.0], &Device::Cpu).unwrap().reshape((4, 1, 1, 1)).unwrap();
        let t = |v: f64| Tensor::new(&[v], &Device::Cpu).unwrap();
        let (mean, var) = (t(0.0), t(1.0));
        let y = batch_norm(&x, &t(1.0), &t(0.0), [&mean, &var], 0.0, Some(0.1)).unwrap();
        assert!(y.sum_all().unwrap().to_scalar::<f64>().unwrap().abs() < 1e-12);
        assert!((mean.to_vec1::<f64>().unwrap()[0] - 0.3).abs() < 1e-12);
        assert!((var.to_vec1::<f64>().unwrap()[0] - (0.9 + 1.4 / 3.0)).abs() < 1e-12);
        let y = batch_norm(&x, &t(2.0), &t(1.0), [&t(1.0), &t(4.0)], 0.0, None).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [1.0, 2.0, 3.0, 6.0]);
    }

    #[test]
    fn windows_reach_over_the_border() {
        let x =
            Tensor::new(&[-4.0f64, -3.0, -2.0, -1.0], &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
        let y = max_pool2d(&x, 3, 2, 1).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [-1.0]);
        assert!(max_pool2d(&x, 3, 2, 3).is_err() && avg_pool2d(&x, 3, 1).is_err());
        let w = Tensor::zeros((1, 2, 3, 3), DType::F64, &Device::Cpu).unwrap();
        let conv = Conv2d { stride: 1, dilation: 1, groups: 1, pad: [0; 4] };
        assert!(
            conv2d(&x, &w, None, conv).unwrap_err().to_string().contains("channels that the groups divide")
        );
    }
}
