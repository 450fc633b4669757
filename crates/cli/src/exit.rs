//! Exit codes, and the one form in which the program fails.

use std::fmt;

/// How the program ended. The numbers are part of the interface; restic's where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed; standard error says why.
    Failed,
    /// Wrong arguments.
    Usage,
    /// Done, but something could not be read or is not in the result.
    Incomplete,
    /// Done, but less consistent than was asked for.
    LessConsistent,
    /// There is no vault at that place.
    NoVault,
    /// Somebody else holds the vault.
    Locked,
    /// The password or key is wrong.
    WrongKey,
    /// Something that should run and be well is not (`status`).
    NotWell,
    /// Ended by a signal; everything was put back.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::LessConsistent => 4,
            Self::NoVault => 10,
            Self::Locked => 11,
            Self::WrongKey => 12,
            Self::NotWell => 20,
            Self::Interrupted => 130,
        }
    }

    /// What the number means; one that is none of ours is a failure.
    pub fn of(code: u8) -> Self {
        let all = [
            Self::Done,
            Self::Usage,
            Self::Incomplete,
            Self::LessConsistent,
            Self::NoVault,
            Self::Locked,
            Self::WrongKey,
            Self::NotWell,
            Self::Interrupted,
        ];
        let found = all.into_iter().find(|exit| exit.code() == code);
        found.unwrap_or(Self::Failed)
    }

    /// The worse of two, for a run over many apps: one that failed outweighs one that is incomplete,
    /// and what keeps every app from being protected outweighs what hit one of them.
    pub fn worse(self, other: Self) -> Self {
        if other.gravity() > self.gravity() {
            other
        } else {
            self
        }
    }

    fn gravity(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::LessConsistent => 2,
            Self::Failed => 3,
            Self::Usage => 4,
            Self::Locked => 5,
            Self::WrongKey => 6,
            Self::NoVault => 7,
            Self::NotWell => 8,
            Self::Interrupted => 9,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Result of a command.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed: one sentence for a person, one code for a script.
#[derive(Debug)]
pub struct Failure {
    /// How the program will end.
    pub exit: Exit,
    /// What, why and what next.
    pub sentence: String,
}

impl Failure {
    /// An ordinary failure.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            sentence: sentence.into(),
        }
    }

    /// Arguments that do not go together.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            sentence: sentence.into(),
        }
    }

    /// Ended by a signal.
    pub fn interrupted() -> Self {
        Self {
            exit: Exit::Interrupted,
            sentence: "interrupted".to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    /// One line, whatever an engine or a file system put into the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.sentence))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// A message on one line and without control characters.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for part in message
        .split(char::is_control)
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Exit; 10] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Incomplete,
        Exit::LessConsistent,
        Exit::NoVault,
        Exit::Locked,
        Exit::WrongKey,
        Exit::NotWell,
        Exit::Interrupted,
    ];

    #[test]
    fn codes_are_those_of_the_design() {
        assert_eq!(ALL.map(Exit::code), [0, 1, 2, 3, 4, 10, 11, 12, 20, 130]);
        assert_eq!(ALL.map(|exit| Exit::of(exit.code())), ALL);
    }

    #[test]
    fn the_worse_of_two_does_not_depend_on_their_order() {
        for a in ALL {
            for b in ALL {
                assert_eq!(a.worse(b), b.worse(a));
            }
            assert_eq!(Exit::Done.worse(a), a);
        }
        assert_eq!(Exit::Incomplete.worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Locked.worse(Exit::Failed), Exit::Locked);
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new("the engine said:\n\tno such\u{1b}[31m thing\r\n");
        assert_eq!(failure.to_string(), "the engine said: no such [31m thing");
    }
}
