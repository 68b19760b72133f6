//! Taking gradients.
//!
//! candle's custom operations have at most three inputs, and its backward pass allocates zeros and
//! adds for every gradient it receives. Fused operations therefore keep their parameters beside
//! the graph and *deposit* the gradients of variables here; [`backward`] merges them into the
//! store in the order of the backward pass. Called outside [`backward`], an operation that needs
//! the deposit says so instead of losing gradients.
use crate::error::Result;
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use std::cell::{Cell, RefCell};

thread_local! {
    static DEPOSITS: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

thread_local! {
    static RECORDS: Cell<bool> = const { Cell::new(true) };
}

thread_local! {
    static RECOMPUTES: Cell<bool> = const { Cell::new(false) };
}

/// Puts a flag of this thread back when dropped, also after a panic.
struct Restore(&'static std::thread::LocalKey<Cell<bool>>, bool);

impl Drop for Restore {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Calls `f` with activation checkpointing, if `on`: transformer blocks keep only their input, and the backward pass
/// computes a block's forward pass again before it needs it. Same bits, less memory, about a third more time. It
/// concerns the fused block (f32 on the CPU); everything else keeps what it always keeps.
pub fn recompute<R>(on: bool, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(&RECOMPUTES, RECOMPUTES.replace(on));
    f()
}

/// Whether blocks on this thread keep only their input.
pub(crate) fn recomputes() -> bool {
    RECOMPUTES.get()
}

/// Calls `f` without recording the fused operations inside it: nothing is saved for a backward pass,
/// and results carry no graph. For scoring with parameters that train.
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _restore = Restore(&RECORDS, RECORDS.replace(false));
    f()
}

/// Whether operations on this thread are recorded.
pub(crate) fn records() -> bool {
    RECORDS.get()
}

/// Gradients of the scalar `loss` with respect to every variable it depends on. Use this instead
/// of `loss.backward()`: transformer blocks deliver parameter gradients only here.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let session = Session::open();
    let mut grads = loss.backward()?;
    for (var, grad) in session.close() {
        let total = match grads.remove(&var) {
            Some(other) => other.add(&grad)?,
            None => grad,
        };
        grads.insert(&var, total);
    }
    Ok(grads)
}

/// Hands in the gradient of a variable. Returns false where nobody collects.
pub(crate) fn deposit(var: &Tensor, grad: &Tensor) -> bool {
    DEPOSITS.with_borrow_mut(|deposits| match deposits {
        Some(list) => {
            list.push((var.clone(), grad.clone()));
            true
        }
        None => false,
    })
}

/// Whether a backward pass on this thread collects deposits.
pub(crate) fn collecting() -> bool {
    DEPOSITS.with_borrow(Option::is_some)
}

/// One backward pass. Restores what was there, because a thread waiting inside one backward pass
/// may run another one meanwhile.
struct Session {
    outer: Option<Vec<(Tensor, Tensor)>>,
    open: bool,
}

impl Session {
    fn open() -> Self {
        Self { outer: DEPOSITS.replace(Some(Vec::new())), open: true }
    }

    fn close(mut self) -> Vec<(Tensor, Tensor)> {
        self.open = false;
        DEPOSITS.replace(self.outer.take()).unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open {
            DEPOSITS.set(self.outer.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn deposits_are_added_to_graph_gradients() {
        let x = Var::new(&[2.0f32, 3.0], &Device::Cpu).unwrap();
        let y = crate::ops::linear(&x.reshape((2, 1)).unwrap(), &x.reshape((2, 1)).unwrap(), None).unwrap();
        let direct = backward(&y.sum_all().unwrap()).unwrap();
        // d/dx_i of (Σ x)² = 2 Σ x
        assert_eq!(direct.get(&x).unwrap().to_vec1::<f32>().unwrap(), [10.0, 10.0]);
    }

    #[test]
    fn nothing_collects_outside_a_session() {
        let x = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(!deposit(&x, &x) && !collecting());
        let session = Session::open();
        assert!(collecting());
        drop(session);
        assert!(!collecting());
    }

    #[test]
    fn nothing_is_recorded_without_gradients() {
        let x = Var::new(&[[2.0f32, 3.0]], &Device::Cpu).unwrap();
        let product = || crate::ops::linear(&x, &x, None).unwrap();
        assert!(!no_grad(product).track_op());
        assert!(product().track_op());
        assert_eq!(no_grad(product).to_vec2::<f32>().unwrap(), product().to_vec2::<f32>().unwrap());
    }
}
