use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Brings an app back, whole and in one step; or the files of a point into a directory
///
/// Nothing that exists is touched: where a name is in use, the restore is refused before anything
/// is changed. A restore that was interrupted is run again with the same command.
#[derive(Debug, Args)]
#[command(after_help = "\
REF is an app, `[[SITE/]HOST/]APP[@POINT]`; the id of a point, 8 digits or more; or `latest`.

Examples:
  lifeboat restore shop                            the newest point of `shop`
  lifeboat restore shop@6f1d3c20                   an older one
  lifeboat restore shop --dry-run                  what would be done, and what stands in the way
  lifeboat restore shop --target /tmp/shop         its files only, no engine needed
  lifeboat restore shop --target /tmp/shop --include '*.sql'")]
pub struct RestoreArgs {
    /// Recovery point
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Show the plan, change nothing; exit code 1 if it would be refused
    #[arg(short = 'n', long, conflicts_with = "target")]
    pub dry_run: bool,

    /// Restore files into this directory, which is never left, instead of the app
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub target: Option<PathBuf>,

    /// Only files that match this pattern
    #[arg(short, long = "include", value_name = "PATTERN", requires = "target")]
    pub includes: Vec<String>,

    /// Continue an interrupted restore of files: keep what is there already and equal
    #[arg(long, requires = "target")]
    pub resume: bool,
}
