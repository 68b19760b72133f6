//! Being asked to stop: SIGINT, SIGTERM and SIGUSR1 raise a flag that running units look at.
//!
//! A unit then saves where it is and the program ends with code 75, so that a scheduler (SIGTERM before a
//! time limit, SIGUSR1 by request) or a person (Ctrl-C) can go on later. A second Ctrl-C quits at once:
//! nothing half-written can be taken for a result anyway.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

/// Exit code of a process that was interrupted twice, as a shell would give it.
const TWICE: i32 = 130;

/// Installs the handlers; the flag is raised by the first signal.
///
/// # Errors
/// The system refuses a handler.
pub(crate) fn install() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let refused = "installing signal handlers";
    // in this order: on the first signal the flag is still down, so only the second one quits
    flag::register_conditional_shutdown(SIGINT, TWICE, Arc::clone(&stop)).context(refused)?;
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        flag::register(signal, Arc::clone(&stop)).context(refused)?;
    }
    Ok(stop)
}
