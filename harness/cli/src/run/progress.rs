//! How far the units are: one bar each on a terminal, sparse lines anywhere else.
//!
//! Everything goes to stderr; stdout is for data. Lines come at a unit's start and end, for remarks,
//! and every [`EVERY`] seconds in between, so that a log stays short and a watcher still sees life.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use facebench_train::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Seconds between two lines of one unit when nobody watches.
const EVERY: Duration = Duration::from_secs(30);

/// Where progress is shown.
pub(crate) struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// Bars on a terminal that can draw them, lines otherwise.
    pub(crate) fn new() -> Self {
        let smart = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Self { bars: smart.then(MultiProgress::new) }
    }

    /// One line, above the bars.
    pub(crate) fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Shows one more unit.
    pub(crate) fn unit(&self, title: &str) -> UnitProgress<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_style(style());
            bar.set_prefix(title.to_owned());
            bar
        });
        let log = Mutex::new(Log {
            what: String::new(),
            total: 0,
            last: Instant::now(),
            began: Instant::now(),
            first: None,
        });
        UnitProgress { screen: self, title: title.to_owned(), bar, log }
    }
}

/// Plain characters and no colour: readable everywhere.
fn style() -> ProgressStyle {
    let template = "{prefix:.bold} [{bar:24}] {pos}/{len} {msg} {eta}";
    ProgressStyle::with_template(template)
        .map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> "))
}

/// One unit's bar or lines. The bar goes away with it.
pub(crate) struct UnitProgress<'s> {
    screen: &'s Screen,
    title: String,
    bar: Option<ProgressBar>,
    log: Mutex<Log>,
}

struct Log {
    what: String,
    total: u64,
    last: Instant,
    /// When the phase began, and its first step: an interrupted one does not begin at 0
    began: Instant,
    first: Option<u64>,
}

/// `, 3 min left`, once there is something to reckon with.
fn time_left(began: Instant, first: Option<u64>, done: u64, total: u64) -> String {
    let Some(steps) = first.and_then(|f| done.checked_sub(f)).filter(|n| *n > 0) else {
        return String::new();
    };
    let left = began.elapsed().as_secs_f64() / steps as f64 * total.saturating_sub(done) as f64;
    format!(", {} left", super::unit::seconds(left))
}

impl Progress for UnitProgress<'_> {
    fn phase(&self, what: &str, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(0);
            bar.set_message(what.to_owned());
            bar.reset_eta();
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        what.clone_into(&mut log.what);
        log.total = total;
        (log.began, log.first) = (Instant::now(), None);
    }

    fn tick(&self, done: u64, message: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.first.is_none() {
            (log.began, log.first) = (Instant::now(), Some(done));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{} {message}", log.what));
        } else if log.last.elapsed() >= EVERY {
            log.last = Instant::now();
            let left = time_left(log.began, log.first, done, log.total);
            eprintln!("  {}: {} {done}/{} {message}{left}", self.title, log.what, log.total);
        }
    }

    fn note(&self, message: &str) {
        self.screen.line(&format!("  {}: {message}", self.title));
    }
}

impl Drop for UnitProgress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
