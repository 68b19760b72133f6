//! Weights that are packed once and used many times.
//!
//! Inference multiplies by the same weights again and again; packing them on every call costs a sixth
//! of the time at batch 1. A parameter store registers the address of each f32 matrix it owns, and
//! takes it back when it is dropped. A registered matrix that is used for inference a second time
//! without having changed is packed and kept. Every in-place update (optimisers, averages,
//! [`crate::ParamStore::set_all`]) says so here, which frees the packed copy: weights that move, like
//! those of an averaged network, are never kept. As a second line, a few values are compared.
use super::Level;
use super::pack::{Mat, Packed, pack};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Values compared before a kept copy is used.
const SAMPLES: usize = 32;

#[derive(Default)]
struct Slot {
    used: bool,
    kept: Option<(Arc<Packed>, [u32; SAMPLES])>,
}

static SLOTS: Mutex<BTreeMap<usize, Slot>> = Mutex::new(BTreeMap::new());

fn slots() -> MutexGuard<'static, BTreeMap<usize, Slot>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store owns the matrix that starts at `address` from now on.
pub(crate) fn register(address: usize) {
    slots().insert(address, Slot::default());
}

/// The store gives it up; the memory may be used for something else.
pub(crate) fn release(address: usize) {
    slots().remove(&address);
}

/// The values at `address` have changed.
pub(crate) fn changed(address: usize) {
    if let Some(slot) = slots().get_mut(&address) {
        *slot = Slot::default();
    }
}

/// The transpose of `w: (outputs × inputs)` in packed form, if it is kept or worth keeping.
pub(crate) fn packed(level: Level, w: &[f32], inputs: usize, outputs: usize) -> Option<Arc<Packed>> {
    let address = w.as_ptr() as usize;
    let fits = |p: &Packed| (p.k, p.n, p.level) == (inputs, outputs, level);
    let now = sample(w);
    {
        let mut slots = slots();
        let slot = slots.get_mut(&address)?;
        match &slot.kept {
            Some((packed, then)) if fits(packed) && *then == now => return Some(Arc::clone(packed)),
            Some(_) => *slot = Slot { used: true, kept: None },
            None if !slot.used => {
                slot.used = true;
                return None;
            }
            None => {}
        }
    } // packing works in parallel: not under the lock
    // SAFETY: `w` has outputs x inputs values.
    let packed = Arc::new(unsafe { pack(level, Mat::rows(w.as_ptr(), inputs).t(), inputs, outputs) });
    if let Some(slot) = slots().get_mut(&address) {
        slot.kept = Some((Arc::clone(&packed), now));
    }
    Some(packed)
}

fn sample(w: &[f32]) -> [u32; SAMPLES] {
    std::array::from_fn(|i| w.get(i * w.len() / SAMPLES).map_or(0, |v| v.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::level;

    #[test]
    fn kept_from_the_second_use_until_the_values_change() {
        let mut w: Vec<f32> = (0..64 * 48).map(|i| i as f32).collect();
        let at = w.as_ptr() as usize;
        let get = |w: &[f32]| packed(level(), w, 48, 64);
        assert!(get(&w).is_none(), "not registered");
        register(at);
        assert!(get(&w).is_none(), "first use");
        let first = get(&w).unwrap();
        assert!(Arc::ptr_eq(&first, &get(&w).unwrap()));
        changed(at);
        assert!(get(&w).is_none());
        let second = get(&w).unwrap();
        w[0] = 7.0; // a change that nobody announced
        assert!(!Arc::ptr_eq(&second, &get(&w).unwrap()));
        release(at);
        assert!(get(&w).is_none());
    }
}
