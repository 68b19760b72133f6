//! [`RunCtx`]: device, precision, mode and random stream of a run, as plugins see them.
//!
//! Every random operation draws from the stream (seed, step, part, number of the call within the step), so results do
//! not depend on threads or on what another part of the program draws.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use facebench_abi::{Level, OpsPtr, RawCtx, Slot};
use facebench_engine::{DType, Device, Rng};

use crate::ops::host_ops;

/// What a component is created for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Self-supervised pre-training: fixed positions stay fixed, the encoder's final norm exists.
    Pretrain,
    /// Tuning and scoring: what pooling needs exists.
    Downstream,
}

impl Purpose {
    fn code(self) -> facebench_abi::Purpose {
        match self {
            Self::Pretrain => facebench_abi::Purpose::PRETRAIN,
            Self::Downstream => facebench_abi::Purpose::DOWNSTREAM,
        }
    }
}

type LogFn = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// The context of a run. Starts in evaluation mode.
pub struct RunCtx {
    device: Device,
    dtype: DType,
    half: bool,
    wide: AtomicBool,
    seed: u64,
    part: u64,
    training: AtomicBool,
    step: AtomicU64,
    calls: AtomicU64,
    log: LogFn,
}

impl RunCtx {
    /// A context in evaluation mode; warnings of plugins go to stderr.
    pub fn new(device: &Device, dtype: DType, seed: u64) -> Self {
        let log: LogFn = Arc::new(|level, line| {
            if level == Level::ERROR || level == Level::WARN {
                eprintln!("plugin {level}: {line}");
            }
        });
        Self {
            device: device.clone(),
            dtype,
            half: false,
            wide: AtomicBool::new(false),
            seed,
            part: 0,
            training: AtomicBool::new(false),
            step: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            log,
        }
    }

    /// With `half`, training steps have bf16 activations over f32 parameters in backbones and decoders. Heads, losses and
    /// everything in evaluation mode stay in f32.
    #[must_use]
    pub fn in_bf16(self, half: bool) -> Self {
        Self { half, ..self }
    }

    /// Where the log lines of plugins go.
    #[must_use]
    pub fn with_log(mut self, log: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        self.log = Arc::new(log);
        self
    }

    /// Training mode at this step: dropout and drop path are active and draw the step's streams from the start.
    pub fn train(&self, step: u64) {
        self.training.store(true, Ordering::Relaxed);
        self.step.store(step, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
    }

    /// Evaluation mode: nothing is dropped.
    pub fn eval(&self) {
        self.training.store(false, Ordering::Relaxed);
    }

    /// Whether this is training mode.
    pub fn is_training(&self) -> bool {
        self.training.load(Ordering::Relaxed)
    }

    /// A context with streams of its own, for a part of a step that runs beside others (a micro-batch, a shard).
    #[must_use]
    pub fn part(&self, part: u64) -> Self {
        Self {
            device: self.device.clone(),
            dtype: self.dtype,
            half: self.half,
            wide: AtomicBool::new(false),
            seed: self.seed,
            part,
            training: AtomicBool::new(self.is_training()),
            step: AtomicU64::new(self.step.load(Ordering::Relaxed)),
            calls: AtomicU64::new(0),
            log: self.log.clone(),
        }
    }

    /// Where tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Precision of activations at this moment.
    pub fn dtype(&self) -> DType {
        if self.half && self.is_training() && !self.wide.load(Ordering::Relaxed) {
            DType::BF16
        } else {
            self.dtype
        }
    }

    /// Calls `f` in full precision.
    pub(crate) fn widely<T>(&self, f: impl FnOnce() -> T) -> T {
        self.wide.store(true, Ordering::Relaxed);
        let out = f();
        self.wide.store(false, Ordering::Relaxed);
        out
    }

    /// The stream of the next random operation.
    pub(crate) fn stream(&self) -> Rng {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let step = self.step.load(Ordering::Relaxed);
        Rng::new("plugin-op", self.seed, &[&format!("{step}/{}/{call}", self.part)])
    }

    pub(crate) fn log(&self, level: Level, line: &str) {
        (self.log)(level, line);
    }

    /// The handle a plugin gets, valid while this context is borrowed.
    pub(crate) fn raw(&self, purpose: Purpose) -> RawCtx {
        RawCtx {
            slot: std::ptr::from_ref(self).cast::<std::ffi::c_void>() as Slot,
            ops: OpsPtr(host_ops()),
            train: self.is_training(),
            purpose: purpose.code(),
        }
    }
}
