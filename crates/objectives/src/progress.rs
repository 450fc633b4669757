//! How far a job is, as its process says while it runs: lines in a file beside its output.

use std::path::Path;

use lifeboat_plan::schedule::{JobEvent, Time};
use serde::{Deserialize, Serialize};

/// Name of the variable that tells a job's process where to say it.
pub const VARIABLE: &str = "LIFEBOAT_PROGRESS";
/// Name of the variable that tells it where its answer goes as JSON, where it prints it for people.
pub const ANSWER: &str = "LIFEBOAT_ANSWER";
/// So much of the file is read.
const MOST: u64 = 4 << 20;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What it does.
    pub phase: String,
    /// Files done in this phase.
    pub files: u64,
    /// Bytes done in this phase.
    pub bytes: u64,
    /// Bytes that this phase will come to, as far as that is known.
    pub of: u64,
    /// It has ended, with this exit code: whoever waited for it may have gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
}

fn lines(file: &Path) -> Vec<Progress> {
    let length = fs_err::metadata(file).map_or(0, |f| f.len());
    if length > MOST {
        return Vec::new();
    }
    let text = fs_err::read_to_string(file).unwrap_or_default();
    // The last may be half written.
    let lines = text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// How it ended, if it came to say so.
pub(crate) fn exit_code(file: &Path) -> Option<i32> {
    lines(file).pop()?.exit.map(i32::from)
}

/// Where it stands.
pub(crate) fn last(file: &Path) -> Option<Progress> {
    lines(file).pop()
}

/// The phases that it went through, for its record.
pub(crate) fn phases(file: &Path) -> Vec<(Time, JobEvent)> {
    let mut lines = lines(file);
    lines.dedup_by(|next, before| next.phase == before.phase);
    let named = lines.into_iter().filter(|line| !line.phase.is_empty());
    named
        .map(|line| (Time(line.at), JobEvent::Phase(line.phase)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_once_and_a_torn_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1.progress");
        let text = r#"{"at":1,"phase":"copy","files":0,"bytes":0,"of":0}
{"at":2,"phase":"copy","files":3,"bytes":9,"of":10}
{"at":3,"phase":"freeze"}
{"at":4,"pha"#;
        fs_err::write(&file, text).unwrap();
        assert_eq!(last(&file).unwrap().phase, "freeze");
        let phase = |name: &str| JobEvent::Phase(name.to_owned());
        let phases = phases(&file);
        assert_eq!(
            phases,
            [(Time(1), phase("copy")), (Time(3), phase("freeze"))]
        );
    }
}
