//! `facebench`: the command line over the benchmark's libraries. This file is the table of contents.
//!
//! parse (`args`) → plan (`config`, `plan`) → execute (`run`, `store`) → exit code (`fail`). Each command is a
//! function in `commands`. Stdout is data, stderr is talk. Nothing that computes lives in this crate.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod commands;
mod config;
mod fail;
mod out;
mod plan;
mod run;
mod store;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use args::{Cli, Command};
use fail::Status;

#[global_allocator]
static ALLOCATOR: facebench_engine::huge_pages::HugePages = facebench_engine::huge_pages::HugePages;

fn main() -> ExitCode {
    facebench_engine::runtime::tune_malloc();
    // SAFETY: the first lines of `main`: there is no other thread yet.
    unsafe { facebench_engine::runtime::single_tensor_thread() };
    match dispatch(Cli::parse().command) {
        Ok(status) => status.into(),
        Err(error) => {
            if !fail::is_closed_pipe(&error) {
                eprintln!("error: {}", fail::message(&error));
            }
            fail::code(&error)
        }
    }
}

/// One command each.
fn dispatch(command: Command) -> Result<Status> {
    match command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Plan(args) => commands::plan::run(&args),
        Command::Run(args) => commands::run::run(&args),
        Command::Score(args) => commands::score::run(&args),
        Command::Features(args) => commands::features::run(&args),
        Command::Mask(args) => commands::mask::run(&args),
        Command::Metrics(args) => commands::metrics::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Robustness(args) => commands::robustness::run(&args),
        Command::Leaderboard(command) => commands::leaderboard::run(command),
        Command::Data(command) => commands::data::run(command),
        Command::Plugin(command) => commands::plugin::run(command),
        Command::Checkpoint(command) => commands::checkpoint::run(command),
        Command::Selftest(args) => commands::selftest::run(&args),
        Command::Schema(args) => commands::schema::run(&args),
        Command::Completions { shell } => commands::completions::run(shell),
    }
}
