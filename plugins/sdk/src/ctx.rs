//! [`Ctx`]: how and for what a component runs. [`Params`]: where its parameters come from.

use facebench_abi::{Init, Level, Purpose, RandomKind, RawCtx, RawParams, abi_stable::std_types::RSlice};

use crate::{Result, Shape, Tensor, tensor::wrap};

/// Device, precision, random stream and mode of the current call.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Ctx(pub(crate) RawCtx);

impl Ctx {
    pub(crate) fn from_raw(raw: &RawCtx) -> &Ctx {
        // SAFETY: Ctx is repr(transparent) over RawCtx.
        unsafe { &*std::ptr::from_ref(raw).cast::<Ctx>() }
    }

    /// True while training.
    pub fn train(&self) -> bool {
        self.0.train
    }

    /// What the component was created for.
    pub fn purpose(&self) -> Purpose {
        self.0.purpose
    }

    /// Values, in the run's precision and on its device.
    pub fn from_f32(&self, values: &[f32], shape: impl Shape) -> Result<Tensor> {
        shape.dims().with(|d| wrap((self.0.ops.from_f32())(&self.0, values.into(), RSlice::from_slice(d))))
    }

    /// Patch indices.
    pub fn from_u32(&self, values: &[u32], shape: impl Shape) -> Result<Tensor> {
        shape.dims().with(|d| wrap((self.0.ops.from_u32())(&self.0, values.into(), RSlice::from_slice(d))))
    }

    /// Integers.
    pub fn from_i64(&self, values: &[i64], shape: impl Shape) -> Result<Tensor> {
        shape.dims().with(|d| wrap((self.0.ops.from_i64())(&self.0, values.into(), RSlice::from_slice(d))))
    }

    /// A constant tensor.
    pub fn full(&self, value: f64, shape: impl Shape) -> Result<Tensor> {
        shape.dims().with(|d| wrap((self.0.ops.full())(&self.0, value, RSlice::from_slice(d))))
    }

    /// Uniform on [0, 1), from the run's stream.
    pub fn rand(&self, shape: impl Shape) -> Result<Tensor> {
        shape
            .dims()
            .with(|d| wrap((self.0.ops.random())(&self.0, RandomKind::UNIFORM, RSlice::from_slice(d))))
    }

    /// Standard normal, from the run's stream.
    pub fn randn(&self, shape: impl Shape) -> Result<Tensor> {
        shape.dims().with(|d| wrap((self.0.ops.random())(&self.0, RandomKind::NORMAL, RSlice::from_slice(d))))
    }

    /// A line in the run's log.
    pub fn log(&self, level: Level, line: &str) {
        (self.0.ops.log())(&self.0, level, line.into());
    }
}

/// The program's parameter store under a prefix. Names are those of the published checkpoints.
///
/// Borrowed for the duration of `create`, so it cannot be kept.
#[derive(Clone)]
pub struct Params<'a> {
    raw: &'a RawParams,
    prefix: String,
}

impl<'a> Params<'a> {
    pub(crate) fn from_raw(raw: &'a RawParams) -> Self {
        Self { raw, prefix: String::new() }
    }

    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// The store one level down: `p.pp("blocks").pp(3)` names `blocks.3.*`.
    #[must_use]
    pub fn pp(&self, level: impl std::fmt::Display) -> Params<'a> {
        Params { raw: self.raw, prefix: self.name(&level.to_string()) }
    }

    /// A parameter. Whether it trains is the run's business.
    pub fn get(&self, name: &str, shape: impl Shape, init: Init) -> Result<Tensor> {
        let name = self.name(name);
        shape.dims().with(|d| {
            wrap((self.raw.ops.param())(self.raw, name.as_str().into(), RSlice::from_slice(d), init))
        })
    }

    /// A named tensor that starts with these values and is part of checkpoints; `trainable: false` keeps it fixed.
    pub fn get_values(
        &self,
        name: &str,
        shape: impl Shape,
        values: &[f32],
        trainable: bool,
    ) -> Result<Tensor> {
        let name = self.name(name);
        shape.dims().with(|d| {
            let (name, d) = (name.as_str().into(), RSlice::from_slice(d));
            wrap((self.raw.ops.param_values())(self.raw, name, d, values.into(), trainable))
        })
    }
}
