//! What each command does: calls the use case, shows what came of it. One file a command.

mod agent;
mod apps;
mod asides;
mod backup;
mod beside;
mod cache;
mod check;
mod copy;
mod diff;
mod dump;
mod find;
mod forget;
mod init;
mod interrupted;
mod key;
mod ls;
mod mapped;
mod mend;
mod mount;
mod objectives;
mod over;
mod part;
mod pieces;
mod pin;
mod planned;
mod points;
mod ports;
mod prune;
mod registry;
mod repair;
mod restore;
mod rm;
mod stats;
mod tools;

use std::sync::Arc;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Result},
    output::Output,
    progress::Reporter,
    session::Session,
};

/// Runs the command.
pub fn run(cli: Cli, reporter: &Arc<Reporter>) -> Result<Exit> {
    let out = Output::new(cli.global.output);
    let session = |out| Session::new(cli.global.clone(), out, Arc::clone(reporter));
    match &cli.command {
        Command::Apps(args) => apps::run(&session(out)?, args),
        Command::Init(args) => init::run(&session(out)?, args),
        Command::Backup(args) => backup::run(&session(out)?, args),
        Command::Points(args) => points::run(&session(out)?, args),
        Command::Restore(args) => restore::run(&session(out)?, args),
        Command::Ports(args) => ports::run(&session(out)?, args),
        Command::Rm(args) => rm::run(&session(out)?, args),
        Command::Ls(args) => ls::run(&session(out)?, args),
        Command::Find(args) => find::run(&session(out)?, args),
        Command::Mount(args) => mount::run(&session(out)?, args),
        Command::Dump(args) => dump::run(&session(out)?, args),
        Command::Diff(args) => diff::run(&session(out)?, args),
        Command::Stats(args) => stats::run(&session(out)?, args),
        Command::Copy(args) => copy::run(&session(out)?, args),
        Command::Forget(args) => forget::run(&session(out)?, args),
        Command::Prune(args) => prune::run(&session(out)?, args),
        Command::Pin(args) => pin::pin(&session(out)?, args),
        Command::Unpin(args) => pin::unpin(&session(out)?, args),
        Command::Key(args) => key::run(&session(out)?, args),
        Command::Check(args) => check::run(&session(out)?, args),
        Command::Registry(args) => registry::run(&session(out)?, args),
        Command::Repair(args) => repair::run(&session(out)?, args),
        Command::Cache(args) => cache::run(&session(out)?, args),
        Command::Jobs(args) => objectives::jobs(&session(out)?, args),
        Command::Policy(args) => objectives::policy(&session(out)?, args),
        Command::Notify(args) => objectives::notify(&session(out)?, args),
        Command::Agent(args) => agent::agent(&session(out)?, args),
        Command::Status(args) => agent::status(&session(out)?, args),
        Command::Events(args) => agent::events(&session(out)?, args),
        Command::Maintenance(args) => agent::maintenance(&session(out)?, args),
        Command::Completion(args) => tools::completion(&out, args),
        Command::Man(args) => tools::man(args),
    }
}
