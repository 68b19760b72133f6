//! Between candle tensors and the f32 kernels.
use crate::grad;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};

/// Whether all of `tensors` are f32 on the CPU, where the kernels apply.
pub(super) fn applies(tensors: &[&Tensor]) -> bool {
    !crate::cuda::stands_in() && tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32)
}

/// Whether any of `tensors` takes part in a graph that is recorded.
pub(super) fn tracked(tensors: &[&Tensor]) -> bool {
    grad::records() && tensors.iter().any(|t| t.track_op())
}

/// The values of a contiguous f32 CPU storage.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(v) = storage else { bail!("expected f32 values") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&v[start..end]),
        None => bail!("expected a contiguous tensor, got {layout:?}"),
    }
}

/// Calls `f` with the values of `t`, copied first if `t` is not contiguous.
pub(super) fn with<R>(t: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let t = t.contiguous()?;
    let (storage, layout) = t.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => f(values(cpu, layout)?),
        _ => bail!("expected a tensor on the CPU"),
    }
}

/// A matrix of rows with unit column stride: first element, number of rows, row stride.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) start: usize,
    pub(super) count: usize,
    pub(super) stride: usize,
}

/// Reads all dimensions but the last of a layout as rows, if they lie at one stride. Slices such
/// as the cls tokens of a batch do; slices along an inner dimension do not.
pub(super) fn rows(layout: &Layout) -> Option<Rows> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let (&width, leading) = dims.split_last()?;
    let (&unit, strides) = strides.split_last()?;
    if unit != 1 && width > 1 {
        return None;
    }
    let mut count = 1;
    let mut stride = None; // of the innermost leading dimension longer than 1
    for (&dim, &step) in leading.iter().zip(strides).rev() {
        if dim == 1 {
            continue;
        }
        match stride {
            None => stride = Some(step),
            Some(inner) if step == inner * count => {}
            Some(_) => return None,
        }
        count *= dim;
    }
    Some(Rows { start: layout.start_offset(), count, stride: stride.unwrap_or(width) })
}

/// Calls `f` with the values of `t` and how its rows lie, copied only if they lie at no one stride.
pub(super) fn with_rows<R>(t: &Tensor, f: impl FnOnce(&[f32], Rows) -> Result<R>) -> Result<R> {
    let t = if rows(t.layout()).is_some() { t.clone() } else { t.contiguous()? };
    let (storage, layout) = t.storage_and_layout();
    match (&*storage, rows(layout)) {
        (Storage::Cpu(CpuStorage::F32(v)), Some(rows)) => f(v, rows),
        _ => bail!("expected an f32 tensor on the CPU"),
    }
}

/// A CPU tensor from values.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// The gradient of an input that may be a variable: deposited where a backward pass of ours
/// collects, else returned for candle to add.
pub(super) fn parameter(input: &Tensor, grad: Vec<f32>) -> Result<Option<Tensor>> {
    let grad = tensor(grad, input.shape())?;
    Ok(if input.is_variable() && grad::deposit(input, &grad) { None } else { Some(grad) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_slices() {
        let x = Tensor::zeros((4, 5, 6), DType::F32, &Device::Cpu).unwrap();
        let of = |t: &Tensor| rows(t.layout()).map(|r| (r.start, r.count, r.stride));
        assert_eq!(of(&x), Some((0, 20, 6)));
        assert_eq!(of(&x.narrow(1, 2, 1).unwrap()), Some((12, 4, 30)));
        assert_eq!(of(&x.narrow(2, 1, 3).unwrap()), Some((1, 20, 6)));
        assert_eq!(of(&x.narrow(1, 1, 3).unwrap()), None);
        assert_eq!(of(&x.transpose(0, 2).unwrap()), None);
    }
}
