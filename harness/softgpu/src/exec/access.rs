//! Loads, stores and atomic operations of one lane.
use super::Block;
use super::alu::mask;
use super::shared::Shared;
use crate::ptx::{Atomic, LOCAL_WINDOW, SHARED_WINDOW, Space, Ty};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The allocation found last; most accesses of a kernel go to one of a few.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent([(u64, u64); 4], usize);

/// What an access may reach.
pub(super) struct Reach<'a, 'b> {
    pub(super) block: &'a Block<'b>,
    pub(super) shared: &'a mut Shared,
    pub(super) local: &'a mut [u8],
    pub(super) recent: &'a mut Recent,
    pub(super) warp: usize,
}

impl Reach<'_, '_> {
    /// Makes a generic address one of its space.
    fn resolve(space: Space, at: u64) -> (Space, u64) {
        match space {
            Space::Generic if at >= LOCAL_WINDOW => (Space::Local, at - LOCAL_WINDOW),
            Space::Generic if at >= SHARED_WINDOW => (Space::Shared, at - SHARED_WINDOW),
            Space::Generic => (Space::Global, at),
            _ => (space, at),
        }
    }

    fn check(&mut self, at: u64, size: usize, what: &str) -> Result<(), String> {
        let inside = |(begin, end): (u64, u64)| at >= begin && at.saturating_add(size as u64) <= end;
        if !self.recent.0.iter().any(|r| inside(*r)) {
            let Some(range) = self.block.book.find(at, size) else {
                return Err(format!("{what} of {size} bytes at {at:#x}, {}", self.block.book.describe(at)));
            };
            self.recent.0[self.recent.1 % 4] = range;
            self.recent.1 += 1;
        }
        Ok(())
    }

    pub(super) fn load(&mut self, space: Space, at: u64, size: usize) -> Result<u64, String> {
        let (space, at) = Self::resolve(space, at);
        aligned(at, size)?;
        let slice = |memory: &[u8]| -> Result<u64, String> {
            let begin = at as usize;
            let bytes = memory
                .get(begin..begin + size)
                .ok_or_else(|| format!("{size} bytes at {at} of {} bytes", memory.len()))?;
            let mut word = [0; 8];
            word[..size].copy_from_slice(bytes);
            Ok(u64::from_le_bytes(word))
        };
        match space {
            Space::Param => slice(self.block.parameters),
            Space::Local => slice(self.local),
            Space::Shared => self.shared.load(at, size, self.warp),
            Space::Global | Space::Generic => {
                self.check(at, size, "a read")?;
                let mut word = 0u64;
                // SAFETY: the book says that these bytes are allocated, and it is locked while the kernel runs.
                unsafe { std::ptr::copy_nonoverlapping(at as *const u8, (&raw mut word).cast(), size) };
                Ok(word)
            }
        }
    }

    pub(super) fn store(&mut self, space: Space, at: u64, size: usize, value: u64) -> Result<(), String> {
        let (space, at) = Self::resolve(space, at);
        aligned(at, size)?;
        match space {
            Space::Param => return Err("a write to the parameters".into()),
            Space::Local => {
                let (begin, length) = (at as usize, self.local.len());
                let bytes = self.local.get_mut(begin..begin + size);
                let bytes =
                    bytes.ok_or_else(|| format!("{size} bytes at {at} of {length} bytes of local memory"))?;
                bytes.copy_from_slice(&value.to_le_bytes()[..size]);
            }
            Space::Shared => self.shared.store(at, size, self.warp, value)?,
            Space::Global | Space::Generic => {
                self.check(at, size, "a write")?;
                // SAFETY: as above; no other thread of this process uses device memory while a kernel runs, and blocks
                // that write the same bytes would race on a GPU too.
                unsafe { std::ptr::copy_nonoverlapping((&raw const value).cast(), at as *mut u8, size) };
            }
        }
        Ok(())
    }

    /// The value before.
    pub(super) fn atomic(
        &mut self,
        space: Space,
        (what, ty): (Atomic, Ty),
        at: u64,
        values: [u64; 2],
    ) -> Result<u64, String> {
        let size = ty.bytes();
        let (space, at) = Self::resolve(space, at);
        if space == Space::Shared {
            return self.shared.update(at, size, |old| changed(what, ty, old, values));
        }
        aligned(at, size)?;
        self.check(at, size, "an atomic operation")?;
        let new = |old: u64| changed(what, ty, old, values);
        match size {
            // SAFETY: allocated and aligned, see above.
            4 => unsafe {
                let cell = &*(at as *const AtomicU32);
                cell.fetch_update(
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                    |old| Some(new(u64::from(old)) as u32),
                )
                .map(u64::from)
                .map_err(|_| "an atomic operation that never ends".to_owned())
            },
            // SAFETY: allocated and aligned, see above.
            8 => unsafe {
                let cell = &*(at as *const AtomicU64);
                cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(new(old)))
                    .map_err(|_| "an atomic operation that never ends".to_owned())
            },
            _ => {
                static ONE: Mutex<()> = Mutex::new(());
                let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
                let old = self.load(Space::Global, at, size)?;
                self.store(Space::Global, at, size, new(old))?;
                Ok(old)
            }
        }
    }
}

fn aligned(at: u64, size: usize) -> Result<(), String> {
    if at.is_multiple_of(size as u64) {
        Ok(())
    } else {
        Err(format!("{size} bytes at {at:#x}, which is not a multiple of {size}"))
    }
}

fn changed(what: Atomic, ty: Ty, old: u64, [value, other]: [u64; 2]) -> u64 {
    let m = mask(ty.bits());
    match (what, ty) {
        (Atomic::Add, Ty::F32) => {
            u64::from((f32::from_bits(old as u32) + f32::from_bits(value as u32)).to_bits())
        }
        (Atomic::Add, Ty::F64) => (f64::from_bits(old) + f64::from_bits(value)).to_bits(),
        (Atomic::Add, _) => old.wrapping_add(value) & m,
        (Atomic::Min, Ty::S(32)) => (old as u32 as i32).min(value as u32 as i32) as u32 as u64,
        (Atomic::Max, Ty::S(32)) => (old as u32 as i32).max(value as u32 as i32) as u32 as u64,
        (Atomic::Min, _) => old.min(value & m),
        (Atomic::Max, _) => old.max(value & m),
        (Atomic::Exchange, _) => value & m,
        (Atomic::CompareAndSwap, _) if old == value & m => other & m,
        (Atomic::CompareAndSwap, _) => old,
    }
}
