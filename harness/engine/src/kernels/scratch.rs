//! Work buffers that are aligned to a cache line and reused.
//!
//! Buffers return to a small pool when dropped, so the packed weights of one product are the next
//! product's. Contents are whatever was there before.
use std::sync::{Mutex, PoisonError};

const ALIGN: usize = 16; // f32 per cache line
const KEEP: usize = 16; // buffers kept; beyond that the smallest is freed

static POOL: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// A buffer of at least the length asked for, aligned to 64 bytes.
pub(crate) struct Scratch {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    /// Takes a buffer of `len` values with arbitrary contents.
    pub(crate) fn new(len: usize) -> Self {
        let need = len + ALIGN;
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        // the smallest that fits, so that large buffers stay for large needs
        let best = (0..pool.len()).filter(|&i| pool[i].len() >= need).min_by_key(|&i| pool[i].len());
        let memory = match best {
            Some(i) => pool.swap_remove(i),
            None => Vec::new(),
        };
        drop(pool);
        let memory = if memory.len() >= need { memory } else { vec![0.0; need] };
        let start = memory.as_ptr().align_offset(4 * ALIGN).min(ALIGN);
        Self { memory, start, len }
    }
}

impl std::ops::Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.push(std::mem::take(&mut self.memory));
        if pool.len() > KEEP
            && let Some(smallest) = (0..pool.len()).min_by_key(|&i| pool[i].len())
        {
            pool.swap_remove(smallest);
        }
    }
}

/// A vector of `len` values whose contents are about to be overwritten.
pub(crate) fn uninit(len: usize) -> Vec<f32> {
    let mut v: Vec<f32> = Vec::with_capacity(len);
    // SAFETY: the capacity is there and every bit pattern is an f32; all callers write each
    // element before reading it. Zeroing would cost a pass over memory per operation.
    #[allow(clippy::uninit_vec)]
    unsafe {
        v.set_len(len);
    }
    v
}
