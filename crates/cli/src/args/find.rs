use clap::Args;

use super::FilterArgs;

/// Finds files in recovery points by name
///
/// Patterns are those of --exclude: `*` and `?` within a name, `**` over folders, a leading `/` for
/// the top of the point. What lies in a folder that matches is found too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat find postgresql.conf                     in every point of the vault
  lifeboat find '*.pdf' --app shop -l               in those of one app, with sizes and times
  lifeboat find -i 'invoice*' --newest 2026-10-01   changed before October
  lifeboat find '/volumes/db/*.conf' -s shop        in the newest complete point of `shop`")]
pub struct FindArgs {
    /// Patterns; one that matches is enough
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,

    /// Capitals and small letters are the same
    #[arg(short, long)]
    pub ignore_case: bool,

    /// Mode, owner, size and time as well
    #[arg(short, long)]
    pub long: bool,

    /// Changed at this time or later: `2026-10-01`, `2026-10-01 14:30`
    #[arg(long, value_name = "TIME", value_parser = crate::human::parse_time)]
    pub oldest: Option<i64>,

    /// Changed at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = crate::human::parse_time)]
    pub newest: Option<i64>,

    /// Only in this recovery point; can be given again
    #[arg(
        short = 's',
        long = "point",
        visible_alias = "snapshot",
        value_name = "REF"
    )]
    pub points: Vec<String>,

    #[command(flatten)]
    pub filter: FilterArgs,
}
