use clap::Args;

/// Shows what runs here, where its data lies, and what a backup would miss
///
/// Needs no vault and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat apps              every app of the engine
  lifeboat apps shop         one app, place by place
  lifeboat apps -v -o json   everything, for a program")]
pub struct AppsArgs {
    /// Apps to show, place by place [default: all]
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,
}
