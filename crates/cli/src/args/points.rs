use clap::Args;

/// Lists the recovery points in a vault
///
/// Needs the vault and its key, and no engine: on an empty machine it shows every app of every
/// host. Plain snapshots, of `backup --path` or of restic, are listed too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat points                          all, oldest first
  lifeboat points shop                     those of one app
  lifeboat points web1/shop                ... of one host
  lifeboat --vault /mnt/vault points       of another vault")]
pub struct PointsArgs {
    /// App, `[[SITE/]HOST/]APP` [default: all]
    #[arg(value_name = "APP")]
    pub app: Option<String>,
}
