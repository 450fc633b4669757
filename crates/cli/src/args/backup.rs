use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ValueHint};
use lifeboat_plan::policy::Consistency;

/// Makes a recovery point of apps, or of plain directories
///
/// An app is captured while it runs: its data is copied, then its containers are frozen for as long
/// as it takes to copy what changed meanwhile. How long that was is shown.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["apps", "all", "paths"]),
    after_help = "\
Examples:
  lifeboat backup shop                             one app
  lifeboat backup --all --tag nightly              every app of the engine
  lifeboat backup shop --exclude '*.log' --exclude-bind /srv/films
  lifeboat backup --path /etc --path /home         plain directories, no engine needed
  lifeboat backup --all --dry-run                  look and count, write nothing"
)]
pub struct BackupArgs {
    /// Apps, as `lifeboat apps` names them
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,

    /// Every app of the engine; goes on when one fails, and ends with the worst exit code
    #[arg(long, conflicts_with_all = ["apps", "paths"])]
    pub all: bool,

    /// Plain directories and files
    #[arg(long = "path", value_name = "PATH", num_args = 1.., conflicts_with = "apps", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// Leave out files that match this pattern
    #[arg(short, long = "exclude", value_name = "PATTERN")]
    pub excludes: Vec<String>,

    /// Read exclude patterns from this file, one a line
    #[arg(long = "exclude-file", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub exclude_files: Vec<PathBuf>,

    /// Stay on one file system below each source
    #[arg(short = 'x', long)]
    pub one_file_system: bool,

    /// Read so many files at the same time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub read_concurrency: Option<u16>,

    /// Let everything else on this machine go first: idle class for the processor and the disk
    ///
    /// While an app stands still for its last pass, the backup has the usual priority. With a duration (`--idle=10m`)
    /// it goes on with the usual priority after that time: a machine that is busy all day does not hold it up for ever.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        value_parser = crate::human::parse_duration
    )]
    pub idle: Option<Option<Duration>>,

    /// Tag for the point
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,

    /// Look and count, but write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Take this bind mount although it is above the size that is taken without asking
    #[arg(long = "include-bind", value_name = "PATH", conflicts_with = "paths")]
    pub include_binds: Vec<String>,

    /// Leave this bind mount out
    #[arg(long = "exclude-bind", value_name = "PATH", conflicts_with = "paths")]
    pub exclude_binds: Vec<String>,

    /// How consistent the points have to be: `live` (nothing is frozen), `crash` or `application`
    ///
    /// A point that comes out less consistent is kept, but marked as partial, and the exit code is 4.
    /// [default: what `lifeboat.consistency` or the settings say of the app, else as good as it gets]
    #[arg(long, value_name = "LEVEL", conflicts_with = "paths")]
    pub consistency: Option<Consistency>,

    /// Take all images from the engine; ask no registry for the digests that it has served
    #[arg(long, conflicts_with = "paths")]
    pub engine_images: bool,

    /// Continue the line of this app, `[SITE/]HOST/APP`, on this host
    ///
    /// For an app that was recovered on another machine: its next points follow those that it had
    /// before, although the machine is another one.
    #[arg(long, value_name = "IDENTITY", conflicts_with_all = ["all", "paths"])]
    pub take_over: Option<String>,
}
