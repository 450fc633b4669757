//! What each command does: calls the use case, shows what came of it. One file a command.

mod access;
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
mod gone;
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
mod report;
mod restore;
mod rm;
mod screen;
mod shown;
mod stats;
mod through;
mod tools;

use std::sync::Arc;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Result},
    output::Output,
    progress::Reporter,
    session::Session,
    trail,
};

/// Runs the command.
pub fn run(cli: Cli, reporter: &Arc<Reporter>) -> Result<Exit> {
    let out = Output::new(cli.global.output);
    match &cli.command {
        Command::Completion(args) => tools::completion(&out, args),
        Command::Man(args) => tools::man(args),
        command => {
            let session = Session::new(cli.global.clone(), out, Arc::clone(reporter))?;
            let ended = shown::instead(&session, command)
                .or_else(|| through::instead(&session, command))
                .unwrap_or_else(|| with(&session, command));
            trail::leave(&session, command, &ended);
            ended
        }
    }
}

fn with(session: &Session, command: &Command) -> Result<Exit> {
    match command {
        Command::Apps(args) => apps::run(session, args),
        Command::Init(args) => init::run(session, args),
        Command::Backup(args) => backup::run(session, args),
        Command::Points(args) => points::run(session, args),
        Command::Restore(args) => restore::run(session, args),
        Command::Ports(args) => ports::run(session, args),
        Command::Rm(args) => rm::run(session, args),
        Command::Ls(args) => ls::run(session, args),
        Command::Find(args) => find::run(session, args),
        Command::Mount(args) => mount::run(session, args),
        Command::Dump(args) => dump::run(session, args),
        Command::Diff(args) => diff::run(session, args),
        Command::Stats(args) => stats::run(session, args),
        Command::Copy(args) => copy::run(session, args),
        Command::Forget(args) => forget::run(session, args),
        Command::Prune(args) => prune::run(session, args),
        Command::Pin(args) => pin::pin(session, args),
        Command::Unpin(args) => pin::unpin(session, args),
        Command::Key(args) => key::run(session, args),
        Command::Check(args) => check::run(session, args),
        Command::Registry(args) => registry::run(session, args),
        Command::Repair(args) => repair::run(session, args),
        Command::Cache(args) => cache::run(session, args),
        Command::Jobs(args) => objectives::jobs(session, args),
        Command::Policy(args) => objectives::policy(session, args),
        Command::Notify(args) => objectives::notify(session, args),
        Command::Agent(args) => agent::agent(session, args),
        Command::Status(args) => screen::status(session, args),
        Command::Events(args) => agent::events(session, args),
        Command::Maintenance(args) => agent::maintenance(session, args),
        Command::Report(args) => report::run(session, args),
        Command::Token(args) => access::token(session, args),
        Command::Audit(args) => access::audit(session, args),
        Command::Completion(args) => tools::completion(&session.out, args),
        Command::Man(args) => tools::man(args),
        Command::Gone(args) => gone::run(session, args),
    }
}
