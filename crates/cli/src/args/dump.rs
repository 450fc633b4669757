use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// Writes a file of a recovery point to standard output, or a folder as an archive
///
/// Every piece is checked against its hash before it is written. Where one is damaged the output
/// ends there, with an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat dump shop /volumes/db/postgresql.conf          one file
  lifeboat dump shop /volumes/db | tar -x -C /tmp/db      a folder
  lifeboat dump 6f1d3c20 / > point.tar                    everything in a point")]
pub struct DumpArgs {
    /// Recovery point: `[[SITE/]HOST/]APP[@POINT]`, an id, or `latest`
    #[arg(value_name = "REF")]
    pub reference: String,

    /// File or folder in it
    #[arg(value_name = "PATH")]
    pub path: OsString,

    /// Write an archive of this form, of a single file too
    #[arg(short, long, value_name = "FORM")]
    pub archive: Option<Archive>,
}

/// Form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Archive {
    /// POSIX tar, with extended attributes.
    Tar,
}
