use clap::Args;

use super::FilterArgs;

/// Shows what recovery points hold, and what they cost
///
/// LOGICAL is what a restore of every point would write, UNIQUE what is left of it when equal blocks
/// are kept once, STORED what that takes compressed and encrypted, OWN the part of it that nobody else
/// needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat stats                  the whole vault, by app
  lifeboat stats shop             the newest complete point of `shop`
  lifeboat stats --app shop       all points of `shop`")]
pub struct StatsArgs {
    /// Recovery points: `[[SITE/]HOST/]APP[@POINT]`, ids, `latest` [default: all]
    #[arg(value_name = "REF")]
    pub points: Vec<String>,

    #[command(flatten)]
    pub filter: FilterArgs,
}
