//! What happened and why, on disk and bounded: JSON lines in `events.jsonl`, and in `events.1.jsonl` the ones before.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use lifeboat_plan::supervise::Note;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A file is closed at this size; the one before it is dropped then.
const MOST_BYTES: u64 = 4 << 20;
/// So many are kept in memory for those who ask.
const MOST_NEAR: usize = 2000;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Rising number.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub note: Note,
}

/// The log being written.
pub(crate) struct Log {
    path: PathBuf,
    file: Option<fs::File>,
    size: u64,
    next: u64,
    near: VecDeque<Entry>,
    failing: bool,
}

/// Where the log lies in the agent's folder.
fn files(folder: &Path) -> [PathBuf; 2] {
    [folder.join("events.1.jsonl"), folder.join("events.jsonl")]
}

/// All that is kept, oldest first. Lines that make no sense (a torn last one) are left out.
///
/// # Errors
/// A file is there and cannot be read.
pub fn read(folder: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in files(folder) {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::file("read the event log")(source)),
        };
        entries.extend(
            text.lines()
                .filter_map(|line| serde_json::from_str::<Entry>(line).ok()),
        );
    }
    Ok(entries)
}

impl Log {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let near = read(folder)?;
        let next = near.last().map_or(1, |entry| entry.seq + 1);
        let [_, path] = files(folder);
        let mut log = Self {
            path,
            file: None,
            size: 0,
            next,
            near: near.into(),
            failing: false,
        };
        log.trim();
        Ok(log)
    }

    fn trim(&mut self) {
        while self.near.len() > MOST_NEAR {
            self.near.pop_front();
        }
    }

    /// Adds a line. A disk that is full does not stop the supervisor; it is said once.
    pub(crate) fn add(&mut self, note: Note) {
        let entry = Entry {
            seq: self.next,
            note,
        };
        self.next += 1;
        let told = serde_json::to_string(&entry).unwrap_or_default();
        tracing::info!(
            app = entry.note.app,
            container = entry.note.container,
            kind = entry.note.kind,
            "{}",
            entry.note.text
        );
        match self.write(&told) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                self.file = None;
                tracing::warn!(%error, "the event log cannot be written; supervision goes on without it");
            }
            Err(_) => self.file = None,
        }
        self.near.push_back(entry);
        self.trim();
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        if self.size > MOST_BYTES
            && let Some(folder) = self.path.parent()
        {
            let [before, now] = files(folder);
            self.file = None;
            fs::rename(now, before)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let opened = fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&self.path)?;
                self.size = opened.metadata()?.len();
                none.insert(opened)
            }
        };
        let text = format!("{line}\n");
        file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        Ok(())
    }

    /// The number of the newest.
    pub(crate) fn newest(&self) -> u64 {
        self.next - 1
    }

    /// Those after this number, the newest of them if there are more than `most`.
    pub(crate) fn after(&self, seq: u64, most: usize) -> Vec<Entry> {
        let later: Vec<Entry> = self
            .near
            .iter()
            .filter(|entry| entry.seq > seq)
            .cloned()
            .collect();
        let skip = later.len().saturating_sub(most);
        later.into_iter().skip(skip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_plan::supervise::Moment;

    fn note(text: &str) -> Note {
        Note {
            at: Moment(1),
            app: "shop".to_owned(),
            container: "web".to_owned(),
            kind: "died".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn is_kept_bounded_and_survives_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        log.add(note("one"));
        log.add(note("two"));
        drop(log);
        let path = dir.path().join("events.jsonl");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"seq\":3,\"at\n");
        fs::write(&path, text).unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        log.add(note("three"));
        let texts: Vec<String> = read(dir.path())
            .unwrap()
            .into_iter()
            .map(|e| e.note.text)
            .collect();
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(log.after(1, 10).len(), 2);
        assert_eq!(log.after(0, 1)[0].note.text, "three");
        let long = "x".repeat(10_000);
        for _ in 0..1000 {
            log.add(note(&long));
        }
        let bytes: u64 = files(dir.path())
            .iter()
            .map(|f| fs::metadata(f).unwrap().len())
            .sum();
        assert!(bytes < 3 * MOST_BYTES, "{bytes}");
    }
}
