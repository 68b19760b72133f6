//! `facebench completions SHELL`: generated from the definition of the arguments.

use anyhow::Result;
use clap::CommandFactory as _;

use crate::args::Cli;
use crate::fail::Status;
use crate::out;

/// Prints the script.
pub(crate) fn run(shell: clap_complete::Shell) -> Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "facebench", &mut script);
    out::text(&String::from_utf8_lossy(&script))?;
    Ok(Status::Done)
}
