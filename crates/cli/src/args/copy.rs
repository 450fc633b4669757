use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueHint};

use super::FilterArgs;

/// Copies recovery points to another vault
///
/// The other vault has to be there (`lifeboat init --vault …`, with a key of its own or the same).
/// Only what it does not hold is sent, each block checked against its hash on the way. Points that
/// were copied before are known, `restic copy`'s too. An interrupted copy is run again and goes on.
///
/// Where the other vault's server wants other credentials than this one's, they stand in the same variables
/// with `LIFEBOAT_TO_` before their names, as LIFEBOAT_TO_AWS_ACCESS_KEY_ID.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 3: points are damaged here and were not copied; they are named.

Examples:
  lifeboat copy --to /mnt/usb/vault                       everything that is not there yet
  lifeboat copy --to /mnt/usb/vault shop                  the newest complete point of `shop`
  lifeboat copy --to /mnt/usb/vault --app shop --dry-run
  lifeboat copy --to /mnt/usb/vault --to-password-file /root/usb-key")]
pub struct CopyArgs {
    /// Place of the other vault
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub to: String,

    /// File that holds the other vault's password [default: the same password]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to_password_file: Option<PathBuf>,

    /// Shell command that prints the other vault's password
    #[arg(
        long, value_name = "COMMAND", conflicts_with = "to_password_file",
        value_hint = ValueHint::CommandString
    )]
    pub to_password_command: Option<OsString>,

    /// Recovery points: `[[SITE/]HOST/]APP[@POINT]`, ids, `latest` [default: all]
    #[arg(value_name = "REF")]
    pub points: Vec<String>,

    #[command(flatten)]
    pub filter: FilterArgs,

    /// Send nothing that is older than the newest there of the same app: it was forgotten there. Pinned points go in any case
    #[arg(long)]
    pub only_newer: bool,

    /// Say what would be sent, and send nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}
