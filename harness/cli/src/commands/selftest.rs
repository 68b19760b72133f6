//! `facebench selftest`: does this program, on this machine, compute what it should?
//!
//! `--device` compares a device with the processor ([`super::selftest_device`]).
//! `--golden DIR` runs every numeric fixture in a folder; the files say inputs, expected numbers and tolerances, so
//! any folder of that form will do. One row per case: what was compared, the deviation closest to its limit, pass or fail.
//! Ends with exit code 1 where a case fails or has no runner, so that a script can tell it from a usage error.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, anyhow};
use facebench_selftest::{Row, Verdict, check_folder};

use super::shared;
use crate::args::SelftestArgs;
use crate::fail::Status;
use crate::out;

/// Runs what was asked for.
pub(crate) fn run(args: &SelftestArgs) -> Result<Status> {
    match (&args.golden, &args.device) {
        (Some(folder), _) => golden(folder, args),
        (None, Some(device)) => super::selftest_device::run(device, args),
        (None, None) => Err(anyhow!(
            "nothing to test\nhint: `--device cpu` checks the operations of a device, `--golden DIR` a folder of numeric fixtures"
        )),
    }
}

fn golden(folder: &Path, args: &SelftestArgs) -> Result<Status> {
    let plugins = shared::plugins(&args.plugins)?;
    let mut file = String::new();
    let rows = check_folder(folder, &plugins, |row| {
        if row.file != file {
            row.file.clone_into(&mut file);
            eprintln!("checking {file}");
        }
    })?;
    let count = |v: Verdict| rows.iter().filter(|r| r.verdict == v).count();
    let (passed, failed, unknown) = (count(Verdict::Pass), count(Verdict::Fail), count(Verdict::Unknown));
    if args.json {
        out::json(&rows)?;
    } else {
        out::text(&table(&rows))?;
    }
    let nothing = count(Verdict::Nothing);
    let cases = rows.len() - nothing;
    eprintln!("{cases} cases: {passed} passed, {failed} failed, {unknown} unknown");
    if nothing > 0 {
        eprintln!("{nothing} of the files hold no numbers to compute");
    }
    if cases == 0 {
        return Err(anyhow!("{}: nothing to check in it", folder.display()));
    }
    Ok(if failed + unknown == 0 { Status::Done } else { Status::Wrong })
}

/// One line per case, the reason below it.
fn table(rows: &[Row]) -> String {
    let width = |f: fn(&Row) -> usize, head: &str| rows.iter().map(f).max().unwrap_or(0).max(head.len());
    let (file, kind) = (width(|r| r.file.len(), "file"), width(|r| r.kind.len(), "kind"));
    let case = width(|r| r.case.chars().count(), "case").min(64);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:file$}  {:kind$}  {:case$}  {:>8}  {:>9}  {:>9}  result",
        "file", "kind", "case", "compared", "deviation", "tolerance"
    );
    for r in rows {
        let verdict = match r.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Unknown => "unknown",
            Verdict::Nothing => "no numbers",
        };
        let _ = writeln!(
            text,
            "{:file$}  {:kind$}  {:case$}  {:>8}  {:>9}  {:>9}  {verdict}",
            r.file,
            r.kind,
            r.case.chars().take(case).collect::<String>(),
            r.compared,
            short(r.deviation),
            short(r.tolerance)
        );
        if !r.reason.is_empty() {
            let _ = writeln!(text, "    {}", r.reason.replace('\n', "\n    "));
        }
    }
    text
}

/// A small number with two digits, or 0.
fn short(v: f64) -> String {
    if v == 0.0 { "0".to_owned() } else { format!("{v:.1e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_reason_below_its_row() {
        let row = |verdict, reason: &str| Row {
            file: "a.json".into(),
            case: "run".into(),
            kind: "masks".into(),
            compared: 3,
            deviation: 0.25,
            tolerance: 0.0,
            verdict,
            reason: reason.into(),
        };
        let text = table(&[row(Verdict::Pass, ""), row(Verdict::Fail, "x is 1, expected 2")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].ends_with("pass") && lines[2].ends_with("FAIL") && lines[2].contains("2.5e-1"),
            "{text}"
        );
        assert_eq!(lines[3], "    x is 1, expected 2");
    }
}
