//! One row per case: what was compared, the worst deviation beside its limit, and why it failed.

use std::fmt::Display;

use serde::Serialize;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything compared is within its limit
    Pass,
    /// Something is not, or could not be compared
    Fail,
    /// No runner knows this kind of fixture
    Unknown,
    /// The file is known to hold nothing that is computed
    Nothing,
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Path below the folder
    pub file: String,
    /// Name of the case within the file
    pub case: String,
    /// Kind of fixture, as the file says
    pub kind: String,
    /// Numbers compared
    pub compared: usize,
    /// Deviation where it comes closest to (or exceeds most) its limit
    pub deviation: f64,
    /// The limit there
    pub tolerance: f64,
    /// The result
    pub verdict: Verdict,
    /// What is wrong; empty if nothing
    pub reason: String,
}

/// Most a number may deviate: `relative · |expected| + absolute`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    /// Factor on the expected magnitude
    pub(crate) relative: f64,
    /// Added to it
    pub(crate) absolute: f64,
}

impl Limit {
    /// Nothing but equality.
    pub(crate) const EXACT: Self = Self { relative: 0.0, absolute: 0.0 };

    /// An absolute limit.
    #[must_use]
    pub(crate) fn absolute(absolute: f64) -> Self {
        Self { relative: 0.0, absolute }
    }
}

/// Collects the comparisons of one case.
#[derive(Debug, Default)]
pub(crate) struct Case {
    compared: usize,
    worst: Option<(f64, f64, f64)>, // share of the limit, deviation, limit
    failures: usize,
    first: String,
}

impl Case {
    /// Compares lists element by element. A relative limit refers to the largest expected magnitude of the
    /// list, since elements near zero carry the rounding of the others.
    pub(crate) fn near(&mut self, what: &str, got: &[f64], want: &[f64], limit: Limit) {
        if got.len() != want.len() {
            return self.fail(&format!("{what}: {} numbers, expected {}", got.len(), want.len()));
        }
        let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        let allowed = limit.relative * scale + limit.absolute;
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let place = if want.len() == 1 { what.to_owned() } else { format!("{what} [{i}]") };
            self.one(&place, *g, *w, allowed);
        }
    }

    /// Compares two numbers.
    pub(crate) fn number(&mut self, what: &str, got: f64, want: f64, limit: Limit) {
        self.one(what, got, want, limit.relative * want.abs() + limit.absolute);
    }

    fn one(&mut self, what: &str, got: f64, want: f64, allowed: f64) {
        self.compared += 1;
        let same = got == want || (got.is_nan() && want.is_nan());
        let deviation = if same { 0.0 } else { (got - want).abs() };
        let share = if same { 0.0 } else { deviation / allowed };
        let share = if share.is_nan() { f64::INFINITY } else { share };
        if self.worst.is_none_or(|(s, _, t)| share > s || (share == s && allowed > t)) {
            self.worst = Some((share, deviation, allowed));
        }
        if share > 1.0 {
            self.fail(&format!("{what} is {got}, expected {want}"));
        }
    }

    /// Compares things that are equal or not.
    pub(crate) fn same<T: PartialEq + std::fmt::Debug + ?Sized>(&mut self, what: &str, got: &T, want: &T) {
        self.holds(got == want, || {
            let short = |v: &T| format!("{v:?}").chars().take(80).collect::<String>();
            format!("{what} is {}, expected {}", short(got), short(want))
        });
    }

    /// Notes that something holds, or why it does not.
    pub(crate) fn holds(&mut self, holds: bool, why_not: impl FnOnce() -> String) {
        self.compared += 1;
        if holds {
            self.worst = self.worst.or(Some((0.0, 0.0, 0.0)));
        } else {
            self.worst = Some((f64::INFINITY, f64::INFINITY, 0.0));
            self.fail(&why_not());
        }
    }

    /// Notes a failure.
    pub(crate) fn fail(&mut self, reason: &str) {
        if self.failures == 0 {
            reason.clone_into(&mut self.first);
        }
        self.failures += 1;
    }
}

/// The rows of one file.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// Path below the folder
    pub(crate) file: String,
    /// Kind of fixture
    pub(crate) kind: String,
    /// What was found so far
    pub(crate) rows: Vec<Row>,
}

impl Sheet {
    /// A row for something that is not run.
    pub(crate) fn not_run(&mut self, case: &str, verdict: Verdict, reason: String) {
        self.rows.push(Row {
            file: self.file.clone(),
            case: case.to_owned(),
            kind: self.kind.clone(),
            compared: 0,
            deviation: 0.0,
            tolerance: 0.0,
            verdict,
            reason,
        });
    }

    /// Runs one case and keeps its row; an error of the runner is a failure with that reason.
    pub(crate) fn case(&mut self, name: impl Display, run: impl FnOnce(&mut Case) -> Result<(), String>) {
        let mut case = Case::default();
        if let Err(reason) = run(&mut case) {
            case.fail(&reason);
        }
        if case.compared == 0 && case.failures == 0 {
            case.fail("nothing was compared");
        }
        let (_, deviation, tolerance) = case.worst.unwrap_or((0.0, 0.0, 0.0));
        let more =
            if case.failures > 1 { format!(" (and {} more)", case.failures - 1) } else { String::new() };
        self.rows.push(Row {
            file: self.file.clone(),
            case: name.to_string(),
            kind: self.kind.clone(),
            compared: case.compared,
            deviation,
            tolerance,
            verdict: if case.failures == 0 { Verdict::Pass } else { Verdict::Fail },
            reason: if case.failures == 0 { String::new() } else { format!("{}{more}", case.first) },
        });
    }
}

/// Turns what is missing or fails into the reason of a case.
pub(crate) trait Must<T> {
    /// The value, or a reason.
    ///
    /// # Errors
    /// The text of the error, or that something is missing in the file.
    fn must(self, what: &str) -> Result<T, String>;
}

impl<T> Must<T> for Option<T> {
    fn must(self, what: &str) -> Result<T, String> {
        self.ok_or_else(|| format!("the file says no usable {what}"))
    }
}

impl<T, E: Display> Must<T> for Result<T, E> {
    fn must(self, what: &str) -> Result<T, String> {
        self.map_err(|e| format!("{what}: {e}"))
    }
}
