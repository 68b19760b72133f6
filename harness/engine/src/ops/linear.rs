//! Affine maps, optionally followed by GELU.
//!
//! One matrix product with the bias (and GELU, keeping its slope) in its last step. The backward
//! pass computes only what is asked for: no weight gradient for a frozen weight, no input gradient
//! for pixels.
use super::{composite, fast, half};
use crate::cuda;
use crate::error::{Error, Result};
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::{Out, gemm, gemm_packed};
use crate::kernels::pack::Mat;
use crate::kernels::parallel::Shared;
use crate::kernels::rows::column_sums;
use crate::kernels::scratch::uninit;
use crate::kernels::{block, kept, level};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// `x wᵀ + b` over the last dimension. `x: (…, I)`, `w: (O, I)`, `b: (O)` → `(…, O)`.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    check("linear", x, w, b)?;
    if half::on_cpu(x) {
        return match b {
            Some(b) => half::in_f32(x, [w, b], |x, [w, b]| linear(x, &w, Some(&b))),
            None => half::in_f32(x, [w], |x, [w]| linear(x, &w, None)),
        };
    }
    if on_device(x, w, b) {
        return cuda::linear(x, w, b, false);
    }
    match fused(x, w, b, false) {
        Some(result) => result,
        None => composite::linear(x, w, b),
    }
}

/// `gelu(x wᵀ + b)` with the exact (erf) GELU; shapes as [`linear`].
pub fn linear_gelu(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    check("linear_gelu", x, w, b)?;
    if half::on_cpu(x) {
        return match b {
            Some(b) => half::in_f32(x, [w, b], |x, [w, b]| linear_gelu(x, &w, Some(&b))),
            None => half::in_f32(x, [w], |x, [w]| linear_gelu(x, &w, None)),
        };
    }
    if on_device(x, w, b) {
        return cuda::linear(x, w, b, true);
    }
    match (b, fused(x, w, b, true)) {
        (Some(_), Some(result)) => result,
        _ => super::gelu(&linear(x, w, b)?),
    }
}

fn check(op: &'static str, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<()> {
    let inner = x.dims().last().copied();
    let fits = w.rank() == 2 && inner == Some(w.dims()[1]) && b.is_none_or(|b| b.dims() == &w.dims()[..1]);
    if fits {
        return Ok(());
    }
    let shapes = format!("x {:?}, w {:?}, b {:?}", x.dims(), w.dims(), b.map(Tensor::dims));
    Err(Error::argument(op, "x (.., I), w (O, I), b (O)", shapes))
}

fn on_device(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> bool {
    cuda::applies(x, &[w]) && b.is_none_or(|b| cuda::applies(x, &[b]))
}

fn fused(x: &Tensor, w: &Tensor, b: Option<&Tensor>, gelu: bool) -> Option<Result<Tensor>> {
    if !fast::applies(&[x, w]) || !b.is_none_or(|b| fast::applies(&[b])) || (gelu && b.is_none()) {
        return None;
    }
    Some(apply(x, w, b, gelu))
}

fn apply(x: &Tensor, w: &Tensor, b: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
    let x = if fast::rows(x.layout()).is_some() { x.clone() } else { x.contiguous()? };
    let w = w.contiguous()?;
    let train = fast::tracked(&[&x, &w]) || b.is_some_and(|b| fast::tracked(&[b]));
    let op = LinearOp { gelu, train, slope: Mutex::new(None) };
    Ok(match b {
        Some(b) if train => x.apply_op3(&w, &b.contiguous()?, op)?,
        Some(b) => x.apply_op3_no_bwd(&w, &b.contiguous()?, &op)?,
        None if train => x.apply_op2(&w, op)?,
        None => x.apply_op2_no_bwd(&w, &op)?,
    })
}

struct LinearOp {
    gelu: bool,
    train: bool,
    slope: Mutex<Option<Vec<f32>>>,
}

/// Gradients of x, w and b.
type Slopes = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl LinearOp {
    fn forward(
        &self,
        (x, lx): (&CpuStorage, &Layout),
        (w, lw): (&CpuStorage, &Layout),
        b: Option<&[f32]>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(x), Some(rows)) = (x, fast::rows(lx)) else {
            bail!("linear: unexpected layout")
        };
        let (o, i) = lw.shape().dims2()?;
        let w = fast::values(w, lw)?;
        let mut y = uninit(rows.count * o);
        let mut slope = if self.gelu && self.train { uninit(y.len()) } else { Vec::new() };
        let kept = if slope.is_empty() { std::ptr::null_mut() } else { slope.as_mut_ptr() };
        let bias = b.map(|b| Shared::from_ptr(b.as_ptr().cast_mut()));
        let epilogue = match bias {
            Some(bias) if self.gelu => Epilogue::BiasGelu(bias, Shared::from_ptr(kept)),
            Some(bias) => Epilogue::Bias(bias),
            None => Epilogue::None,
        };
        // SAFETY: x holds `rows`, w is (o, i), b has o values and y and the slope rows.count x o,
        // by the shape check of the public functions.
        unsafe {
            let a = Mat::rows(x.as_ptr().add(rows.start), rows.stride);
            let wt = Mat::rows(w.as_ptr(), i).t();
            let out = Out::new(&mut y, o, epilogue);
            match if self.train { None } else { kept::packed(level(), w, i, o) } {
                Some(packed) => gemm_packed(rows.count, a, &packed, out),
                None => gemm(level(), rows.count, o, i, a, wt, out),
            }
        }
        if self.gelu && self.train {
            *self.slope.lock().unwrap_or_else(PoisonError::into_inner) = Some(slope);
        }
        let mut dims = lx.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = o;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    fn backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        g: &Tensor,
    ) -> candle_core::Result<Slopes> {
        let saved = self.slope.lock().unwrap_or_else(PoisonError::into_inner).take();
        fast::with(g, |g| match saved {
            Some(slope) => slopes(x, w, b, &block::times(level(), g, &slope)),
            None if self.gelu => {
                // the slope was used up by an earlier backward pass over the same graph
                let again = Self { gelu: true, train: true, slope: Mutex::new(None) };
                if let Some(b) = b {
                    x.apply_op3_no_bwd(w, b, &again)?;
                }
                let slope =
                    again.slope.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_default();
                slopes(x, w, b, &block::times(level(), g, &slope))
            }
            None => slopes(x, w, b, g),
        })
    }
}

fn slopes(x: &Tensor, w: &Tensor, b: Option<&Tensor>, g: &[f32]) -> candle_core::Result<Slopes> {
    let (o, i) = w.dims2()?;
    let count = x.elem_count() / i.max(1);
    let dx = if x.track_op() {
        let mut dx = uninit(count * i);
        fast::with(w, |w| {
            // SAFETY: g is (count, o), w is (o, i), dx is (count, i).
            unsafe {
                let (a, w) = (Mat::rows(g.as_ptr(), o), Mat::rows(w.as_ptr(), i));
                gemm(level(), count, i, o, a, w, Out::new(&mut dx, i, Epilogue::None));
            }
            Ok(())
        })?;
        Some(fast::tensor(dx, x.shape())?)
    } else {
        None
    };
    let dw = if w.track_op() {
        let mut dw = uninit(o * i);
        fast::with_rows(x, |x, rows| {
            // SAFETY: g is (count, o), x holds `rows` of i values, dw is (o, i).
            unsafe {
                let (a, x) =
                    (Mat::rows(g.as_ptr(), o).t(), Mat::rows(x.as_ptr().add(rows.start), rows.stride));
                gemm(level(), o, i, count, a, x, Out::new(&mut dw, i, Epilogue::None));
            }
            Ok(())
        })?;
        fast::parameter(w, dw)?
    } else {
        None
    };
    let db = match b {
        Some(b) if b.track_op() => fast::parameter(b, column_sums(level(), g, o))?,
        _ => None,
    };
    Ok((dx, dw, db))
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "fused-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((x, lx), (w, lw), Some(fast::values(b, lb)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<Slopes> {
        self.backward(x, w, Some(b), g)
    }
}

impl CustomOp2 for LinearOp {
    fn name(&self) -> &'static str {
        "fused-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((x, lx), (w, lw), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.backward(x, w, None, g)?;
        Ok((dx, dw))
    }
}
