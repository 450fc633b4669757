//! Where the vault's password comes from: a file, a command, the environment, a prompt. Never an
//! argument.
//!
//! White space around the content of a file or the output of a command is cut off, as restic does
//! it, so that one file serves both programs.

use std::{
    ffi::OsStr,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use zeroize::Zeroizing;

use crate::{
    args::GlobalArgs,
    environment,
    exit::{Failure, Result},
};

/// A password; forgotten when it is dropped.
pub type Password = Zeroizing<Vec<u8>>;

/// Where a person said that the password is.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Output of a shell command.
    Command(std::ffi::OsString),
    /// The environment.
    Environment,
}

/// The source that was named by a flag, else by the environment. A flag outweighs the environment.
pub fn named_source(global: &GlobalArgs) -> Option<Source> {
    if let Some(path) = &global.password_file {
        return Some(Source::File(path.clone()));
    }
    if let Some(command) = &global.password_command {
        return Some(Source::Command(command.clone()));
    }
    if let Some(path) = environment::password_file() {
        return Some(Source::File(path));
    }
    environment::password().map(|_| Source::Environment)
}

/// The source that flags of another name said, e.g. `--new-password-file`.
pub fn other_source(
    file: Option<&PathBuf>,
    command: Option<&std::ffi::OsString>,
) -> Option<Source> {
    file.cloned()
        .map(Source::File)
        .or_else(|| command.cloned().map(Source::Command))
}

/// Reads the password from where it is.
pub fn read(source: &Source) -> Result<Password> {
    read_as(source, "")
}

/// The same, where the flags begin with `--new-` or `--to-`: for sentences.
pub fn read_as(source: &Source, prefix: &str) -> Result<Password> {
    match source {
        Source::File(path) => from_file(path, prefix),
        Source::Command(command) => from_command(command, prefix),
        Source::Environment => environment::password()
            .ok_or_else(|| empty(&format!("the variable {}", environment::PASSWORD))),
    }
}

/// Asks on the terminal, without echo; `None` if there is no terminal.
pub fn ask(question: &str) -> Result<Option<Password>> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(None);
    }
    let password = rpassword::prompt_password(question).map_err(|e| {
        Failure::new(format!(
            "the password cannot be read from the terminal: {e}"
        ))
    })?;
    if password.is_empty() {
        return Err(empty("the answer"));
    }
    Ok(Some(Zeroizing::new(password.into_bytes())))
}

/// Asks on the terminal for a password that does not exist yet: twice, as nobody sees what is typed.
pub fn ask_new(question: &str) -> Result<Option<Password>> {
    let Some(first) = ask(question)? else {
        return Ok(None);
    };
    match ask("The same again: ")? {
        Some(second) if second == first => Ok(Some(first)),
        _ => Err(Failure::new(
            "the two answers differ; nothing was changed".to_owned(),
        )),
    }
}

fn from_file(path: &Path, prefix: &str) -> Result<Password> {
    let bytes = fs_err::read(path).map_err(|e| {
        Failure::new(format!(
            "the {} cannot be read: {e}; name its file with --{prefix}password-file",
            match prefix {
                "" => "vault's password",
                "to-" => "other vault's password",
                _ => "new password",
            }
        ))
    })?;
    trimmed(
        Zeroizing::new(bytes),
        &format!("the password file {}", path.display()),
    )
}

#[allow(clippy::disallowed_methods, reason = "the person named this program")]
fn from_command(command: &OsStr, prefix: &str) -> Result<Password> {
    let failed = |why: String| {
        Failure::new(format!(
            "the command of --{prefix}password-command failed: {why}"
        ))
    };
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env_remove(environment::PASSWORD)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let bytes = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    trimmed(bytes, &format!("the output of --{prefix}password-command"))
}

fn trimmed(bytes: Password, what: &str) -> Result<Password> {
    let trimmed = bytes.trim_ascii();
    if trimmed.is_empty() {
        return Err(empty(what));
    }
    Ok(Zeroizing::new(trimmed.to_vec()))
}

fn empty(what: &str) -> Failure {
    Failure::new(format!(
        "{what} holds no password; an empty one is not accepted"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_trimmed_as_restic_does_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs_err::write(&path, "\n secret word\r\n").unwrap();
        assert_eq!(from_file(&path, "").unwrap().as_slice(), b"secret word");
        fs_err::write(&path, " \n").unwrap();
        let error = from_file(&path, "").unwrap_err().to_string();
        assert!(error.contains("holds no password"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = from_file(Path::new("/no/such/key"), "")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/no/such/key") && error.contains("--password-file"),
            "{error}"
        );
    }

    #[test]
    fn a_command_gives_its_output_and_its_failure() {
        assert_eq!(
            from_command(OsStr::new("echo se'cr'et"), "")
                .unwrap()
                .as_slice(),
            b"secret"
        );
        let error = from_command(OsStr::new("echo secret; exit 3"), "")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && !error.contains("secret"),
            "{error}"
        );
        assert!(from_command(OsStr::new("true"), "").is_err());
    }

    #[test]
    fn a_flag_outweighs_the_rest() {
        let global = GlobalArgs {
            password_file: Some("f".into()),
            ..GlobalArgs::default()
        };
        assert_eq!(named_source(&global), Some(Source::File("f".into())));
        let global = GlobalArgs {
            password_command: Some("c".into()),
            ..GlobalArgs::default()
        };
        assert_eq!(named_source(&global), Some(Source::Command("c".into())));
    }
}
