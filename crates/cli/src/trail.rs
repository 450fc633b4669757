//! Commands that change something leave a line in the audit log, as changes over the API do.

use lifeboat_api::audit::{Audit, Change};

use crate::{
    args::{Command, Gone, Key, Registry, Token},
    environment,
    exit::{Exit, Result},
    session::Session,
};

/// Whether a command changes anything that others rely on.
fn changes(command: &Command) -> bool {
    match command {
        Command::Init(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Rm(_)
        | Command::Copy(_)
        | Command::Forget(_)
        | Command::Prune(_)
        | Command::Pin(_)
        | Command::Unpin(_)
        | Command::Repair(_) => true,
        Command::Key(args) => !matches!(args.what, Key::List),
        Command::Token(args) => !matches!(args.what, Token::List),
        Command::Registry(args) => {
            matches!(args.what, Registry::Backup(_) | Registry::Restore(_))
        }
        Command::Gone(args) => matches!(args.what, Gone::Bring { .. }),
        _ => false,
    }
}

/// Writes down what a command did. It is done by then, and what a person needs to recover is never refused for want of a log:
/// where it cannot be written, that is said.
pub fn leave(session: &Session, command: &Command, ended: &Result<Exit>) {
    if !changes(command) {
        return;
    }
    let outcome = match ended {
        Ok(exit) => exit.code(),
        Err(failure) => failure.exit.code(),
    };
    // Nothing was begun, or nothing of ours is on this machine: a command that fails leaves none of it behind.
    if outcome == Exit::Usage.code() || !session.places.state.exists() {
        return;
    }
    let uid = rustix::process::getuid().as_raw();
    let job = environment::progress().is_some() || matches!(command, Command::Gone(_));
    let change = Change {
        who: if job {
            "agent".to_owned()
        } else {
            format!("user {uid}")
        },
        role: "admin".to_owned(),
        via: "command".to_owned(),
        action: said(std::env::args_os().skip(1)),
        what: String::new(),
        outcome: format!("exit code {outcome}"),
    };
    let at = jiff::Timestamp::now().as_millisecond();
    if let Err(why) = Audit::of(&session.places.state).add(at, change) {
        session
            .reporter
            .warn_once(&format!("this change is missing in the audit log: {why}"));
    }
}

/// The command line, without what may hold a secret: passwords in places, the command that prints one.
fn said(args: impl Iterator<Item = std::ffi::OsString>) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut hide = false;
    for arg in args {
        let arg = arg.to_string_lossy();
        let command = arg.ends_with("password-command");
        words.push(match (hide, arg.split_once("password-command=")) {
            (true, _) => "…".to_owned(),
            (false, Some((flag, _))) => format!("{flag}password-command=…"),
            (false, None) => without_password(&arg),
        });
        hide = command && arg.starts_with("--");
    }
    words.join(" ").chars().take(500).collect()
}

fn without_password(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://…{}", &rest[user.len()..]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_gets_into_the_log() {
        let words = [
            "copy",
            "--to",
            "rest:https://ann:s3cret@h/x@y",
            "--password-command",
            "echo s3cret",
            "--to-password-command=echo s3cret",
            "shop",
        ];
        let line = said(words.iter().map(std::ffi::OsString::from));
        assert_eq!(
            line,
            "copy --to rest:https://…@h/x@y --password-command … --to-password-command=… shop"
        );
    }
}
