use std::ffi::OsString;

use clap::Args;

use super::FilterArgs;

/// Shows recovery points as a directory, read-only
///
/// The directory must be empty. Below it, each point stands as `ids/ID`, `snapshots/TIME`,
/// `hosts/HOST/TIME`, `tags/TAG/TIME` and `apps/APP/TIME`, with a link `latest`. Runs until it is
/// interrupted (ctrl-C) or the directory is unmounted.
#[derive(Debug, Args)]
#[command(after_help = "\
What is damaged in the vault cannot be read (EIO) and is named here; the rest can.

Examples:
  lifeboat mount /mnt/points                    all points
  lifeboat mount /mnt/points --app shop         those of `shop`: /mnt/points/apps/shop/latest/volumes
  sudo lifeboat mount /mnt/points --allow-other for all users of this machine")]
pub struct MountArgs {
    /// Empty directory to mount on
    #[arg(value_name = "DIR")]
    pub dir: OsString,

    #[command(flatten)]
    pub filter: FilterArgs,

    /// Let other users in, as far as owners and modes in the points do
    #[arg(long)]
    pub allow_other: bool,

    /// Memory for what was read, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    pub cache: usize,
}
