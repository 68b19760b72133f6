//! [`Tensor`]: a handle on a tensor of the program. Cheap to clone, immutable, differentiable.
//!
//! Dimensions given as `i32` may count from the end. Operations fail with the shapes they were given; nothing here
//! computes, every method is one call to the host.

use facebench_abi::{
    Bin, Dtype, ErrKind, OpResult, RawTensor, Red, Un,
    abi_objects::CustomOp_TO,
    abi_stable::{
        sabi_trait::TD_Opaque,
        std_types::{RErr, ROk, RSlice, RVec},
    },
};

use crate::{Ctx, CustomFn, Error, Result, Shape, custom::CustomAdapter};

/// A tensor of the program.
#[repr(transparent)]
#[derive(Clone)]
pub struct Tensor(pub(crate) RawTensor);

#[inline]
pub(crate) fn wrap(r: OpResult) -> Result<Tensor> {
    match r {
        ROk(t) => Ok(Tensor(t)),
        RErr(e) => Err(e),
    }
}

fn wrong_rank(expected: usize, got: &[usize]) -> Error {
    Error::new(ErrKind::OTHER, format!("expected {expected} dimensions, got {got:?}"))
}

impl Tensor {
    /// Reads a boundary handle.
    #[inline]
    pub(crate) fn from_raw(raw: &RawTensor) -> &Tensor {
        // SAFETY: Tensor is repr(transparent) over RawTensor.
        unsafe { &*std::ptr::from_ref(raw).cast::<Tensor>() }
    }

    /// The dimensions.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        (self.0.ops.shape())(&self.0).as_slice()
    }

    /// One dimension; negative counts from the end.
    pub fn dim(&self, i: i32) -> Result<usize> {
        let dims = self.dims();
        let at = if i < 0 { dims.len() as i64 + i64::from(i) } else { i64::from(i) };
        usize::try_from(at)
            .ok()
            .and_then(|at| dims.get(at))
            .copied()
            .ok_or_else(|| Error::new(ErrKind::OTHER, format!("no dimension {i} in shape {dims:?}")))
    }

    /// The dimensions of a matrix.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        match *self.dims() {
            [a, b] => Ok((a, b)),
            ref d => Err(wrong_rank(2, d)),
        }
    }

    /// The dimensions of a token tensor (B, N, D).
    pub fn dims3(&self) -> Result<(usize, usize, usize)> {
        match *self.dims() {
            [a, b, c] => Ok((a, b, c)),
            ref d => Err(wrong_rank(3, d)),
        }
    }

    /// The dimensions of an image batch (B, C, H, W).
    pub fn dims4(&self) -> Result<(usize, usize, usize, usize)> {
        match *self.dims() {
            [a, b, c, d] => Ok((a, b, c, d)),
            ref d => Err(wrong_rank(4, d)),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        (self.0.ops.dtype())(&self.0)
    }

    /// Other element type.
    pub fn cast(&self, to: Dtype) -> Result<Tensor> {
        wrap((self.0.ops.cast())(&self.0, to))
    }

    /// The same element type as `other`.
    pub fn cast_like(&self, other: &Tensor) -> Result<Tensor> {
        self.cast(other.dtype())
    }

    /// Values, row-major. Copies from the device.
    pub fn to_vec_f32(&self) -> Result<RVec<f32>> {
        (self.0.ops.to_f32())(&self.0).into_result()
    }

    /// Integers, row-major. Copies from the device.
    pub fn to_vec_i64(&self) -> Result<RVec<i64>> {
        (self.0.ops.to_i64())(&self.0).into_result()
    }

    #[inline]
    fn un(&self, op: Un) -> Result<Tensor> {
        wrap((self.0.ops.unary())(&self.0, op))
    }

    #[inline]
    pub(crate) fn bin(&self, other: &Tensor, op: Bin) -> Result<Tensor> {
        wrap((self.0.ops.binary())(&self.0, &other.0, op))
    }

    #[inline]
    fn red(&self, op: Red, dim: i32, keep: bool) -> Result<Tensor> {
        wrap((self.0.ops.reduce())(&self.0, op, dim, keep))
    }

    /// x · mul + add.
    pub fn affine(&self, mul: f64, add: f64) -> Result<Tensor> {
        wrap((self.0.ops.affine())(&self.0, mul, add))
    }

    /// Matrix product over the last two dimensions; leading ones broadcast.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.bin(other, Bin::MATMUL)
    }

    /// Element-wise maximum.
    pub fn maximum(&self, other: &Tensor) -> Result<Tensor> {
        self.bin(other, Bin::MAX)
    }

    /// Element-wise minimum.
    pub fn minimum(&self, other: &Tensor) -> Result<Tensor> {
        self.bin(other, Bin::MIN)
    }

    /// Where equal, as u8.
    pub fn eq(&self, other: &Tensor) -> Result<Tensor> {
        self.bin(other, Bin::EQ)
    }

    /// Where smaller, as u8.
    pub fn lt(&self, other: &Tensor) -> Result<Tensor> {
        self.bin(other, Bin::LT)
    }

    /// Where greater, as u8.
    pub fn gt(&self, other: &Tensor) -> Result<Tensor> {
        self.bin(other, Bin::GT)
    }

    /// `a` where this (u8) is not 0, else `b`.
    pub fn where_cond(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        wrap((self.0.ops.where_cond())(&self.0, &a.0, &b.0))
    }

    /// xᵖ.
    pub fn powf(&self, p: f64) -> Result<Tensor> {
        wrap((self.0.ops.powf())(&self.0, p))
    }

    /// Limited to [low, high].
    pub fn clamp(&self, low: f64, high: f64) -> Result<Tensor> {
        wrap((self.0.ops.clamp())(&self.0, low, high))
    }

    /// −x.
    pub fn neg(&self) -> Result<Tensor> {
        self.un(Un::NEG)
    }

    /// eˣ.
    pub fn exp(&self) -> Result<Tensor> {
        self.un(Un::EXP)
    }

    /// Natural logarithm.
    pub fn log(&self) -> Result<Tensor> {
        self.un(Un::LOG)
    }

    /// x².
    pub fn sqr(&self) -> Result<Tensor> {
        self.un(Un::SQR)
    }

    /// √x.
    pub fn sqrt(&self) -> Result<Tensor> {
        self.un(Un::SQRT)
    }

    /// |x|.
    pub fn abs(&self) -> Result<Tensor> {
        self.un(Un::ABS)
    }

    /// GELU, exact (erf).
    pub fn gelu(&self) -> Result<Tensor> {
        self.un(Un::GELU)
    }

    /// max(x, 0).
    pub fn relu(&self) -> Result<Tensor> {
        self.un(Un::RELU)
    }

    /// x · sigmoid(x).
    pub fn silu(&self) -> Result<Tensor> {
        self.un(Un::SILU)
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Result<Tensor> {
        self.un(Un::TANH)
    }

    /// 1 / (1 + e⁻ˣ).
    pub fn sigmoid(&self) -> Result<Tensor> {
        self.un(Un::SIGMOID)
    }

    /// A row-major copy, if it is not row-major already.
    pub fn contiguous(&self) -> Result<Tensor> {
        self.un(Un::CONTIGUOUS)
    }

    /// The same values without history: no gradient flows through.
    pub fn detach(&self) -> Result<Tensor> {
        self.un(Un::DETACH)
    }

    /// Sum over a dimension, which goes away.
    pub fn sum(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::SUM, dim, false)
    }

    /// Sum over a dimension, kept with length 1.
    pub fn sum_keep(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::SUM, dim, true)
    }

    /// Mean over a dimension, which goes away.
    pub fn mean(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::MEAN, dim, false)
    }

    /// Mean over a dimension, kept with length 1.
    pub fn mean_keep(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::MEAN, dim, true)
    }

    /// Maximum over a dimension, which goes away.
    pub fn max(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::MAX, dim, false)
    }

    /// Maximum over a dimension, kept with length 1.
    pub fn max_keep(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::MAX, dim, true)
    }

    /// Position of the maximum, u32.
    pub fn argmax(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::ARGMAX, dim, false)
    }

    /// Softmax along a dimension.
    pub fn softmax(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::SOFTMAX, dim, true)
    }

    /// Logarithm of the softmax along a dimension.
    pub fn log_softmax(&self, dim: i32) -> Result<Tensor> {
        self.red(Red::LOG_SOFTMAX, dim, true)
    }

    /// Sum of all elements, a scalar.
    pub fn sum_all(&self) -> Result<Tensor> {
        self.un(Un::SUM_ALL)
    }

    /// Mean of all elements, a scalar.
    pub fn mean_all(&self) -> Result<Tensor> {
        self.un(Un::MEAN_ALL)
    }

    /// Other shape, same elements: `x.reshape((b, n, ()))`.
    pub fn reshape(&self, shape: impl Shape) -> Result<Tensor> {
        wrap((self.0.ops.reshape())(&self.0, RSlice::from_slice(shape.dims().signed())))
    }

    /// Reorders all dimensions.
    pub fn permute<const N: usize>(&self, order: [usize; N]) -> Result<Tensor> {
        wrap((self.0.ops.permute())(&self.0, RSlice::from_slice(&order)))
    }

    /// Swaps two dimensions.
    pub fn transpose(&self, a: i32, b: i32) -> Result<Tensor> {
        wrap((self.0.ops.transpose())(&self.0, a, b))
    }

    /// Swaps the last two dimensions.
    pub fn t(&self) -> Result<Tensor> {
        self.transpose(-2, -1)
    }

    /// `len` positions of a dimension from `start`.
    pub fn narrow(&self, dim: i32, start: usize, len: usize) -> Result<Tensor> {
        wrap((self.0.ops.narrow())(&self.0, dim, start, len))
    }

    /// One position of a dimension, which goes away.
    pub fn select(&self, dim: usize, at: usize) -> Result<Tensor> {
        let mut dims = self.dims().to_vec();
        if dim >= dims.len() {
            crate::bail!("no dimension {dim} in shape {dims:?}");
        }
        dims.remove(dim);
        self.narrow(dim as i32, at, 1)?.reshape(&dims[..])
    }

    /// Repeats dimensions of length 1, without a copy.
    pub fn broadcast(&self, shape: impl Shape) -> Result<Tensor> {
        shape.dims().with(|d| wrap((self.0.ops.broadcast())(&self.0, RSlice::from_slice(d))))
    }

    /// Joins along a dimension.
    pub fn cat(tensors: &[&Tensor], dim: i32) -> Result<Tensor> {
        let Some(first) = tensors.first() else { crate::bail!("cat of no tensors") };
        let raw: Vec<&RawTensor> = tensors.iter().map(|t| &t.0).collect();
        wrap((first.0.ops.cat())(RSlice::from_slice(&raw), dim))
    }

    /// `out[i] = x[index[i]]` along a dimension; index of the same rank.
    pub fn gather(&self, index: &Tensor, dim: i32) -> Result<Tensor> {
        wrap((self.0.ops.gather())(&self.0, &index.0, dim))
    }

    /// Rows of a dimension by a 1-D index.
    pub fn index_select(&self, index: &Tensor, dim: i32) -> Result<Tensor> {
        wrap((self.0.ops.index_select())(&self.0, &index.0, dim))
    }

    /// x Wᵀ + b; W: (out, in).
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        wrap((self.0.ops.linear())(&self.0, &weight.0, bias.map(|b| &b.0).into()))
    }

    /// gelu(x Wᵀ + b), fused.
    pub fn linear_gelu(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        wrap((self.0.ops.linear_gelu())(&self.0, &weight.0, bias.map(|b| &b.0).into()))
    }

    /// Layer norm over the last dimension.
    pub fn layer_norm(&self, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
        wrap((self.0.ops.layer_norm())(&self.0, &weight.0, &bias.0, eps))
    }

    /// softmax(q kᵀ · scale) v, this being q; all (B, H, N, d).
    pub fn attention(&self, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
        wrap((self.0.ops.attention())(&self.0, &k.0, &v.0, scale))
    }

    /// Self-attention on packed (B, N, 3D) = (3, H, d) → (B, N, D).
    pub fn attention_qkv(&self, heads: usize) -> Result<Tensor> {
        wrap((self.0.ops.attention_qkv())(&self.0, heads))
    }

    /// 2-D convolution.
    pub fn conv2d(
        &self,
        kernel: &Tensor,
        bias: Option<&Tensor>,
        stride: usize,
        pad: usize,
    ) -> Result<Tensor> {
        wrap((self.0.ops.conv2d())(&self.0, &kernel.0, bias.map(|b| &b.0).into(), stride, pad))
    }

    /// Images (B,3,H,W) → patches (B,N,3·p·p) in (channel, row, column) order: that of convolution kernels.
    pub fn patchify(&self, patch: usize) -> Result<Tensor> {
        wrap((self.0.ops.patchify())(&self.0, patch))
    }

    /// Images (B,3,H,W) → patches (B,N,p·p·3) in (row, column, channel) order: that of reconstruction targets.
    pub fn patch_targets(&self, patch: usize) -> Result<Tensor> {
        wrap((self.0.ops.patch_targets())(&self.0, patch))
    }

    /// Tokens (B,N,D) at positions (B,n) u32 → (B,n,D).
    pub fn gather_tokens(&self, keep: &Tensor) -> Result<Tensor> {
        wrap((self.0.ops.gather_tokens())(&self.0, &keep.0))
    }

    /// Tokens (B,n,D) put at positions (B,n) u32 of N, `fill` (1,1,D) elsewhere → (B,N,D).
    pub fn scatter_tokens(&self, keep: &Tensor, fill: &Tensor, total: usize) -> Result<Tensor> {
        wrap((self.0.ops.scatter_tokens())(&self.0, &keep.0, &fill.0, total))
    }

    /// Mean over the batch of −Σ target · log softmax(logits); this being the logits (B, C).
    pub fn cross_entropy(&self, targets: &Tensor) -> Result<Tensor> {
        wrap((self.0.ops.cross_entropy())(&self.0, &targets.0))
    }

    /// Σ mask · mean((x − target)²) / Σ mask over patches; (B,N,C), (B,N,C), (B,N).
    pub fn masked_mse(&self, target: &Tensor, mask: &Tensor) -> Result<Tensor> {
        wrap((self.0.ops.masked_mse())(&self.0, &target.0, &mask.0))
    }

    /// x / max(‖x‖₂, eps) along a dimension.
    pub fn normalise(&self, dim: i32, eps: f64) -> Result<Tensor> {
        wrap((self.0.ops.normalise())(&self.0, dim, eps))
    }

    /// Dropout while training, nothing otherwise.
    pub fn dropout(&self, p: f64, ctx: &Ctx) -> Result<Tensor> {
        if !ctx.train() || p == 0.0 {
            return Ok(self.clone());
        }
        wrap((self.0.ops.dropout())(&self.0, p, &ctx.0))
    }

    /// Drops whole samples of a residual branch while training (stochastic depth), scaled by 1/(1−p).
    pub fn drop_path(&self, p: f64, ctx: &Ctx) -> Result<Tensor> {
        if !ctx.train() || p == 0.0 {
            return Ok(self.clone());
        }
        wrap((self.0.ops.drop_path())(&self.0, p, &ctx.0))
    }

    /// An operation the host knows by name.
    pub fn call(name: &str, inputs: &[&Tensor], attributes: &[f64]) -> Result<Tensor> {
        let Some(first) = inputs.first() else { crate::bail!("call of {name:?} without tensors") };
        let raw: Vec<&RawTensor> = inputs.iter().map(|t| &t.0).collect();
        wrap((first.0.ops.call())(name.into(), RSlice::from_slice(&raw), RSlice::from_slice(attributes)))
    }

    /// Tells the program that this is the input of a transformer block; go on with what comes back. The blocks of
    /// [`nn`](crate::nn) do it themselves. It is what lets `facebench explain` take gradients there.
    #[must_use]
    pub fn observe_block_input(&self) -> Tensor {
        // a program that explains nothing does not know the operation, and needs not
        Self::call("observe", &[self], &[0.0]).unwrap_or_else(|_| self.clone())
    }

    /// Tells the program that these are attention probabilities (B, H, N, N), computed by the plugin itself; the
    /// operations `attention` and `attention_qkv` do it on their own. `facebench explain` rolls them out.
    #[must_use]
    pub fn observe_attention(&self) -> Tensor {
        Self::call("observe", &[self], &[1.0]).unwrap_or_else(|_| self.clone())
    }

    /// A differentiable operation of the plugin's own on at most three inputs; see [`CustomFn`].
    pub fn custom<F: CustomFn>(inputs: &[&Tensor], shape: impl Shape, op: F) -> Result<Tensor> {
        let Some(first) = inputs.first() else { crate::bail!("custom operation {} without inputs", F::NAME) };
        let raw: Vec<&RawTensor> = inputs.iter().map(|t| &t.0).collect();
        let op = CustomOp_TO::from_value(CustomAdapter(op), TD_Opaque);
        shape
            .dims()
            .with(|d| wrap((first.0.ops.custom())(RSlice::from_slice(&raw), RSlice::from_slice(d), op)))
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {})", self.dims(), self.dtype())
    }
}
