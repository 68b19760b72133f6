//! Looking into a forward pass: attention probabilities and the inputs of blocks.
//!
//! Attention is an operation of the program, so the program sees it whoever calls it: while a thread is inside
//! [`watch`], `attention`, `attention_qkv` and `transformer_block` also compute their probabilities and leave the mean
//! over heads here. No layout of the boundary changes, and a plugin built on the blocks of the kit needs to know nothing.
//! What the program cannot see from an operation alone a plugin may say with `call("observe", [x], [kind])`, which
//! gives `x` back: kind 0, `x` is the input of a block; kind 1, `x` (B, H, N, N) are probabilities that the plugin
//! computed itself.
//!
//! With [`Watch::Blocks`] the input of every block is handed on as a variable of its own, which cuts the graph there:
//! gradients of the output reach the input of the last block and nothing before it.

use std::cell::RefCell;

use candle_core::{D, DType, Var};
use facebench_engine::{Error, Tensor, no_grad};

/// What is wanted of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The attention probabilities of every layer
    Attention,
    /// The input of every block, as a variable
    Blocks,
}

/// What was seen, in the order of the calls.
#[derive(Default)]
pub struct Seen {
    /// (B, N, M) each, f32: probabilities, the mean over heads; rows are queries and sum to 1
    pub attention: Vec<Tensor>,
    /// (B, N, D) each
    pub blocks: Vec<Var>,
}

struct Recorder {
    what: Watch,
    seen: Seen,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Puts back what was there before, also after a panic.
struct Restore(Option<Recorder>);

impl Drop for Restore {
    fn drop(&mut self) {
        RECORDER.set(self.0.take());
    }
}

/// Calls `f` and returns what its attention operations or blocks did on this thread.
pub fn watch<R>(what: Watch, f: impl FnOnce() -> R) -> (R, Seen) {
    let restore = Restore(RECORDER.replace(Some(Recorder { what, seen: Seen::default() })));
    let result = f();
    let seen = RECORDER.take().map(|r| r.seen).unwrap_or_default();
    drop(restore);
    (result, seen)
}

fn watches(what: Watch) -> bool {
    RECORDER.with_borrow(|r| r.as_ref().is_some_and(|r| r.what == what))
}

/// Notes probabilities (B, H, N, M), computed only where somebody watches.
pub(crate) fn attention(weights: impl FnOnce() -> Result<Tensor, Error>) -> Result<(), Error> {
    if !watches(Watch::Attention) {
        return Ok(());
    }
    let weights = no_grad(weights)?;
    if weights.rank() != 4 {
        let message = format!("attention probabilities of shape {:?}, expected (B, H, N, M)", weights.dims());
        return Err(Error::Tensor(candle_core::Error::Msg(message)));
    }
    // the mean over heads, in the precision that a product of many layers wants
    let mean = weights.detach().to_dtype(DType::F32)?.mean(D::Minus(3))?;
    RECORDER.with_borrow_mut(|r| {
        if let Some(r) = r {
            r.seen.attention.push(mean);
        }
    });
    Ok(())
}

/// The input of a block: `x` itself, or a variable with its values where somebody watches.
pub(crate) fn block_input(x: &Tensor) -> Result<Tensor, Error> {
    if !watches(Watch::Blocks) {
        return Ok(x.clone());
    }
    let var = Var::from_tensor(&x.detach().contiguous()?)?;
    let tensor = var.as_tensor().clone();
    RECORDER.with_borrow_mut(|r| {
        if let Some(r) = r {
            r.seen.blocks.push(var);
        }
    });
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn weights() -> Result<Tensor, Error> {
        // two heads over two tokens
        Ok(Tensor::new(&[[[[1.0f32, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.0, 1.0]]]], &Device::Cpu)?)
    }

    #[test]
    fn nothing_is_computed_where_nobody_watches() {
        attention(|| panic!("computed")).unwrap();
        let x = Tensor::zeros((1, 2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(!block_input(&x).unwrap().is_variable());
    }

    #[test]
    fn heads_are_averaged_and_sessions_end() {
        let ((), seen) = watch(Watch::Attention, || attention(weights).unwrap());
        let rows: Vec<Vec<f32>> = seen.attention[0].get(0).unwrap().to_vec2().unwrap();
        assert_eq!(rows, [[0.75, 0.25], [0.25, 0.75]]);
        let (inner, outer) = watch(Watch::Attention, || {
            let ((), inner) = watch(Watch::Blocks, || attention(weights).unwrap());
            attention(weights).unwrap();
            inner
        });
        assert_eq!((inner.attention.len(), outer.attention.len()), (0, 1));
        assert!(!watches(Watch::Attention));
    }

    #[test]
    fn a_watched_input_is_a_variable_with_the_same_values() {
        let x = Tensor::new(&[[[1.0f32, 2.0]]], &Device::Cpu).unwrap();
        let (y, seen) = watch(Watch::Blocks, || block_input(&x).unwrap());
        assert!(y.is_variable() && seen.blocks.len() == 1);
        let grads = facebench_engine::backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        let g: Vec<f32> = grads.get(&seen.blocks[0]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(g, [2.0, 4.0]);
    }
}
