use clap::{Args, Subcommand};

/// Shows the jobs of the agent: what runs, what ran, how it ended
///
/// Each capture, copy and check has a record with its result, its figures and the end of its log.
/// The records can be lost: what the vault holds is found there again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat jobs                 the newest
  lifeboat jobs -n 100
  lifeboat jobs show 17         all of one, with its log
  lifeboat jobs cancel 17       ends it cleanly: what was frozen runs again")]
pub struct JobsArgs {
    #[command(subcommand)]
    pub what: Option<Jobs>,

    /// So many, the newest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub most: usize,
}

/// What is done with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// Shows one job with its log
    Show {
        /// Its number
        id: u64,
    },
    /// Ends a job that runs
    Cancel {
        /// Its number
        id: u64,
    },
}

/// Shows the policies of apps: RPO, RTO, what is kept, and who says so
///
/// Labels of containers (`lifeboat.rpo=15m`) win over `lifeboat.toml`, that over the default: once a
/// day at an hour of the app's own, 7 days, 4 weeks and 12 months kept. What cannot be read, what
/// contradicts and what labels of other tools mean is said.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat policy               all apps
  lifeboat policy shop          one, each value with its origin")]
pub struct PolicyArgs {
    /// Names of apps [default: all]
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,
}

/// Tries the places that are told when something is wrong
///
/// They stand in `lifeboat.toml`, `[notify] urls = […]`: ntfy://, discord://, slack://, telegram://,
/// gotify://, smtp://, generic+https://, apprise:// (an Apprise server) and exec:// (a program of
/// root's). Secrets in them are never shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat notify test          sends a message to each, and says what came of it")]
pub struct NotifyArgs {
    #[command(subcommand)]
    pub what: Notify,
}

/// What is done with them.
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// Sends a message to each place
    Test,
}
