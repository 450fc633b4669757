use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::FilterArgs;

/// Mends a damaged vault
///
/// In this order: the index; damaged packs; a backup, which stores again whatever the source still
/// has, and so heals every point that needs it; and only then points, of which something is lost for
/// good. Copy the vault first, if there is room.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat check --read-data          what is damaged
  lifeboat repair index               makes the index again from the packs
  lifeboat repair packs               saves what is whole in damaged packs
  lifeboat backup --all               stores again what is lost, where the source still has it
  lifeboat repair points              new points, without what is lost for good")]
pub struct RepairArgs {
    #[command(subcommand)]
    pub what: Repair,
}

/// What is mended.
#[derive(Debug, Subcommand)]
pub enum Repair {
    Index(RepairIndexArgs),
    Packs(RepairPacksArgs),
    #[command(visible_alias = "snapshots")]
    Points(RepairPointsArgs),
    Deleted(RepairDeletedArgs),
}

/// Brings back what was deleted or written over in a vault whose points are locked
///
/// A store with Object Lock keeps what is deleted before its time, and hides it. This takes away what
/// hides it. What was written over an object lies above it: the right version is found by its hash
/// and is the newest again. No password is needed. Points and index files that were replaced come back as well;
/// `lifeboat check` says whether the index has to be made again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat repair deleted             after somebody has deleted or spoilt what he could
  lifeboat check && lifeboat points   what is there again")]
pub struct RepairDeletedArgs {}

/// Saves what is whole in damaged packs
///
/// Blobs that are whole go into new packs. The damaged packs are first put into a folder, then taken
/// out of the index and the vault. What was lost counts as absent from then on, so that the next
/// backup stores it again, if the source still has it. Needs the vault for itself; a repair that was
/// interrupted is run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 3: blobs are lost; `lifeboat check` names the points and files that need them.

Examples:
  lifeboat repair packs                      what a check of all data finds
  lifeboat repair packs 8912ab… --dry-run    one pack: what could be saved
  lifeboat repair packs --set-aside /root/damaged")]
pub struct RepairPacksArgs {
    /// Packs, by their whole ids [default: those that a check of all data finds]
    #[arg(value_name = "ID")]
    pub packs: Vec<lifeboat_vault::PackId>,

    /// Folder that the damaged packs are put into [default: the working directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub set_aside: Option<PathBuf>,

    /// Say what would be done, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Makes new points without what is lost for good
///
/// A file of which blobs are gone keeps what is there of it, closed up; a folder that cannot be read
/// is empty in the new point. Everything is named. The new points have the tags `repaired` and
/// `partial`, and stand beside the old ones.
#[derive(Debug, Args)]
#[command(after_help = "\
Run `lifeboat repair packs` and a backup first: what can be healed needs no new point.

Exit code 3: nothing is left of some points; they are named.

Examples:
  lifeboat repair points --dry-run                what is lost, file by file
  lifeboat repair points shop --drop-damaged      damaged files left out whole
  lifeboat repair points --forget                 and the old points go")]
pub struct RepairPointsArgs {
    /// Recovery points: `[[SITE/]HOST/]APP[@POINT]`, ids, `latest` [default: all]
    #[arg(value_name = "REF")]
    pub points: Vec<String>,

    #[command(flatten)]
    pub filter: FilterArgs,

    /// Leave damaged files out, rather than keep what is there of them
    #[arg(long)]
    pub drop_damaged: bool,

    /// Delete the old points, and those of which nothing is left
    #[arg(long)]
    pub forget: bool,

    /// Say what would be done, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
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
pub struct RepairIndexArgs {}
