//! Process-wide settings: how memory is returned to the system and how many threads work.
//!
//! Training allocates and frees the same large buffers every step. glibc gives each of them back
//! to the kernel and faults it in anew, which costs more than a quarter of a training step;
//! [`tune_malloc`] turns that off. Threads: every kernel works in rayon's *current* pool, so a
//! caller limits them by running inside the pool of [`thread_pool`].
use crate::error::{Error, Result};

/// Keeps freed memory in the process instead of returning it to the kernel after every step.
/// Call it first in `main`. Returns whether the allocator understood (glibc only).
pub fn tune_malloc() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt only changes parameters of the allocator and may be called at any time.
        unsafe {
            // -1 is "never"; the largest number would be 2 GiB, less than a step of pre-training frees
            libc::mallopt(libc::M_MMAP_MAX, 0) == 1 && libc::mallopt(libc::M_TRIM_THRESHOLD, -1) == 1
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        false
    }
}

/// Keeps the tensor library's own elementwise operations on the calling thread. Its worker pool is one for the whole
/// process, spins while it waits, and lets one caller in at a time, so units that run side by side would block each
/// other (measured: pre-training 1.6 times slower). The operations that matter work in rayon's current pool instead.
///
/// # Safety
/// Writes an environment variable: call it first in `main`, before any other thread exists.
pub unsafe fn single_tensor_thread() {
    // SAFETY: the caller promises that no other thread reads the environment now.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
}

/// A pool of `threads` workers (0 = one per core). Run work inside it with `pool.install(..)`.
/// Results do not depend on the number of threads.
pub fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("facebench-{i}"))
        .build()
        .map_err(|e| {
            Error::argument("thread_pool", "a number of threads the system allows", format!("{threads}: {e}"))
        })
}

/// Sets the size of the global pool, used by code that runs outside any other pool, including the
/// tensor library. Call it once, early; returns false if the pool exists already.
pub fn set_threads(threads: usize) -> bool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_has_the_size_asked_for() {
        let pool = thread_pool(3).unwrap();
        assert_eq!(pool.install(rayon::current_num_threads), 3);
    }

    #[test]
    fn malloc_is_tuned_on_glibc() {
        assert_eq!(tune_malloc(), cfg!(all(target_os = "linux", target_env = "gnu")));
    }
}
