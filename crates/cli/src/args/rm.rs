use clap::Args;

/// Takes away a copy that `restore --as` made
///
/// Containers, volumes, networks and folders of the copy, and nothing else: what is removed carries
/// the copy's label and stands in its record. It is listed first. Recovery points are not touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat rm shop-try              lists what goes, and asks
  lifeboat rm shop-try --yes        for scripts
  lifeboat rm shop-try --dry-run    lists only")]
pub struct RmArgs {
    /// Name of the copy
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// List what would be removed, and remove nothing
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub dry_run: bool,
}
