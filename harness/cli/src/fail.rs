//! How the program ends: exit codes, and errors as one short message.
//!
//! 0 done; 1 a self-test found something wrong, or the audit says stop of a result that was made; 2 usage or
//! configuration; 42 permanent failure (do not retry); 75 interrupted, run again.
//! The libraries' messages already name the file and what was expected, some end with a `hint:` line.
//! Here the chain of causes becomes one line, without repeating what an outer message already says, and
//! the hints follow it.

use std::fmt;
use std::process::ExitCode;

/// How a command that was not an error ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Everything was done
    Done,
    /// What was checked is not as it should be
    Wrong,
    /// Something cannot be done, and doing it again will not help
    Failed,
    /// Asked to stop; doing it again goes on from there
    Interrupted,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::Wrong => 1,
            Status::Failed => 42,
            Status::Interrupted => 75,
        })
    }
}

/// Marks an error as a permanent failure of work, as opposed to a mistake in what was asked for.
#[derive(Debug)]
pub(crate) struct Permanent(pub(crate) &'static str);

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(if error.downcast_ref::<Permanent>().is_some() { 42 } else { 2 })
}

/// Whether the reader of our output went away (`facebench plan … | head`): no reason to complain.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let pipe = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|c| c.downcast_ref::<std::io::Error>().is_some_and(pipe))
}

/// The chain of causes on one line, hints on lines of their own.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let (hint, body): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|l| l.trim_start().starts_with("hint: "));
        for line in hint {
            let line = line.trim().to_owned();
            if !hints.contains(&line) {
                hints.push(line);
            }
        }
        let body = without_frames(&body);
        // thiserror's `{source}` inside a message would be said twice
        if !body.is_empty() && !said.iter().any(|s| s.contains(&body)) {
            said.push(body);
        }
    }
    let full = |c: &(dyn std::error::Error + 'static)| {
        c.downcast_ref::<std::io::Error>().is_some_and(crate::store::is_disk_full)
    };
    if error.chain().any(full) && !hints.iter().any(|h| h.contains("free some space")) {
        hints.push("hint: free some space and run again; finished units are kept".to_owned());
    }
    let mut text = said.join(": ");
    for hint in hints {
        text.push('\n');
        text.push_str(&hint);
    }
    text
}

/// The lines of a message without the stack that the tensor library appends when `RUST_BACKTRACE` is set: twenty lines
/// of the program's inside, where one says what is wrong.
fn without_frames(lines: &[&str]) -> String {
    let frame = |line: &str| {
        let (number, rest) = line.trim_start().split_once(": ").unwrap_or_default();
        line.starts_with("  ") && !rest.is_empty() && number.parse::<u16>().is_ok()
    };
    let place = |line: &str| line.starts_with("             at ");
    let begins = |line: &&str| frame(line) && line.trim_start().starts_with("0: ");
    let Some(first) = lines.iter().position(begins) else { return lines.join("\n") };
    let mut kept = lines[..first].to_vec();
    kept.extend(lines[first..].iter().skip_while(|l| frame(l) || place(l) || l.is_empty()));
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context as _, anyhow};

    #[test]
    fn causes_are_said_once_and_hints_come_last() {
        let inner = anyhow!("b.png: not an image\nhint: look at it");
        let middle = inner.context("b.png: not an image");
        let error = middle.context("data set x\nhint: check the root");
        assert_eq!(
            message(&error),
            "data set x: b.png: not an image\nhint: check the root\nhint: look at it"
        );
    }

    #[test]
    fn a_stack_is_not_part_of_the_message() {
        let stack = "   0: candle_core::error::Error::bt\n             at /root/error.rs:264:25\n   1: <unknown>\n  10: main\n";
        for (text, expected) in [
            (format!("shape mismatch in matmul\n{stack}"), "op: shape mismatch in matmul"),
            (format!("shape mismatch\n{stack}hint: look"), "op: shape mismatch\nhint: look"),
            ("a.yaml:\n  2: no key".to_owned(), "op: a.yaml:\n  2: no key"),
        ] {
            assert_eq!(message(&anyhow!(text).context("op")), expected);
        }
        let real = format!("no such dimension\n{}", std::backtrace::Backtrace::force_capture());
        assert!(real.lines().count() > 5);
        assert_eq!(message(&anyhow!(real)), "no such dimension");
    }

    #[test]
    fn the_code_says_whose_fault_it_is() {
        let config = anyhow!("typo");
        let work: anyhow::Error = Err::<(), _>(anyhow!("disk")).context(Permanent("writing")).unwrap_err();
        let piped = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        for (error, expected) in [(config, 2), (work, 42), (piped, 0)] {
            assert_eq!(format!("{:?}", code(&error)), format!("{:?}", ExitCode::from(expected)));
        }
    }
}
