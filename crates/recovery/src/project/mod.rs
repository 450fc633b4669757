//! A Compose project's files: those that its labels name, and every file that these pull in.
//!
//! No label tells of `include`, `extends`, env files, secrets or build contexts: only the YAML does.
//! Reading it is bounded (size, depth, number of files) and never makes a backup fail: what cannot be
//! read is a sentence. Values are looked up in env files alone, since what was exported in a shell is
//! known to nobody. The reader finds, [`mod@choose`] decides: what lies in the project folder comes with
//! it, what lies elsewhere becomes a root of its own, and what is missing is named.

mod choose;
mod dotenv;
mod drift;
mod interpolate;
mod reader;
mod roots;
mod service;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeSet;

pub use choose::choose;
pub use drift::drift;

/// What a file is to the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A compose file of `include`.
    Include,
    /// A compose file of `extends`.
    Extends,
    /// An env file of a service or of an include.
    EnvFile,
    /// A label file.
    LabelFile,
    /// A secret's file.
    Secret,
    /// A config's file.
    Config,
    /// A folder that an image is built from.
    BuildContext,
    /// What says how to build it.
    Dockerfile,
}

impl Role {
    /// As a sentence has it.
    fn name(self) -> &'static str {
        match self {
            Self::Include => "an included file",
            Self::Extends => "a file that a service extends",
            Self::EnvFile => "an env file",
            Self::LabelFile => "a label file",
            Self::Secret => "a secret",
            Self::Config => "a config",
            Self::BuildContext => "a build context",
            Self::Dockerfile => "a Dockerfile",
        }
    }
}

/// What happens without a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: `required: false`.
    Optional,
    /// `up` works as before; building anew, or a profile that is not in use, does not.
    Later,
    /// Compose refuses to bring the project up.
    Required,
}

/// One file that a compose file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Absolute path.
    pub path: String,
    /// What it is.
    pub role: Role,
    /// What happens without it.
    pub need: Need,
    /// The compose file that names it.
    pub by: String,
}

/// One file that is named in a way that leads nowhere on this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unresolved {
    /// As the compose file has it.
    pub text: String,
    /// Why it leads nowhere, one clause.
    pub why: String,
    /// What happens without it.
    pub need: Need,
}

/// All that the compose files name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectFiles {
    /// Files and folders, there or not.
    pub references: BTreeSet<Reference>,
    /// What leads nowhere.
    pub unresolved: BTreeSet<Unresolved>,
    /// Compose files that could not be read, one sentence each.
    pub problems: Vec<String>,
    /// Services with hooks that Compose runs.
    pub hooks: BTreeSet<String>,
}
