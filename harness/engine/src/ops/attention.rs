//! Multi-head attention over short sequences.
//!
//! On the CPU scores never leave the cache; the backward pass computes them again. Inputs are read
//! at their strides, so a packed projection or transposed heads cost no copies.
use super::{composite, fast, half};
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::attention::{Heads, Operands, Sizes, backward, forward};
use crate::kernels::level;
use crate::kernels::scratch::uninit;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Shape, Storage, Tensor, bail};

/// `softmax(q kᵀ · scale) v`. All of shape `(B, H, N, d)` (keys and values may have another
/// length, values another width) → `(B, H, N, d)`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    let s = sizes(q, k, v)?;
    let empty = s.images * s.heads * s.queries * s.keys * s.width * s.value == 0;
    if cuda::applies(q, &[k, v]) && q.dtype() == k.dtype() && q.dtype() == v.dtype() && !empty {
        return cuda::attention(q, k, v, scale);
    }
    if half::on_cpu(q) {
        return half::in_f32(q, [k, v], |q, [k, v]| attention(q, &k, &v, scale));
    }
    if !fast::applies(&[q, k, v]) || scale.is_nan() || scale <= 0.0 || empty {
        return composite::attention(q, k, v, scale);
    }
    let unit = |t: &Tensor| -> Result<Tensor> {
        Ok(if t.stride().last() == Some(&1) { t.clone() } else { t.contiguous()? })
    };
    let (q, k, v) = (unit(q)?, unit(k)?, unit(v)?);
    let op = AttentionOp { scale: scale as f32 };
    Ok(if fast::tracked(&[&q, &k, &v]) { q.apply_op3(&k, &v, op)? } else { q.apply_op3_no_bwd(&k, &v, &op)? })
}

/// Self-attention on the packed projection `qkv: (B, N, 3D)`, its last dimension ordered
/// `(3, heads, d)`, scores scaled by `d^-½` → `(B, N, D)`.
pub fn attention_qkv(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (_, _, c3) = qkv.dims3()?;
    if heads == 0 || c3 % (3 * heads) != 0 {
        let expected = format!("a last dimension divisible by 3 x {heads} heads");
        return Err(Error::argument("attention_qkv", expected, c3.to_string()));
    }
    if cuda::applies(qkv, &[]) {
        return cuda::attention_qkv(qkv, heads);
    }
    if half::on_cpu(qkv) {
        return half::in_f32(qkv, [], |qkv, []| attention_qkv(qkv, heads));
    }
    if !fast::applies(&[qkv]) || qkv.elem_count() == 0 {
        return composite::attention_qkv(qkv, heads);
    }
    let qkv = qkv.contiguous()?;
    let op = PackedOp { heads };
    Ok(if qkv.track_op() { qkv.apply_op1(op)? } else { qkv.apply_op1_no_bwd(&op)? })
}

/// What [`attention`] multiplies `v` with: `softmax(q kᵀ · scale)`. `q: (B, H, N, d)`, `k: (B, H, M, d)` →
/// `(B, H, N, M)`, rows of sum 1. The fused kernels never hold it; this computes it again, for looking at.
pub fn attention_weights(q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
    composite::attention_weights(q, k, scale)
}

/// The same for [`attention_qkv`]: `qkv: (B, N, 3D)` → `(B, H, N, N)`.
pub fn attention_weights_qkv(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, n, c3) = qkv.dims3()?;
    if heads == 0 || c3 % (3 * heads) != 0 {
        let expected = format!("a last dimension divisible by 3 x {heads} heads");
        return Err(Error::argument("attention_weights_qkv", expected, c3.to_string()));
    }
    let d = c3 / 3 / heads;
    let qkv = qkv.reshape((b, n, 3, heads, d))?.permute((2, 0, 3, 1, 4))?; // (3, B, H, N, d)
    attention_weights(&qkv.get(0)?, &qkv.get(1)?, 1.0 / (d as f64).sqrt())
}

fn sizes(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Sizes> {
    let (images, heads, queries, width) = q.dims4()?;
    let (keys, value) = (k.dims4()?.2, v.dims4()?.3);
    if k.dims() != [images, heads, keys, width] || v.dims() != [images, heads, keys, value] {
        let got = format!("q {:?}, k {:?}, v {:?}", q.dims(), k.dims(), v.dims());
        return Err(Error::argument("attention", "q (B, H, N, d), k (B, H, M, d), v (B, H, M, e)", got));
    }
    Ok(Sizes { images, heads, queries, keys, width, value })
}

struct PackedOp {
    heads: usize,
}

impl PackedOp {
    fn sizes(&self, shape: &Shape) -> candle_core::Result<(Sizes, f32)> {
        let (images, n, c3) = shape.dims3()?;
        let d = c3 / 3 / self.heads;
        let s = Sizes { images, heads: self.heads, queries: n, keys: n, width: d, value: d };
        Ok((s, 1.0 / (d as f32).sqrt()))
    }
}

impl CustomOp1 for PackedOp {
    fn name(&self) -> &'static str {
        "fused-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (s, scale) = self.sizes(layout.shape())?;
        let qkv = fast::values(qkv, layout)?;
        let mut o = uninit(qkv.len() / 3);
        let x = Operands::packed(qkv.as_ptr(), o.as_mut_ptr(), s.queries, s.heads, s.width);
        // SAFETY: qkv is (B, N, 3, H, d) and o (B, N, H, d).
        unsafe { forward(level(), s, x, scale) };
        Ok((CpuStorage::F32(o), Shape::from((s.images, s.queries, s.heads * s.width))))
    }

    fn bwd(&self, qkv: &Tensor, o: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (s, scale) = self.sizes(qkv.shape())?;
        let mut d = uninit(qkv.elem_count());
        fast::with(qkv, |x| {
            fast::with(o, |o| {
                fast::with(g, |g| {
                    let per = |a: *const f32, b: &[f32]| {
                        Operands::packed(a, b.as_ptr(), s.queries, s.heads, s.width)
                    };
                    // SAFETY: all operands have the sizes of the forward pass; d is written only.
                    unsafe { backward(level(), s, per(x.as_ptr(), o), per(d.as_mut_ptr(), g), scale) };
                    Ok(())
                })
            })
        })?;
        Ok(Some(fast::tensor(d, qkv.shape())?))
    }
}

struct AttentionOp {
    scale: f32,
}

fn heads(storage: &CpuStorage, layout: &Layout) -> candle_core::Result<Heads> {
    let (CpuStorage::F32(v), &[image, head, token, 1]) = (storage, layout.stride()) else {
        bail!("attention: expected f32 with unit stride along the width, got {layout:?}");
    };
    Ok(Heads::new(v[layout.start_offset()..].as_ptr(), image, head, token))
}

/// Contiguous heads `(B, H, n, d)`.
fn contiguous(ptr: *const f32, heads: usize, n: usize, d: usize) -> Heads {
    Heads::new(ptr, heads * n * d, n * d, d)
}

impl CustomOp3 for AttentionOp {
    fn name(&self) -> &'static str {
        "fused-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (images, h, queries, width) = lq.shape().dims4()?;
        let (keys, value) = (lk.shape().dims4()?.2, lv.shape().dims4()?.3);
        let s = Sizes { images, heads: h, queries, keys, width, value };
        let mut o = uninit(images * h * queries * value);
        let x = Operands {
            q: heads(q, lq)?,
            k: heads(k, lk)?,
            v: heads(v, lv)?,
            o: contiguous(o.as_mut_ptr(), h, queries, value),
        };
        // SAFETY: shapes were checked by `sizes`, strides are those of the tensors.
        unsafe { forward(level(), s, x, self.scale) };
        Ok((CpuStorage::F32(o), Shape::from((images, h, queries, value))))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        o: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let s = sizes(q, k, v)?;
        let (mut dq, mut dk, mut dv) =
            (uninit(q.elem_count()), uninit(k.elem_count()), uninit(v.elem_count()));
        let g = if g.stride().last() == Some(&1) { g.clone() } else { g.contiguous()? };
        let guards = [q, k, v, o, &g].map(Tensor::storage_and_layout);
        let [q_at, k_at, v_at, o_at, g_at] = &guards;
        let of = |storage: &Storage, layout: &Layout| match storage {
            Storage::Cpu(cpu) => heads(cpu, layout),
            _ => bail!("attention: expected a tensor on the CPU"),
        };
        let x = Operands {
            q: of(&q_at.0, q_at.1)?,
            k: of(&k_at.0, k_at.1)?,
            v: of(&v_at.0, v_at.1)?,
            o: of(&o_at.0, o_at.1)?,
        };
        let d = Operands {
            q: contiguous(dq.as_mut_ptr(), s.heads, s.queries, s.width),
            k: contiguous(dk.as_mut_ptr(), s.heads, s.keys, s.width),
            v: contiguous(dv.as_mut_ptr(), s.heads, s.keys, s.value),
            o: of(&g_at.0, g_at.1)?,
        };
        // SAFETY: shapes and strides as in the forward pass; the gradients are fresh buffers.
        unsafe { backward(level(), s, x, d, self.scale) };
        drop(guards);
        Ok((
            Some(fast::tensor(dq, q.shape())?),
            Some(fast::tensor(dk, k.shape())?),
            Some(fast::tensor(dv, v.shape())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{BlockWeights, block_attention_weights, transformer_block};
    use candle_core::{DType, Device};

    fn wave(shape: &[usize], k: f32) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * k).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn far(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_weights_are_those_that_the_fused_kernel_multiplies_with() {
        let (b, n, h, d) = (2, 5, 2, 4);
        let qkv = wave(&[b, n, 3 * h * d], 0.37);
        let weights = attention_weights_qkv(&qkv, h).unwrap();
        assert_eq!(weights.dims(), [b, h, n, n]);
        let rows = weights.sum_keepdim(3).unwrap();
        assert!(far(&rows, &Tensor::ones((b, h, n, 1), DType::F32, &Device::Cpu).unwrap()) < 1e-6);
        let v = qkv.narrow(2, 2 * h * d, h * d).unwrap().reshape((b, n, h, d)).unwrap();
        let y = weights.matmul(&v.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap();
        let y = y.transpose(1, 2).unwrap().reshape((b, n, h * d)).unwrap();
        assert!(far(&y, &attention_qkv(&qkv, h).unwrap()) < 1e-5);
        assert!(attention_weights_qkv(&qkv, 5).is_err());
    }

    /// A block whose projection is the identity and whose MLP says nothing adds its attention to its input.
    #[test]
    fn a_block_s_weights_are_those_inside_it() {
        let (n, h, width) = (5, 2, 8);
        let full = |v: f64, shape: &[usize]| Tensor::full(v as f32, shape, &Device::Cpu).unwrap();
        let weights = BlockWeights {
            norm1_weight: full(1.0, &[width]),
            norm1_bias: full(0.0, &[width]),
            qkv_weight: wave(&[3 * width, width], 0.61),
            qkv_bias: wave(&[3 * width], 0.3),
            proj_weight: Tensor::eye(width, DType::F32, &Device::Cpu).unwrap(),
            proj_bias: full(0.0, &[width]),
            norm2_weight: full(1.0, &[width]),
            norm2_bias: full(0.0, &[width]),
            fc1_weight: full(0.0, &[4 * width, width]),
            fc1_bias: full(0.0, &[4 * width]),
            fc2_weight: full(0.0, &[width, 4 * width]),
            fc2_bias: full(0.0, &[width]),
        };
        let x = wave(&[2, n, width], 0.9);
        let a = block_attention_weights(&x, &weights, h, 1e-6).unwrap();
        let y = crate::ops::layer_norm(&x, &weights.norm1_weight, &weights.norm1_bias, 1e-6).unwrap();
        let qkv = crate::ops::linear(&y, &weights.qkv_weight, Some(&weights.qkv_bias)).unwrap();
        let v = qkv.narrow(2, 2 * width, width).unwrap().reshape((2, n, h, width / h)).unwrap();
        let y = a.matmul(&v.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap();
        let y = (&x + y.transpose(1, 2).unwrap().reshape((2, n, width)).unwrap()).unwrap();
        assert!(far(&y, &transformer_block(&x, &weights, h, 1e-6).unwrap()) < 1e-4);
    }
}
