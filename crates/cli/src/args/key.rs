use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Subcommand, ValueHint};

/// Lists, adds and removes the keys of a vault, and changes its password
///
/// Each key is a file in the vault that opens with a password of its own. Whoever has one password
/// of a vault reads everything in it. The key that a vault was opened with is never removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat key list                                     who can open the vault
  lifeboat key add --new-password-file /root/second     one more password
  lifeboat key passwd --generate --sheet /media/usb/lifeboat.txt
  lifeboat key remove 5e1f9a27                          a password that got about
  lifeboat key saved                                    the recovery sheet is kept elsewhere")]
pub struct KeyArgs {
    #[command(subcommand)]
    pub what: Key,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Lists the keys; `*` is the one in use
    List,
    /// Adds a key with a password of its own
    Add(KeyAddArgs),
    /// Removes a key: its password opens the vault no more
    Remove(KeyRemoveArgs),
    /// Puts a new password in place of the one in use
    ///
    /// The new key is made and proven before the old one goes; interrupted between them, both open
    /// the vault, and the command can be run again. The key file that `init` remembered is written
    /// anew, if it held the old password. A recovery sheet with the old password is of no use then.
    Passwd(KeyPasswdArgs),
    /// Says that the recovery sheet is kept away from this machine, so that nobody is reminded
    ///
    /// Opens the vault first: with --password-file on the copy, this proves that the copy is good.
    Saved,
}

/// Where a new password comes from. On a terminal it is asked for.
#[derive(Debug, Args)]
pub struct NewPasswordArgs {
    /// File that holds the new password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub new_password_file: Option<PathBuf>,

    /// Shell command that prints the new password
    #[arg(
        long, value_name = "COMMAND", conflicts_with = "new_password_file",
        value_hint = ValueHint::CommandString
    )]
    pub new_password_command: Option<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat key add                                      asks for the new password
  lifeboat key add --new-password-file second --user anna --host laptop")]
pub struct KeyAddArgs {
    #[command(flatten)]
    pub new: NewPasswordArgs,

    /// Name that the list of keys shows [default: who runs this]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat key remove 5e1f9a27")]
pub struct KeyRemoveArgs {
    /// Id, or its beginning, as `key list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat key passwd                                   asks for the new password
  lifeboat key passwd --new-password-file new
  lifeboat key passwd --generate --sheet sheet.txt      a new generated key, and its recovery sheet")]
pub struct KeyPasswdArgs {
    #[command(flatten)]
    pub new: NewPasswordArgs,

    /// Generate a key, as `init` does, and put it into the key file
    #[arg(long, conflicts_with_all = ["new_password_file", "new_password_command"])]
    pub generate: bool,

    /// Write a new recovery sheet, with the new password, to this new file (mode 0600)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub sheet: Option<PathBuf>,
}
