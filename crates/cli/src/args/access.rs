use clap::{Args, Subcommand};
use lifeboat_api::guard::Role;

/// Makes, lists and takes back tokens, with which other programs ask the agent over the network
///
/// Beside the settings lies a file of their hashes, never of the tokens. A change holds with the next request.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat token add grafana --role viewer
  lifeboat token add deploy --role operator --expires 90d > deploy.token
  lifeboat token list
  lifeboat token remove deploy")]
pub struct TokenArgs {
    #[command(subcommand)]
    pub what: Token,
}

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Makes a token and prints it, this once
    Add {
        /// Its name: small letters, digits and `-`
        name: String,
        /// viewer, operator or admin
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// Good for so long [default: until it is taken back]
        #[arg(long, value_name = "DURATION", value_parser = crate::human::parse_duration)]
        expires: Option<std::time::Duration>,
    },
    /// Lists names, roles and ends
    List,
    /// Takes a token back
    Remove {
        /// Its name
        name: String,
    },
}

/// Shows who changed what, and whether that log is whole
///
/// Each change over the API and each command that changes something is a line that holds the hash of the line before. A line that is
/// changed, taken out or put in is found, and so is an end that is cut off. Whoever is root can still write all of it
/// anew: keep the hash that `verify` prints somewhere else, and give it to `--kept` later.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat audit                    the newest
  lifeboat audit -n 500
  lifeboat audit verify
  lifeboat audit verify --kept 5f1c...")]
pub struct AuditArgs {
    #[command(subcommand)]
    pub what: Option<Audit>,

    /// So many, the newest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub most: usize,
}

/// What is done with it.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Says whether it is whole, and the hash of its last line; the exit code is 1 if it is not
    Verify {
        /// A hash that an earlier `verify` printed, which must be in it
        #[arg(long, value_name = "HASH")]
        kept: Option<String>,
    },
}
