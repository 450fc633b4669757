use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};

/// Shows how a period went: points, RPOs that were missed and for how long, checks, copies
///
/// It is made of the records of jobs: what they do not reach back to is not claimed. RPOs are those that hold now. The exit code is
/// 20 where an RPO was missed or a protected app has no point.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat report                        the last 30 days
  lifeboat report --last 7d --html week.html
  lifeboat report -o json")]
pub struct ReportArgs {
    /// So far back
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = crate::human::parse_duration)]
    pub last: Duration,

    /// Write a page for people to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
}
