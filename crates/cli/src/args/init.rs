use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Makes a vault, its key, and the recovery sheet
///
/// Where no password is given, a key is generated and kept in /etc/lifeboat/key. The recovery
/// sheet holds the place, the key and the commands for an empty machine. It is shown on a terminal,
/// or written to a file with --sheet, and nowhere else. Keep it away from this machine: vault and
/// key together are all that a recovery needs, and without the key the vault is lost.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat init                                       a vault under /var/lib/lifeboat, a generated key
  lifeboat init --vault /mnt/nas/vault --sheet /media/usb/lifeboat.txt
  lifeboat init --vault /mnt/nas/vault --password-file /root/vault-password
  lifeboat init --site berlin --host web1")]
pub struct InitArgs {
    /// Write the recovery sheet to this new file (mode 0600)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub sheet: Option<PathBuf>,
}
