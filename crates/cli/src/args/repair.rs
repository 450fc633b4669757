use std::time::Duration;

use clap::{Args, Subcommand};

use crate::human;

/// Mends a damaged vault
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat check                 what is damaged
  lifeboat repair index          makes the index again from the packs")]
pub struct RepairArgs {
    #[command(subcommand)]
    pub what: Repair,
}

/// What is mended.
#[derive(Debug, Subcommand)]
pub enum Repair {
    Index(RepairIndexArgs),
}

/// Makes the index again, where it is damaged or missing
///
/// Each pack says itself what is in it. Packs that no readable index file names are added to a new
/// one, then the damaged ones are deleted. Packs are never touched. Needs the vault for itself; a
/// repair that was interrupted is run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 3: packs are damaged as well and could not be added; they are named.

Examples:
  lifeboat repair index                      the vault that `init` remembered
  lifeboat repair index --retry-lock 30m     waits for backups and restores that hold it
  lifeboat --vault /mnt/vault repair index   another vault")]
pub struct RepairIndexArgs {
    /// Wait so long for a vault that somebody else holds
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = human::parse_duration)]
    pub retry_lock: Duration,
}
