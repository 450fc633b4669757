use clap::Args;

/// Checks that the vault is whole
///
/// Reads the index and all directory trees, and sees that everything they name is there. With
/// --read-data every byte is read and compared with its hash as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat check                 structure only: quick
  lifeboat check --read-data     every byte: reads the whole vault")]
pub struct CheckArgs {
    /// Read and verify every byte
    #[arg(long)]
    pub read_data: bool,
}
