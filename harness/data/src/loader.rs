//! Work done ahead of time on other threads, handed out in order.
//!
//! Which thread does what never shows: results come in the order of the jobs, exactly one per job, and an
//! error or a panic takes the place of its own result. At most `ahead` results (running or finished) exist
//! beyond the one being asked for, so memory is bounded whatever the number of jobs. Dropping the iterator
//! stops the threads. It holds no randomness: a job that needs some carries its own stream.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Error;

/// Runs `work` over `jobs` on `workers` threads, at most `ahead` jobs beyond the consumer.
///
/// With no workers each job runs when its result is asked for, on the caller's thread; the results are the
/// same. `ahead` below 1 counts as 1.
pub fn ordered<J, T, E, F>(jobs: Vec<J>, workers: usize, ahead: usize, work: F) -> Ordered<T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: Fn(J) -> Result<T, E> + Send + Sync + 'static,
{
    let slots: Vec<Mutex<Option<J>>> = jobs.into_iter().map(|j| Mutex::new(Some(j))).collect();
    counted(slots.len(), workers, ahead, move |index| {
        let job = lock(&slots[index]).take().expect("an index is claimed once");
        work(job)
    })
}

/// [`ordered`] for jobs that are known by their number, `0..total`: nothing is held per job, so a whole run of
/// millions of steps can be one list.
pub fn counted<T, E, F>(total: usize, workers: usize, ahead: usize, work: F) -> Ordered<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: Fn(usize) -> Result<T, E> + Send + Sync + 'static,
{
    let workers = workers.min(total);
    if workers == 0 {
        let mut jobs = 0..total;
        let inline = move || jobs.next().map(|job| guarded(&work, job));
        return Ordered { source: Source::Inline(Box::new(inline)), left: total, waited: Duration::ZERO };
    }
    let shared = Arc::new(Shared {
        state: Mutex::new(State { taken: 0, given: 0, done: BTreeMap::new(), stop: false }),
        finished: Condvar::new(),
        room: Condvar::new(),
    });
    let (work, ahead) = (Arc::new(work), ahead.max(1));
    let threads = (0..workers)
        .map(|_| {
            let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
            std::thread::spawn(move || {
                while let Some(index) = shared.claim(ahead, total) {
                    shared.finish(index, guarded(&*work, index));
                }
            })
        })
        .collect();
    Ordered { source: Source::Threads { shared, threads }, left: total, waited: Duration::ZERO }
}

/// The results, in the order of the jobs. Knows its length; can be dropped at any time.
pub struct Ordered<T, E = Error> {
    source: Source<T, E>,
    left: usize,
    waited: Duration,
}

impl<T, E> Ordered<T, E> {
    /// How long `next` has waited for data so far: the time a faster disk or more workers would save.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T, E> Iterator for Ordered<T, E> {
    type Item = Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let start = Instant::now();
        let item = match &mut self.source {
            Source::Inline(next) => next(),
            Source::Threads { shared, .. } => Some(shared.wait_next()),
        };
        self.waited += start.elapsed();
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T, E> ExactSizeIterator for Ordered<T, E> {}

impl<T, E> Drop for Ordered<T, E> {
    fn drop(&mut self) {
        if let Source::Threads { shared, threads } = &mut self.source {
            lock(&shared.state).stop = true;
            shared.room.notify_all();
            for thread in threads.drain(..) {
                // a worker cannot panic: the work is caught, and the rest of its loop does not fail
                drop(thread.join());
            }
        }
    }
}

enum Source<T, E> {
    Inline(Box<dyn FnMut() -> Option<Result<T, E>> + Send>),
    Threads { shared: Arc<Shared<T, E>>, threads: Vec<JoinHandle<()>> },
}

struct Shared<T, E> {
    state: Mutex<State<T, E>>,
    /// Signalled when a result arrives.
    finished: Condvar,
    /// Signalled when the consumer took one, or wants the workers to stop.
    room: Condvar,
}

struct State<T, E> {
    /// Jobs handed to workers.
    taken: usize,
    /// Results handed to the consumer.
    given: usize,
    done: BTreeMap<usize, Result<T, E>>,
    stop: bool,
}

impl<T, E> Shared<T, E> {
    /// The next job's index, once there is room for its result; `None` when there is no more to do.
    fn claim(&self, ahead: usize, total: usize) -> Option<usize> {
        let mut state = lock(&self.state);
        loop {
            if state.stop || state.taken == total {
                return None;
            }
            if state.taken < state.given + ahead {
                state.taken += 1;
                return Some(state.taken - 1);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, index: usize, result: Result<T, E>) {
        lock(&self.state).done.insert(index, result);
        self.finished.notify_all();
    }

    fn wait_next(&self) -> Result<T, E> {
        let mut state = lock(&self.state);
        loop {
            let index = state.given;
            if let Some(result) = state.done.remove(&index) {
                state.given += 1;
                self.room.notify_all();
                return result;
            }
            state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Locks even after a panic elsewhere: no invariant spans two fields while user code runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one job; a panic becomes [`Error::Panic`].
fn guarded<J, T, E: From<Error>>(work: &impl Fn(J) -> Result<T, E>, job: J) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(|| work(job)))
        .unwrap_or_else(|panic| Err(Error::Panic { message: panic_message(&*panic) }.into()))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_string()
}

#[cfg(test)]
mod tests;
