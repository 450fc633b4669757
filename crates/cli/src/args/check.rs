use clap::Args;
use lifeboat_vault::check::Subset;

/// Checks that the vault is whole
///
/// Reads the index and all directory trees, and sees that everything they name is there. With
/// --read-data every byte is read and compared with its hash as well, with the other two a part of
/// them. What is damaged is named with the points and files that it touches; nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat check                             structure only: quick
  lifeboat check --read-data                 every byte: reads the whole vault
  lifeboat check --read-data-subset 5%       packs by lot; also 1/10 (the first of ten parts), 10G
  lifeboat check --read-data-rolling 1/30    every day: each month every byte, the oldest first")]
pub struct CheckArgs {
    /// Believe what is kept near of a vault on a server, and read only the rest from there
    #[arg(long)]
    pub with_cache: bool,

    /// Read and verify every byte
    #[arg(long, group = "read")]
    pub read_data: bool,

    /// Read and verify some of the data: `5%`, `1/10`, `500M`
    #[arg(long, value_name = "PART", group = "read")]
    pub read_data_subset: Option<Subset>,

    /// Read and verify what was not read for the longest time: `1/30`, `5%`, `10G`
    ///
    /// This host remembers what was read when. Where that is lost, it begins anew.
    #[arg(long, value_name = "SHARE", group = "read", value_parser = Subset::oldest)]
    pub read_data_rolling: Option<Subset>,
}
