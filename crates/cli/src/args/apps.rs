use clap::Args;

/// Shows what runs here, where its data lies, and what a backup would miss
///
/// Needs no vault and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat apps              every app of the engine
  lifeboat apps shop         one app, place by place
  lifeboat apps --images     which images exist in this engine alone
  lifeboat apps -v -o json   everything, for a program")]
pub struct AppsArgs {
    /// Apps to show, place by place [default: all]
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,

    /// Show where each image is: in the vault, in its registry (which is asked), or in this engine alone
    #[arg(long)]
    pub images: bool,
}
