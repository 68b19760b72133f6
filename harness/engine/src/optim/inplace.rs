//! In-place updates of parameters and gradients through candle's storage.
use crate::error::{Error, Result};
use crate::kernels::pointwise::{self, AdamStep, MomentumStep};
use crate::kernels::{kept, level};
use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Storage, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// Whether a tensor is contiguous f32 on the CPU.
pub(super) fn direct(t: &Tensor) -> bool {
    !crate::cuda::stands_in() && t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous()
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    let CpuStorage::F32(v) = storage else { bail!("expected f32 values") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut v[start..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let CpuStorage::F32(v) = storage else { bail!("expected f32 values") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&v[start..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

/// One Adam step; moments are plain vectors of the optimiser.
pub(super) struct AdamOp<'a> {
    pub(super) moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    pub(super) step: AdamStep,
}

impl InplaceOp2 for AdamOp<'_> {
    fn name(&self) -> &'static str {
        "fused-adam"
    }

    fn cpu_fwd(
        &self,
        p: &mut CpuStorage,
        lp: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> candle_core::Result<()> {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (p, g) = (slice_mut(p, lp)?, slice(g, lg)?);
        let (m, v) = &mut *moments;
        if p.len() != g.len() || m.len() != g.len() || v.len() != g.len() {
            bail!("fused-adam: a gradient has another size than its parameter");
        }
        kept::changed(p.as_ptr() as usize);
        pointwise::adam(level(), p, g, m, v, self.step);
        Ok(())
    }
}

/// One step of SGD or LARS; the buffer is a plain vector of the optimiser, empty without momentum.
pub(super) struct MomentumOp<'a> {
    pub(super) buffer: Mutex<&'a mut [f32]>,
    pub(super) step: MomentumStep,
}

impl InplaceOp2 for MomentumOp<'_> {
    fn name(&self) -> &'static str {
        "fused-momentum"
    }

    fn cpu_fwd(
        &self,
        p: &mut CpuStorage,
        lp: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> candle_core::Result<()> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let (p, g) = (slice_mut(p, lp)?, slice(g, lg)?);
        if p.len() != g.len() || (!buffer.is_empty() && buffer.len() != g.len()) {
            bail!("fused-momentum: a gradient has another size than its parameter");
        }
        kept::changed(p.as_ptr() as usize);
        pointwise::momentum(level(), p, g, &mut buffer, self.step);
        Ok(())
    }
}

/// `x += y`
pub(super) struct AddOp;

impl InplaceOp2 for AddOp {
    fn name(&self) -> &'static str {
        "fused-add"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
    ) -> candle_core::Result<()> {
        let (x, y) = (slice_mut(x, lx)?, slice(y, ly)?);
        if x.len() != y.len() {
            bail!("fused-add: the two gradients differ in size");
        }
        pointwise::add(level(), x, y);
        Ok(())
    }
}

/// `t = m·t + (1 - m)·x`
pub(super) struct AverageOp {
    pub(super) m: f32,
}

impl InplaceOp2 for AverageOp {
    fn name(&self) -> &'static str {
        "fused-average"
    }

    fn cpu_fwd(
        &self,
        t: &mut CpuStorage,
        lt: &Layout,
        x: &CpuStorage,
        lx: &Layout,
    ) -> candle_core::Result<()> {
        let (t, x) = (slice_mut(t, lt)?, slice(x, lx)?);
        if t.len() != x.len() {
            bail!("fused-average: the two parameters differ in size");
        }
        kept::changed(t.as_ptr() as usize);
        pointwise::average(level(), t, x, self.m);
        Ok(())
    }
}

/// `x *= factor`
pub(super) struct ScaleOp {
    pub(super) factor: f32,
}

impl InplaceOp1 for ScaleOp {
    fn name(&self) -> &'static str {
        "fused-scale"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        pointwise::scale(level(), slice_mut(x, layout)?, self.factor);
        Ok(())
    }
}

/// Σ x² of a direct tensor, in f64.
pub(super) fn square_sum(t: &Tensor) -> Result<f64> {
    let (storage, layout) = t.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => Ok(pointwise::square_sum(level(), slice(cpu, layout)?)),
        _ => Err(Error::argument("global_norm", "a tensor on the CPU", "another device")),
    }
}

/// Σ p² and Σ (g + decay·p)² of direct tensors of one shape, in f64.
pub(super) fn pair_square_sum(p: &Tensor, g: &Tensor, decay: f32) -> Result<(f64, f64)> {
    let ((p, lp), (g, lg)) = (p.storage_and_layout(), g.storage_and_layout());
    match (&*p, &*g) {
        (Storage::Cpu(p), Storage::Cpu(g)) => {
            Ok(pointwise::pair_square_sum(level(), slice(p, lp)?, slice(g, lg)?, decay))
        }
        _ => Err(Error::argument("Lars", "tensors on the CPU", "another device")),
    }
}
