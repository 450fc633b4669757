//! `ls`: written as it is read; a point may hold millions of files.

use std::os::unix::ffi::OsStrExt;

use lifeboat_recovery::{
    RecoveryError,
    files::{self, Entry},
    points,
};
use lifeboat_vault::NodeKind;
use serde::Serialize;

use crate::{
    args::LsArgs,
    exit::{Exit, Failure, Result},
    human,
    output::Output,
    session::Session,
};

/// Lines are written in pieces of this size.
pub(super) const PIECE: usize = 64 * 1024;

/// Lists files.
pub fn run(session: &Session, args: &LsArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let (_, snapshot) = points::resolve(&ctx.vault, &args.reference)?;
    let mut path = args.path.as_bytes().to_vec();
    if !path.starts_with(b"/") {
        path.insert(0, b'/');
    }
    let mut listing = Listing::new(&session.out, args.long);
    let mut failed = None;
    let walked = files::ls(&ctx, &snapshot, &path, args.recursive, &mut |entry| {
        let written = listing.entry(&entry);
        let stop = ctx.cancel.is_cancelled() || session.out.is_closed() || written.is_err();
        failed = written.err();
        if stop {
            Err(RecoveryError::Interrupted)
        } else {
            Ok(())
        }
    });
    session.reporter.finish();
    if let Some(failure) = failed {
        return Err(failure);
    }
    if session.out.is_closed() {
        return Ok(Exit::Done);
    }
    if ctx.cancel.is_cancelled() {
        return Err(Failure::interrupted());
    }
    walked?;
    listing.end()?;
    Ok(Exit::Done)
}

/// The text under way.
struct Listing<'a> {
    out: &'a Output,
    long: bool,
    text: Vec<u8>,
    first: bool,
}

impl<'a> Listing<'a> {
    fn new(out: &'a Output, long: bool) -> Self {
        let text = if out.is_json() {
            b"{\"entries\":[".to_vec()
        } else {
            Vec::new()
        };
        Self {
            out,
            long,
            text,
            first: true,
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        if self.out.is_json() {
            if !std::mem::take(&mut self.first) {
                self.text.push(b',');
            }
            let json = serde_json::to_string(&JsonEntry::new(entry))
                .map_err(|e| Failure::new(format!("the listing cannot be written as JSON: {e}")))?;
            self.text.extend_from_slice(json.as_bytes());
        } else {
            line(&mut self.text, entry, self.long, self.out.is_terminal());
        }
        // A person sees each line at once; a program gets larger pieces.
        if self.text.len() >= PIECE || self.out.is_terminal() {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.out.bytes(&self.text)?;
        self.text.clear();
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        if self.out.is_json() {
            self.text.extend_from_slice(b"]}\n");
        }
        self.flush()
    }
}

/// One entry as JSON. `path_hex` stands beside `path` where the name is not UTF-8.
#[derive(Serialize)]
pub(super) struct JsonEntry {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    size: Option<u64>,
    mtime_seconds: i64,
    mtime_nanos: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl JsonEntry {
    pub(super) fn new(entry: &Entry) -> Self {
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let meta = &entry.node.meta;
        Self {
            path: String::from_utf8_lossy(&entry.path).into_owned(),
            path_hex: std::str::from_utf8(&entry.path)
                .is_err()
                .then(|| hex(&entry.path)),
            kind: kind(&entry.node.kind).1,
            mode: format!("{:04o}", meta.mode),
            uid: meta.uid,
            gid: meta.gid,
            size: size(&entry.node.kind),
            mtime_seconds: meta.mtime.secs,
            mtime_nanos: meta.mtime.nanos,
            target: match &entry.node.kind {
                NodeKind::Symlink { target } => Some(String::from_utf8_lossy(target).into_owned()),
                _ => None,
            },
        }
    }
}

/// Appends one entry as a line.
pub(super) fn line(text: &mut Vec<u8>, entry: &Entry, long: bool, terminal: bool) {
    let name = |text: &mut Vec<u8>, bytes: &[u8]| {
        if terminal {
            text.extend_from_slice(human::escape(bytes).as_bytes());
        } else {
            text.extend_from_slice(bytes);
        }
    };
    let node = &entry.node;
    if long {
        let meta = &node.meta;
        let size = match &node.kind {
            NodeKind::BlockDevice { device } | NodeKind::CharDevice { device } => {
                format!(
                    "{}, {}",
                    rustix::fs::major(*device),
                    rustix::fs::minor(*device)
                )
            }
            kind => size(kind).map_or_else(|| "-".to_owned(), |size| size.to_string()),
        };
        let columns = format!(
            "{}{} {:>5} {:>5} {size:>12} {} ",
            kind(&node.kind).0,
            permissions(meta.mode),
            meta.uid,
            meta.gid,
            human::local_seconds(meta.mtime.secs)
        );
        text.extend_from_slice(columns.as_bytes());
    }
    name(text, &entry.path);
    if let (true, NodeKind::Symlink { target }) = (long, &node.kind) {
        text.extend_from_slice(b" -> ");
        name(text, target);
    }
    text.push(b'\n');
}

fn kind(kind: &NodeKind) -> (char, &'static str) {
    match kind {
        NodeKind::File { .. } => ('-', "file"),
        NodeKind::Dir { .. } => ('d', "dir"),
        NodeKind::Symlink { .. } => ('l', "symlink"),
        NodeKind::BlockDevice { .. } => ('b', "dev"),
        NodeKind::CharDevice { .. } => ('c', "chardev"),
        NodeKind::Fifo => ('p', "fifo"),
        NodeKind::Socket => ('s', "socket"),
        NodeKind::Irregular => ('?', "irregular"),
    }
}

fn size(kind: &NodeKind) -> Option<u64> {
    match kind {
        NodeKind::File { size, .. } => Some(*size),
        _ => None,
    }
}

/// `rwxr-xr-x`, with setuid, setgid and sticky as `ls` shows them.
fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::{Metadata, Node};

    use super::*;

    #[test]
    fn permissions_as_ls_shows_them() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o6644, "rwSr-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }

    #[test]
    fn names_are_escaped_on_a_terminal_only() {
        let entry = Entry {
            path: b"/a\n\xff".to_vec(),
            node: Node {
                name: b"a\n\xff".to_vec(),
                kind: NodeKind::Symlink {
                    target: b"/t\x1b".to_vec(),
                },
                meta: Metadata {
                    mode: 0o777,
                    ..Metadata::default()
                },
            },
        };
        let shown = |long, terminal| {
            let mut text = Vec::new();
            line(&mut text, &entry, long, terminal);
            text
        };
        assert_eq!(shown(false, false), b"/a\n\xff\n");
        assert_eq!(shown(false, true), b"/a\\n\\xff\n");
        let long = String::from_utf8(shown(true, true)).unwrap();
        assert!(
            long.starts_with("lrwxrwxrwx     0     0            - 1970-01-01 "),
            "{long}"
        );
        assert!(long.ends_with(" /a\\n\\xff -> /t\\x1b\n"), "{long}");
        let json = serde_json::to_value(JsonEntry::new(&entry)).unwrap();
        assert_eq!(json["path_hex"], "2f610aff");
        assert_eq!(json["mode"], "0777");
    }
}
