use clap::Args;

/// Shows what is kept near of vaults on servers, and takes it away
///
/// Index files, directory trees and recovery points' entries lie in a folder of the user's, so that a
/// command does not read them again over the network. They are sealed as in the vault, checked when
/// they are read, and can be deleted at any time. Vaults that were not used for 30 days go by
/// themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat cache                            of which vaults, how much, when last used
  lifeboat cache --cleanup                  takes away those not used for 30 days
  lifeboat cache --cleanup --max-age 0      takes away all
  lifeboat cache --cache-dir /big/cache     another folder than ~/.cache/lifeboat")]
pub struct CacheArgs {
    /// Take away what belongs to vaults that were not used for so long
    #[arg(long)]
    pub cleanup: bool,

    /// Days after which what belongs to a vault is old
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub max_age: u32,

    /// Do not add up how large it is
    #[arg(long)]
    pub no_size: bool,
}
