//! Running other programs: output captured, failures told with the command line and the tail of
//! what was printed.

use std::process::{Command, Output, Stdio};

use crate::{Error, Result};

/// How much of a failed program's output goes into the error.
const TAIL: usize = 4000;

/// Runs `command` to its end and gives back its output, whatever its exit code was.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.output().map_err(|source| Error::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// Runs `command`, which has to succeed, and gives back what it printed on stdout.
pub fn run(command: &mut Command) -> Result<String> {
    let out = output(command)?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&out.stderr));
    Err(Error::Command {
        command: line(command),
        status: out.status.to_string(),
        output: tail(&text, TAIL).to_owned(),
    })
}

/// Whether a program of this name can be found on PATH.
pub fn is_on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

/// Where a program of this name lies, as the shell would find it.
pub fn find_on_path(program: &str) -> Option<std::path::PathBuf> {
    // Administrator's programs are not on an ordinary user's PATH in Debian.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The command line as a person would type it, for messages. Cut when long.
pub fn line(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    if text.len() > 300 {
        let end = (0..=300).rev().find(|&i| text.is_char_boundary(i));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// The last `max` bytes of a text, cut at a character.
pub fn tail(text: &str, max: usize) -> &str {
    let text = text.trim_end();
    let from = text.len().saturating_sub(max);
    let from = (from..=text.len()).find(|&i| text.is_char_boundary(i));
    &text[from.unwrap_or(text.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_quotes_its_output() {
        let error = run(Command::new("sh").args(["-c", "echo why >&2; exit 7"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("why") && text.contains('7'));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-at-all")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-at-all"));
    }

    #[test]
    fn tail_respects_characters() {
        assert_eq!(tail("aüb", 2), "b");
        assert_eq!(tail("aüb\n", 3), "üb");
    }
}
