use clap::Args;

/// Opens the ports of a copy on 127.0.0.1, until Ctrl-C
///
/// A copy that `restore --as` made is shut in: no port of it is published. Here each port that the
/// original publishes gets a free port of 127.0.0.1, as long as this command runs. The copy gains
/// no way out by it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat ports shop-try            shows where its ports answer, and stays
  lifeboat ports shop-try -o json    the same for a program: one document first")]
pub struct PortsArgs {
    /// Name of the copy
    #[arg(value_name = "NAME")]
    pub name: String,
}
