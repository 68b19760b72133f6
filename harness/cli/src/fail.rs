//! How the program ends: exit codes, and errors as one short message.
//!
//! 0 done; 1 a self-test or check found something wrong; 2 usage or configuration; 42 permanent failure (do not retry); 75 interrupted, run again.
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
        let body = body.join("\n");
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
    fn the_code_says_whose_fault_it_is() {
        let config = anyhow!("typo");
        let work: anyhow::Error = Err::<(), _>(anyhow!("disk")).context(Permanent("writing")).unwrap_err();
        let piped = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        for (error, expected) in [(config, 2), (work, 42), (piped, 0)] {
            assert_eq!(format!("{:?}", code(&error)), format!("{:?}", ExitCode::from(expected)));
        }
    }
}
