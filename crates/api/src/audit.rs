//! Who changed what: JSON lines, each with the hash of the one before, so that a line that is changed, taken out or put in is found.
//!
//! `audit.head` beside it holds number, hash and end of the last line, so that lines cut off at the end are found as well.
//! Whoever can write both files can write another history; so `lifeboat audit verify` prints the hash of the last line, to be kept
//! elsewhere, and takes one that was kept.

use fs_err::os::unix::fs::OpenOptionsExt as _;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Rising by one.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Who: `user 0`, `token deploy`.
    pub who: String,
    /// In which role.
    pub role: String,
    /// `socket`, `network` or `command`.
    pub via: String,
    /// What was asked.
    pub action: String,
    /// Of what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// How it was answered.
    pub outcome: String,
    /// Hash of the line before.
    pub previous: String,
    /// Hash of this line without this field.
    #[serde(default)]
    pub hash: String,
}

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Who.
    pub who: String,
    /// In which role.
    pub role: String,
    /// How they came.
    pub via: String,
    /// What was asked.
    pub action: String,
    /// Of what.
    pub what: String,
    /// How it was answered.
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    hash: String,
    end: u64,
}

/// What a look at all of it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdict {
    /// So many lines.
    pub lines: u64,
    /// Hash of the last one.
    pub head: String,
    /// What is wrong, each in one sentence; none: it is whole.
    pub wrong: Vec<String>,
}

/// The log of a state directory.
#[derive(Debug, Clone)]
pub struct Audit {
    log: PathBuf,
    head: PathBuf,
}

impl Audit {
    /// Where a state directory has it.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        let folder = state.join("audit");
        Self {
            log: folder.join("audit.jsonl"),
            head: folder.join("audit.head"),
        }
    }

    /// Adds a line, durably, whoever else does so at the same time.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&self, at: i64, change: Change) -> std::io::Result<Line> {
        if let Some(folder) = self.log.parent() {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut options = fs_err::OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&self.log)?;
        flock(file.file(), FlockOperation::LockExclusive)?;
        let head = self.last(&mut file)?;
        let mut line = Line {
            seq: head.seq + 1,
            at,
            who: change.who,
            role: change.role,
            via: change.via,
            action: change.action,
            what: change.what,
            outcome: change.outcome,
            previous: head.hash,
            hash: String::new(),
        };
        line.hash = hash(&line)?;
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        let end = file.metadata()?.len();
        self.write_head(&Head {
            seq: line.seq,
            hash: line.hash.clone(),
            end,
        })?;
        Ok(line)
    }

    /// Whether a line can be written, as far as that can be told without one: the disk has room and takes writes.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let Some(folder) = self.log.parent() else {
            return false;
        };
        let writable = rustix::fs::statvfs(folder).map(|fs| {
            !fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) && fs.f_bavail > 0
        });
        // It is made with the first line.
        writable.unwrap_or(true)
    }

    /// What the next line goes on from. After a crash between line and head, the line counts; a torn one is cut off. Where lines
    /// are missing, it goes on from the head all the same: so the gap stays to be seen.
    fn last(&self, file: &mut fs_err::File) -> std::io::Result<Head> {
        let mut head = self.read_head().unwrap_or(Head {
            seq: 0,
            hash: BEGINNING.to_owned(),
            end: 0,
        });
        let length = file.metadata()?.len();
        if length > head.end {
            file.seek(SeekFrom::Start(head.end))?;
            let mut rest = Vec::new();
            file.read_to_end(&mut rest)?;
            let whole = rest
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1);
            for text in String::from_utf8_lossy(&rest[..whole]).lines() {
                if let Ok(line) = serde_json::from_str::<Line>(text) {
                    (head.seq, head.hash) = (line.seq, line.hash);
                }
            }
            head.end += whole as u64;
            if whole < rest.len() {
                file.set_len(head.end)?;
            }
        }
        Ok(head)
    }

    fn read_head(&self) -> Option<Head> {
        serde_json::from_str(&fs_err::read_to_string(&self.head).ok()?).ok()
    }

    fn write_head(&self, head: &Head) -> std::io::Result<()> {
        let temporary = self.head.with_extension("head.new");
        let mut file = fs_err::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(head)?)?;
        file.sync_data()?;
        fs_err::rename(temporary, &self.head)
    }

    fn texts(&self) -> std::io::Result<String> {
        match fs_err::read(&self.log) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e),
        }
    }

    /// The newest lines before that number, the newest first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn newest(&self, before: Option<u64>, most: usize) -> std::io::Result<Vec<Line>> {
        let text = self.texts()?;
        let lines = text.lines().rev();
        let read = lines.filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let wanted = read.filter(|line| before.is_none_or(|before| line.seq < before));
        Ok(wanted.take(most).collect())
    }

    /// Looks at every line; `kept`: a hash that somebody kept, which must be among them.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn verify(&self, kept: Option<&str>) -> std::io::Result<Verdict> {
        let text = self.texts()?;
        let mut wrong = Vec::new();
        let (mut seq, mut before) = (0, BEGINNING.to_owned());
        let mut found = kept.is_none();
        for (at, text) in text.lines().enumerate() {
            let place = format!("line {}", at + 1);
            let Ok(line) = serde_json::from_str::<Line>(text) else {
                wrong.push(format!("{place} is no line of this log"));
                seq += 1;
                continue;
            };
            if line.seq != seq + 1 || line.previous != before {
                wrong.push(format!(
                    "{place} (change {}) does not follow on change {seq}: lines were taken out, put in or changed before it",
                    line.seq
                ));
            }
            if hash(&line).ok().as_ref() != Some(&line.hash) {
                wrong.push(format!("{place} (change {}) was changed", line.seq));
            }
            found |= kept == Some(line.hash.as_str());
            (seq, before) = (line.seq, line.hash);
        }
        if let Some(head) = self.read_head() {
            if head.seq > seq {
                wrong.push(format!(
                    "it ends at change {seq}, and change {} was written: the end was cut off",
                    head.seq
                ));
            } else if head.seq == seq && head.hash != before {
                wrong.push(format!("change {seq} is not the one that was written last"));
            }
        } else if seq > 0 {
            wrong.push("the file that says where it ends is missing or makes no sense".to_owned());
        }
        if !found {
            wrong.push("the hash that was kept is not in it: it was written anew".to_owned());
        }
        Ok(Verdict {
            lines: text.lines().count() as u64,
            head: before,
            wrong,
        })
    }
}

fn hash(line: &Line) -> serde_json::Result<String> {
    let bare = Line {
        hash: String::new(),
        ..line.clone()
    };
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(&bare)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_lines(n: usize) -> (tempfile::TempDir, Audit) {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::of(dir.path());
        for i in 0..n {
            let change = Change {
                who: "user 0".to_owned(),
                action: format!("PUT /{i}"),
                ..Change::default()
            };
            audit.add(7, change).unwrap();
        }
        (dir, audit)
    }

    fn tampered(n: usize, how: impl Fn(Vec<String>) -> Vec<String>) -> Vec<String> {
        let (_dir, audit) = with_lines(n);
        let text = fs_err::read_to_string(&audit.log).unwrap();
        let lines = how(text.lines().map(str::to_owned).collect());
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs_err::write(&audit.log, text).unwrap();
        // What comes later does not cover it up.
        audit.add(8, Change::default()).unwrap();
        audit.verify(None).unwrap().wrong
    }

    #[test]
    fn a_whole_log_is_whole_and_a_hash_that_was_kept_is_in_it() {
        let (_dir, audit) = with_lines(3);
        let verdict = audit.verify(None).unwrap();
        assert_eq!((verdict.lines, verdict.wrong.len()), (3, 0));
        audit.add(8, Change::default()).unwrap();
        assert!(audit.verify(Some(&verdict.head)).unwrap().wrong.is_empty());
        assert_eq!(audit.verify(Some("00")).unwrap().wrong.len(), 1);
        assert_eq!(audit.newest(Some(3), 1).unwrap()[0].action, "PUT /1");
        let empty = Audit::of(tempfile::tempdir().unwrap().path());
        assert_eq!(empty.verify(None).unwrap().lines, 0);
    }

    #[test]
    fn a_line_that_is_changed_cut_or_put_in_is_found() {
        assert!(tampered(4, |lines| lines).is_empty());
        let changed = tampered(4, |mut lines| {
            lines[1] = lines[1].replace("PUT /1", "PUT /9");
            lines
        });
        assert_eq!(changed, ["line 2 (change 2) was changed"]);
        for how in [
            |mut lines: Vec<String>| {
                lines.remove(1);
                lines
            },
            |mut lines: Vec<String>| {
                lines.pop();
                lines
            },
            |mut lines: Vec<String>| {
                lines.swap(1, 2);
                lines
            },
            |mut lines: Vec<String>| {
                lines.insert(2, lines[1].clone());
                lines
            },
            |mut lines: Vec<String>| {
                lines[3] = lines[3].replace("user 0", "user 1");
                lines
            },
        ] {
            assert!(!tampered(4, how).is_empty());
        }
        let (_dir, audit) = with_lines(2);
        let text = fs_err::read_to_string(&audit.log).unwrap();
        fs_err::write(&audit.log, text.lines().next().unwrap().to_owned() + "\n").unwrap();
        assert!(audit.verify(None).unwrap().wrong[0].contains("cut off"));
    }

    #[test]
    fn a_crash_between_line_and_head_or_within_a_line_is_no_tampering() {
        let (_dir, audit) = with_lines(2);
        let head = fs_err::read(&audit.head).unwrap();
        audit.add(9, Change::default()).unwrap();
        fs_err::write(&audit.head, head).unwrap();
        assert!(audit.verify(None).unwrap().wrong.is_empty());
        let mut file = fs_err::OpenOptions::new()
            .append(true)
            .open(&audit.log)
            .unwrap();
        file.write_all(b"{\"seq\":4,\"a").unwrap();
        audit.add(10, Change::default()).unwrap();
        let verdict = audit.verify(None).unwrap();
        assert_eq!((verdict.lines, verdict.wrong), (4, Vec::new()));
    }
}
