//! What orders said, for those who asked for them: the newest stay for a while, and nothing depends on them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::{Deserialize, Serialize};

/// So many stay.
const KEPT: usize = 200;

/// What a command said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Exit code; none: it was ended by a signal, or nobody was there to see.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error, the end of it.
    pub err: String,
}

impl Said {
    /// Its last word, of which a person learns why it failed.
    #[must_use]
    pub fn last_word(&self) -> String {
        let mut lines = self.err.lines().rev();
        let last = lines.find(|line| !line.trim().is_empty());
        let last = last.unwrap_or("it ended without a word");
        last.trim_start_matches("lifeboat: ").to_owned()
    }
}

fn folder(of: &Path) -> PathBuf {
    of.join("results")
}

/// Keeps it; what cannot be kept is said in the log, and the record tells what came of the job in any case.
pub(crate) fn keep(of: &Path, job: u64, said: &Said) {
    let folder = folder(of);
    let write = || -> std::io::Result<()> {
        fs_err::create_dir_all(&folder)?;
        let text = serde_json::to_vec(said)?;
        // It may hold whatever the vault holds.
        let mut file = fs_err::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(format!("{job}.json")))?;
        file.write_all(&text)?;
        forget_old(&folder)
    };
    if let Err(why) = write() {
        tracing::warn!("what job {job} said cannot be kept: {why}");
    }
}

fn forget_old(folder: &Path) -> std::io::Result<()> {
    let names = fs_err::read_dir(folder)?.flatten().map(|e| e.file_name());
    let mut numbers: Vec<u64> = names
        .filter_map(|name| name.to_str()?.strip_suffix(".json")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    for old in numbers.iter().rev().skip(KEPT) {
        fs_err::remove_file(folder.join(format!("{old}.json")))?;
    }
    Ok(())
}

pub(crate) fn read(of: &Path, job: u64) -> Option<Said> {
    let text = fs_err::read(folder(of).join(format!("{job}.json"))).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_there_again_and_the_old_goes() {
        let dir = tempfile::tempdir().unwrap();
        for job in 1..=KEPT as u64 + 5 {
            let said = Said {
                code: Some(3),
                out: job.to_string(),
                err: String::new(),
            };
            keep(dir.path(), job, &said);
        }
        assert_eq!(read(dir.path(), 5), None);
        assert_eq!(read(dir.path(), 6).unwrap().out, "6");
        let mode = fs_err::metadata(folder(dir.path()).join("6.json")).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o600
        );
    }
}
