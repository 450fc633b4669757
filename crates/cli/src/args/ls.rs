use std::ffi::OsString;

use clap::Args;

/// Lists the files in a recovery point
#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal, what is not a printable character is shown as `\\n` or `\\xNN`.

Examples:
  lifeboat ls shop                       the top of the newest complete point of `shop`
  lifeboat ls shop /volumes/db -l        a volume, with modes, owners, sizes and times
  lifeboat ls 6f1d3c20 -r                everything in one point")]
pub struct LsArgs {
    /// Recovery point: `[[SITE/]HOST/]APP[@POINT]`, an id, or `latest`
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Directory or file in it
    #[arg(value_name = "PATH", default_value = "/")]
    pub path: OsString,

    /// All levels below it
    #[arg(short, long)]
    pub recursive: bool,

    /// Mode, owner, size and time as well
    #[arg(short, long)]
    pub long: bool,
}
