use clap::Args;

/// Shows what differs between two recovery points
///
/// Of two points of an app first what differs in the app: containers, images, volumes, networks,
/// and the names (never the values) of what changed in their definitions. Then the files:
/// `+` added, `-` removed, `M` other content, `T` another kind, `U` other mode, owner or time,
/// `M?` other content with everything else the same, which is what failing hardware leaves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat diff shop@2026-11-20 shop        what happened since
  lifeboat diff 6f1d3c20 a90b12ff --metadata")]
pub struct DiffArgs {
    /// The older point: `[[SITE/]HOST/]APP[@POINT]`, an id, or `latest`
    #[arg(value_name = "A")]
    pub before: String,

    /// The newer point
    #[arg(value_name = "B")]
    pub after: String,

    /// Files too of which only mode, owner, times or the like differ
    #[arg(long)]
    pub metadata: bool,
}
