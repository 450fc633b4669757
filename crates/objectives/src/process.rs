//! Processes that run jobs.
//!
//! A job runs in a process of its own, this program again: what it does is what a person's command does, its memory
//! goes with it, and no crash of it takes the agent along (nor the other way round: a job whose agent is killed goes on,
//! and the next agent finds it). Standard output and error go to files, so that the result outlives both.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{progress, run::Files};
use lifeboat_plan::schedule::job::Owner;
use rustix::process::{Pid, Signal, kill_process};

/// This process.
#[must_use]
pub fn own() -> Owner {
    owner(std::process::id()).unwrap_or(Owner {
        pid: std::process::id(),
        started: 0,
    })
}

/// The process with this id, if there is one that has not ended.
#[must_use]
pub fn owner(pid: u32) -> Option<Owner> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let state = fields.first()?;
    let started = fields.get(19)?.parse().ok()?;
    (!matches!(*state, "Z" | "X")).then_some(Owner { pid, started })
}

/// Whether this very process still runs.
#[must_use]
pub fn lives(of: Owner) -> bool {
    owner(of.pid) == Some(of)
}

/// Asks a process to stop, if it is still the one that is meant.
#[must_use]
pub fn ask_to_stop(of: Owner) -> bool {
    let pid = i32::try_from(of.pid).ok().and_then(Pid::from_raw);
    match pid {
        Some(pid) if lives(of) => kill_process(pid, Signal::TERM).is_ok(),
        _ => false,
    }
}

/// Starts this program with these arguments; what it prints goes to the end of these files.
pub(crate) fn start(
    program: &[OsString],
    args: &[OsString],
    files: &Files,
) -> std::io::Result<Child> {
    start_with(program, args, None, files)
}

/// The same; a few bytes (less than a pipe holds) come over its standard input, which no file and no list of arguments shows.
pub(crate) fn start_with(
    program: &[OsString],
    args: &[OsString],
    given: Option<&[u8]>,
    files: &Files,
) -> std::io::Result<Child> {
    let mut command = command(program, args, files)?;
    let stdin = given.map_or_else(Stdio::null, |_| Stdio::piped());
    let mut child = command.stdin(stdin).stdout(append(&files.out)?).spawn()?;
    if let (Some(given), Some(mut stdin)) = (given, child.stdin.take()) {
        // Whoever did not want it has said why.
        let _ = stdin.write_all(given);
    }
    Ok(child)
}

/// The same; what it prints is read as it comes.
pub(crate) fn start_piped(
    program: &[OsString],
    args: &[OsString],
    files: &Files,
) -> std::io::Result<Child> {
    let mut command = command(program, args, files)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

#[allow(clippy::disallowed_methods, reason = "jobs are processes of their own")]
fn command(program: &[OsString], args: &[OsString], files: &Files) -> std::io::Result<Command> {
    let (name, before) = program
        .split_first()
        .ok_or_else(|| std::io::Error::other("no program is named"))?;
    let mut command = Command::new(name);
    command
        .args(before)
        .args(args)
        .env(progress::VARIABLE, &files.progress)
        .env(progress::ANSWER, &files.answer)
        .stderr(append(&files.err)?);
    Ok(command)
}

fn append(path: &Path) -> std::io::Result<Stdio> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    Ok(Stdio::from(file.into_parts().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart_from_later_ones_of_the_same_id() {
        let own = own();
        assert!(lives(own));
        assert!(!lives(Owner {
            started: own.started + 1,
            ..own
        }));
        assert!(!lives(Owner {
            pid: u32::MAX,
            started: 1
        }));
        assert!(!ask_to_stop(Owner {
            started: own.started + 1,
            ..own
        }));
    }
}
