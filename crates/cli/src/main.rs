//! `lifeboat`: arguments, progress, tables, exit codes. What is done stands in `lifeboat-recovery`.
//!
//! - [`args`]: the command line. [`environment`]: the variables. [`exit`]: the exit codes.
//! - [`command`]: one file a command: calls the use case, shows what came of it.
//! - [`output`], [`table`], [`human`]: data on standard output.
//! - [`progress`], [`logging`]: everything else, on standard error.
//! - [`signals`]: stopping cleanly.
#![allow(dead_code)]

mod args;
mod command;
mod environment;
mod exit;
mod human;
mod logging;
mod output;
mod progress;
mod signals;
mod table;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
