use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use lifeboat_store::{LockMode, LockPolicy};

use crate::human;

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
  lifeboat init --site berlin --host web1
  lifeboat init --vault s3:https://s3.example/bucket --object-lock compliance --lock-for 30d")]
pub struct InitArgs {
    /// Write the recovery sheet to this new file (mode 0600)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub sheet: Option<PathBuf>,

    /// Have the store lock every point, so that nobody can delete it before its time (S3 with Object Lock)
    ///
    /// `compliance`: nobody can, whatever rights they have. `governance`: only who has the right to
    /// bypass it, which Lifeboat never uses. The bucket must have been made with Object Lock. It cannot be
    /// changed later.
    #[arg(long, value_name = "MODE", value_parser = lock_mode, requires = "lock_for")]
    pub object_lock: Option<LockMode>,

    /// How long each point is locked from its backup on: `30d`, `12h`
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, requires = "object_lock")]
    pub lock_for: Option<Duration>,
}

fn lock_mode(word: &str) -> Result<LockMode, String> {
    match word {
        "compliance" => Ok(LockMode::Compliance),
        "governance" => Ok(LockMode::Governance),
        _ => Err("it is `compliance` or `governance`".to_owned()),
    }
}

impl InitArgs {
    /// How the vault is to be locked.
    pub fn lock_policy(&self) -> Result<Option<LockPolicy>, String> {
        let (Some(mode), Some(time)) = (self.object_lock, self.lock_for) else {
            return Ok(None);
        };
        let seconds = time.as_secs();
        if seconds < 60 {
            return Err("points that are locked for less than a minute are as good as not locked; say --lock-for 30d or the like".to_owned());
        }
        if seconds > LockPolicy::LONGEST {
            return Err(
                "points cannot be locked for more than ten years: nobody could ever take that back"
                    .to_owned(),
            );
        }
        Ok(Some(LockPolicy { mode, seconds }))
    }
}
