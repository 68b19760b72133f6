//! Carrying a plan out: workers, signals, progress, and what is said at the end.
//!
//! `schedule` decides which unit is next, `unit` does one, `generate` makes data, `progress` shows how far
//! things are, `signals` hears the wish to stop. The order of work, the number of workers and an
//! interruption in between change no number.

mod audit;
mod generate;
mod progress;
mod schedule;
mod signals;
mod unit;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use facebench_engine::Device;
use facebench_host::Plugins;

pub(crate) use audit::{audit, verdict};
pub(crate) use generate::run as generate_data;
pub(crate) use progress::Screen;
pub(crate) use signals::install as hear_signals;

use crate::fail::Status;
use crate::plan::Plan;
use crate::store::Store;
use schedule::State;
use unit::Surroundings;

/// How units are run.
pub(crate) struct Settings {
    /// Units at a time
    pub(crate) jobs: usize,
    /// Threads of each
    pub(crate) threads: usize,
    /// Where tensors live
    pub(crate) device: Device,
    /// Its name
    pub(crate) device_name: String,
}

/// Runs the units of `wanted` (which includes what they need) and says how it ended.
///
/// # Errors
/// The store is broken, or threads cannot be started. Failures of units are not errors: they are told and counted.
pub(crate) fn execute(
    plan: &Plan,
    wanted: &[usize],
    store: &Store,
    plugins: &Plugins,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<Status> {
    let mut open = Vec::new();
    for i in wanted {
        if plan.units[*i].finished(store)?.is_none() {
            open.push(*i);
        }
    }
    let screen = Screen::new();
    let finished = wanted.len() - open.len();
    if finished > 0 {
        let root = store.root().display();
        screen.line(&format!("{finished} of {} units are finished in {root}", wanted.len()));
    }
    let said = Mutex::new(BTreeSet::new());
    let around = Surroundings {
        plan,
        store,
        plugins,
        device: settings.device.clone(),
        device_name: settings.device_name.clone(),
        threads: settings.threads,
        stop,
        screen: &screen,
        said: &said,
    };
    let needs: Vec<&[usize]> = plan.units.iter().map(|u| u.needs.as_slice()).collect();
    let begun = AtomicUsize::new(0);
    let places: Vec<AtomicUsize> = open.iter().map(|_| AtomicUsize::new(0)).collect();
    let work = |index: usize| {
        let at = open.iter().position(|i| *i == index).unwrap_or(0);
        // a unit that was busy elsewhere keeps its number
        if places[at].load(Ordering::Relaxed) == 0 {
            places[at].store(begun.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        let ended = around.work(index, (places[at].load(Ordering::Relaxed), open.len()));
        if let schedule::Ended::Failed(message) = &ended {
            let unit = &plan.units[index];
            screen.line(&format!("error: unit {} ({}): {message}", unit.short(), unit.name));
        }
        ended
    };
    let states =
        schedule::run(&open, &needs, settings.jobs, stop, &work).context("starting worker threads")?;
    Ok(summary(&states, store, &screen))
}

/// One line about what did not end well, and the exit status.
fn summary(states: &[State], store: &Store, screen: &Screen) -> Status {
    let count = |wanted: fn(&State) -> bool| states.iter().filter(|s| wanted(s)).count();
    let done = count(|s| *s == State::Done);
    let failed = count(|s| matches!(s, State::Failed(_)));
    let interrupted = count(|s| *s == State::Interrupted);
    let open = count(|s| *s == State::Open);
    if failed > 0 {
        screen.line(&format!(
            "error: {failed} of {} units failed, {done} done, {} not run; finished ones are kept in {}",
            states.len(),
            open + interrupted,
            store.root().display()
        ));
        Status::Failed
    } else if interrupted + open > 0 {
        screen.line(&format!(
            "interrupted: {done} of {} units done in this run; the same command goes on from here",
            states.len()
        ));
        Status::Interrupted
    } else {
        Status::Done
    }
}
