use clap::Args;

/// Pins recovery points: no `forget` of ours takes them
///
/// The point gets the tag `pin` (and the mark by which rustic keeps it), and with it another id.
/// restic knows no pins: give its `forget` `--keep-tag pin`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat pin shop                the newest complete point of `shop`
  lifeboat pin shop@6f1d3c20 9a8b7c6d")]
pub struct PinArgs {
    /// Recovery points: `[[SITE/]HOST/]APP[@POINT]`, ids, `latest`
    #[arg(value_name = "REF", required = true)]
    pub references: Vec<String>,
}

/// Releases recovery points that were pinned
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat unpin shop@6f1d3c20")]
pub struct UnpinArgs {
    /// Recovery points: `[[SITE/]HOST/]APP[@POINT]`, ids, `latest`
    #[arg(value_name = "REF", required = true)]
    pub references: Vec<String>,
}
