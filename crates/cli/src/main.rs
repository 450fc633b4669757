//! `lifeboat`: arguments, progress, tables, exit codes. What is done stands in `lifeboat-recovery`.
//!
//! - [`args`]: the command line. [`environment`]: the variables. [`exit`]: the exit codes.
//! - [`session`]: flags, settings, vault and engine put together. [`by_agent`]: the agent that could do it. [`password`]: the vault's.
//! - [`command`]: one file a command: calls the use case, shows what came of it.
//! - [`output`], [`table`], [`human`]: data on standard output.
//! - [`progress`], [`logging`]: everything else, on standard error.
//! - [`signals`]: stopping cleanly.

mod args;
mod by_agent;
mod command;
mod environment;
mod exit;
mod human;
mod logging;
mod output;
mod password;
mod progress;
mod session;
mod signals;
mod table;
mod trail;
mod which_engine;

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;

use crate::{args::Cli, exit::Exit, progress::Reporter};

/// Name of the hidden command that is the watchdog.
const WATCHDOG: &str = "__watchdog";

fn main() -> ExitCode {
    // First of all and alone: it must thaw whatever state the rest of the program is in.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == WATCHDOG)
    {
        return ExitCode::from(lifeboat_recovery::watchdog::run());
    }
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("internal error, please report it: {panic}"));
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let reporter = Arc::new(Reporter::new(cli.global.verbose, cli.global.quiet));
    // What the agent does is its log.
    let more = u8::from(matches!(cli.command, args::Command::Agent(_)));
    let verbose = cli.global.verbose.saturating_add(more);
    logging::init(verbose, cli.global.quiet, Arc::clone(&reporter));
    let ended = catch_unwind(AssertUnwindSafe(|| command::run(cli, &reporter)));
    reporter.finish();
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            say(&failure.to_string());
            failure.exit
        }
        // The hook has said why.
        Err(_) => Exit::Failed,
    };
    reporter.ended(exit.code());
    exit.into()
}

/// One sentence on standard error.
fn say(sentence: &str) {
    // Nobody is left to be told if standard error cannot be written.
    let _ = writeln!(
        std::io::stderr().lock(),
        "lifeboat: {}",
        exit::one_line(sentence)
    );
}
