use clap::Args;

/// Takes away a copy that `restore --as` made, or the old data that `restore --replace` set aside
///
/// Containers, volumes, networks and folders of the copy, and nothing else: what is removed carries
/// the copy's label and stands in its record. It is listed first. Recovery points are not touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat rm shop-try              lists what goes, and asks
  lifeboat rm shop-try --yes        for scripts
  lifeboat rm shop-try --dry-run    lists only
  lifeboat rm --list                which copies, and what data is set aside
  lifeboat rm shop                  the data of `shop` that was replaced
  lifeboat rm --expired             what has been aside for 7 days; it goes by itself with the next
                                    backup or restore")]
pub struct RmArgs {
    /// Name of the copy, or of the app whose replaced data goes
    #[arg(value_name = "NAME", required_unless_present_any = ["expired", "list"])]
    pub name: Option<String>,

    /// Show the copies and the data set aside that are here
    #[arg(long, conflicts_with_all = ["name", "expired", "yes", "dry_run"])]
    pub list: bool,

    /// What has been aside for longer than its time
    #[arg(long, conflicts_with = "name")]
    pub expired: bool,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// List what would be removed, and remove nothing
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub dry_run: bool,
}
