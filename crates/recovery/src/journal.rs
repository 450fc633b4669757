//! Intent before effect: what an operation is about to do stands on disk before it does it.
//!
//! A journal is a file of JSON lines, one operation each, in the state directory. Every record is
//! durable when [`Journal::append`] returns. What a crash leaves: a file whose last line may be torn
//! (it is dropped: its effect had not begun), and a lock that the kernel has released. A journal
//! that is gone costs the continuation of an interrupted operation, never data.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};

use crate::{RecoveryError, Result};

/// The journal of one operation, locked for this process.
pub struct Journal {
    file: fs_err::File,
    path: PathBuf,
}

impl Journal {
    /// Opens or makes the journal `name` in `dir` and returns what an interrupted run left in it.
    ///
    /// Refused while another process holds it.
    pub fn open<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<(Self, Vec<T>)> {
        fs_err::create_dir_all(dir)?;
        let path = dir.join(format!("{name}.jsonl"));
        let mut file = loop {
            let mut options = fs_err::OpenOptions::new();
            options.read(true).append(true).create(true);
            // Mappings may hold what is nobody else's.
            fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&path)?;
            if !locked(&file) {
                return Err(RecoveryError::Refused(format!(
                    "another lifeboat process is at work on this ({} is locked); wait until it has ended",
                    path.display()
                )));
            }
            // The holder before us may have finished and removed it between our open and our lock.
            if is_same_file(&file, &path) {
                break file;
            }
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |end| end + 1);
        let mut records = Vec::new();
        for line in text[..whole]
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
        {
            records.push(serde_json::from_slice(line).map_err(|e| {
                RecoveryError::Failed(format!(
                    "the journal {} cannot be read ({e}); look at it, and delete it to begin anew",
                    path.display()
                ))
            })?);
        }
        file.file().set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        sync_dir(dir)?;
        Ok((Self { file, path }, records))
    }

    /// Writes one record; it is durable when this returns.
    pub fn append<T: Serialize>(&mut self, record: &T) -> Result<()> {
        let mut line = serde_json::to_vec(record)
            .map_err(|e| RecoveryError::Failed(format!("write {}: {e}", self.path.display())))?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        Ok(())
    }

    /// The operation is whole: nothing is left to continue.
    pub fn finish(self) -> Result<()> {
        fs_err::remove_file(&self.path)?;
        if let Some(dir) = self.path.parent() {
            sync_dir(dir)?;
        }
        Ok(())
    }
}

/// Locks it, waiting for a moment: a process that this one has just started holds a copy of every
/// descriptor until it runs its own program.
fn locked(file: &fs_err::File) -> bool {
    const TRIES: u32 = 20;
    (0..TRIES).any(|_| {
        let free = flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !free {
            std::thread::sleep(Duration::from_millis(20));
        }
        free
    })
}

fn is_same_file(file: &fs_err::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs_err::metadata(path)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

fn sync_dir(dir: &Path) -> Result<()> {
    fs_err::File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_after_a_crash_and_a_torn_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, records) = Journal::open::<u32>(dir.path(), "x").unwrap();
        assert!(records.is_empty());
        journal.append(&1).unwrap();
        journal.append(&2).unwrap();
        drop(journal);
        let path = dir.path().join("x.jsonl");
        let mut torn = fs_err::OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"3").unwrap();
        drop(torn);
        let (mut journal, records) = Journal::open::<u32>(dir.path(), "x").unwrap();
        assert_eq!(records, [1, 2]);
        journal.append(&4).unwrap();
        drop(journal);
        let (journal, records) = Journal::open::<u32>(dir.path(), "x").unwrap();
        assert_eq!(records, [1, 2, 4]);
        journal.finish().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn two_at_once_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (_held, _) = Journal::open::<u32>(dir.path(), "x").unwrap();
        let error = Journal::open::<u32>(dir.path(), "x").err().unwrap();
        assert!(
            error.to_string().contains("another lifeboat process"),
            "{error}"
        );
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("x.jsonl"), b"hello\n").unwrap();
        assert!(Journal::open::<u32>(dir.path(), "x").is_err());
    }
}
