//! Which unit next: workers take the first unit whose needs are finished, in the order of the plan.
//!
//! It knows nothing of what units do, so its rules can be read and tested alone: independent units go on
//! after a failure, units behind a failed one are never started, a unit that another process is at is
//! looked at again later, and once the stop flag is up nothing new begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Backward passes and the drop of long graphs recurse; 64 MiB is ten times what the deepest model needed.
pub(crate) const STACK_BYTES: usize = 64 << 20;

/// Pause before looking again at a unit that another process is working on.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How working on a unit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its result is there
    Done,
    /// It cannot be done; the message is for the user
    Failed(String),
    /// It was asked to stop and can go on later
    Interrupted,
    /// Another process is at it
    Busy,
}

/// What became of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not started: the program was asked to stop, or a unit that it needs is not finished
    Open,
    /// Its result is there
    Done,
    /// It cannot be done
    Failed(String),
    /// It can go on later
    Interrupted,
}

#[derive(Clone)]
enum Slot {
    Open { not_before: Option<Instant> },
    Running,
    Ended(State),
}

/// Runs the units of `order` on `jobs` threads with large stacks.
///
/// `needs[i]` are the units that `i` needs. The result has one state per element of `order`.
pub(crate) fn run(
    order: &[usize],
    needs: &[&[usize]],
    jobs: usize,
    stop: &AtomicBool,
    work: &(dyn Fn(usize) -> Ended + Sync),
) -> std::io::Result<Vec<State>> {
    let slots = Mutex::new(vec![Slot::Open { not_before: None }; order.len()]);
    let changed = Condvar::new();
    let place = |unit: usize| order.iter().position(|u| *u == unit);
    let needs: Vec<Vec<usize>> =
        order.iter().map(|u| needs[*u].iter().filter_map(|n| place(*n)).collect()).collect();
    let worker = || {
        loop {
            let mut guard = slots.lock().unwrap_or_else(PoisonError::into_inner);
            let i = loop {
                match next(&guard, &needs, stop) {
                    Next::Take(i) => break i,
                    Next::Nothing => return,
                    Next::Wait => {
                        let waited = changed.wait_timeout(guard, LOOK_AGAIN / 2);
                        guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            };
            guard[i] = Slot::Running;
            drop(guard);
            let slot = match work(order[i]) {
                Ended::Done => Slot::Ended(State::Done),
                Ended::Failed(message) => Slot::Ended(State::Failed(message)),
                Ended::Interrupted => Slot::Ended(State::Interrupted),
                Ended::Busy => Slot::Open { not_before: Some(Instant::now() + LOOK_AGAIN) },
            };
            slots.lock().unwrap_or_else(PoisonError::into_inner)[i] = slot;
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, order.len().max(1)) {
            std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, worker)?;
        }
        Ok::<(), std::io::Error>(())
    })?;
    let slots = slots.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(slots.into_iter().map(|s| if let Slot::Ended(state) = s { state } else { State::Open }).collect())
}

enum Next {
    Take(usize),
    Wait,
    Nothing,
}

fn next(slots: &[Slot], needs: &[Vec<usize>], stop: &AtomicBool) -> Next {
    if stop.load(Ordering::Relaxed) {
        return Next::Nothing;
    }
    let done = |i: &usize| matches!(slots[*i], Slot::Ended(State::Done));
    let mut answer = Next::Nothing;
    for (i, slot) in slots.iter().enumerate() {
        match slot {
            Slot::Running => answer = Next::Wait,
            Slot::Open { not_before } if needs[i].iter().all(done) => match not_before {
                Some(t) if *t > Instant::now() => answer = Next::Wait,
                _ => return Next::Take(i),
            },
            _ => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units 0 -> 1 -> 2 and 3 -> 4.
    const NEEDS: [&[usize]; 5] = [&[], &[0], &[1], &[], &[3]];

    fn play(jobs: usize, work: &(dyn Fn(usize) -> Ended + Sync)) -> Vec<State> {
        run(&[0, 1, 2, 3, 4], &NEEDS, jobs, &AtomicBool::new(false), work).unwrap()
    }

    #[test]
    fn needs_come_first_with_any_number_of_workers() {
        for jobs in [1, 2, 7] {
            let seen = Mutex::new(Vec::new());
            let states = play(jobs, &|i| {
                let mut seen = seen.lock().unwrap();
                assert!(NEEDS[i].iter().all(|n| seen.contains(n)), "{i} after {seen:?}");
                seen.push(i);
                Ended::Done
            });
            assert!(states.iter().all(|s| *s == State::Done));
        }
    }

    #[test]
    fn a_failure_stops_only_what_is_behind_it() {
        let states = play(2, &|i| if i == 1 { Ended::Failed("no".into()) } else { Ended::Done });
        assert_eq!(states, [State::Done, State::Failed("no".into()), State::Open, State::Done, State::Done]);
    }

    #[test]
    fn nothing_begins_after_the_stop() {
        let stop = AtomicBool::new(false);
        let states = run(&[0, 1, 2, 3, 4], &NEEDS, 1, &stop, &|i| {
            stop.store(true, Ordering::Relaxed);
            if i == 0 { Ended::Interrupted } else { Ended::Done }
        });
        let states = states.unwrap();
        assert_eq!(states[0], State::Interrupted);
        assert!(states[1..].iter().all(|s| *s == State::Open));
    }

    #[test]
    fn a_busy_unit_is_looked_at_again_while_others_go_on() {
        let seen = Mutex::new(Vec::new());
        let states = play(1, &|i| {
            let mut seen = seen.lock().unwrap();
            seen.push(i);
            if i == 0 && seen.len() == 1 { Ended::Busy } else { Ended::Done }
        });
        assert!(states.iter().all(|s| *s == State::Done));
        assert_eq!(seen.into_inner().unwrap(), [0, 3, 4, 0, 1, 2]);
    }
}
