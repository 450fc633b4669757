//! A part of a tree as a tar stream, made while the engine takes it: one blob of the vault, opened and
//! checked, is in memory at a time.

use std::io::{self, Read};

use lifeboat_vault::{
    FileReader, Reader, VaultError,
    node::{Node, NodeKind},
};
use tar::EntryType;

use super::{
    encode::{self, BLOCK, Head},
    walk::{Entry, Walk},
};
use crate::{Context, RecoveryError, Result, restore::ids::Shift};

/// How much goes out in one stream: what an interruption has to send again, at most (a larger file goes
/// out whole).
const BYTES: u64 = 64 << 20;
/// How many entries.
const ENTRIES: u64 = 2000;
/// The shortest run of zeros that would have been a hole.
const HOLE: usize = 4096;

/// Which entries go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Everything; folders are ours alone.
    Content {
        /// The root is there already, and is left as it is.
        root_is_there: bool,
    },
    /// The root alone, so that it is known to be ours.
    Root,
    /// Folders alone, with their owners, modes, attributes and times.
    Folders,
}

/// What went out.
#[derive(Debug, Default)]
pub struct Sent {
    /// Bytes of files.
    pub bytes: u64,
    /// Runs of zeros, which the engine writes as such.
    pub zeros: u64,
    /// Sockets, which no archive can hold.
    pub sockets: u64,
    /// Things with a time before 1970, which engines set to 1970.
    pub old: u64,
    /// Extended attributes that an archive cannot name.
    pub unsaid: Vec<String>,
}

/// One stream.
pub struct Stream<'a, 'r> {
    pub ctx: &'a Context,
    pub reader: &'r Reader,
    pub walk: &'a mut Walk<'r>,
    pub pass: Pass,
    /// Where the root goes, without a leading `/`.
    pub base: &'a [u8],
    pub shift: Shift,
    pub sent: &'a mut Sent,
    state: State,
}

#[derive(Default)]
struct State {
    ready: Vec<u8>,
    at: usize,
    file: Option<FileReader>,
    left: u64,
    size: u64,
    entries: u64,
    bytes: u64,
    told: u64,
    last: Option<Vec<u8>>,
    ended: bool,
    all: bool,
    failed: Option<RecoveryError>,
}

impl<'a, 'r> Stream<'a, 'r> {
    pub fn new(
        ctx: &'a Context,
        reader: &'r Reader,
        walk: &'a mut Walk<'r>,
        pass: Pass,
        base: &'a [u8],
        shift: Shift,
        sent: &'a mut Sent,
    ) -> Self {
        Self {
            ctx,
            reader,
            walk,
            pass,
            base,
            shift,
            sent,
            state: State::default(),
        }
    }

    /// How it ended: the path of the last entry, if there was one, and whether nothing is left to send.
    /// Our own failure says more than the engine's words about half a stream.
    pub fn end<T>(self, outcome: lifeboat_engine::Result<T>) -> Result<(Option<Vec<u8>>, bool)> {
        if let Some(why) = self.state.failed {
            return Err(why);
        }
        outcome?;
        Ok((self.state.last, self.state.all))
    }

    fn fill(&mut self) -> Result<()> {
        self.ctx.stop_if_cancelled()?;
        let state = &mut self.state;
        state.ready.clear();
        state.at = 0;
        if let Some(file) = &mut state.file {
            if state.left == 0 {
                encode::pad(&mut state.ready, state.size);
                state.file = None;
                self.ctx.progress.advance(1, 0);
                return Ok(());
            }
            let piece = file.next_chunk()?;
            if piece.is_empty() {
                return Err(VaultError::damaged("a file", "it ends before its length").into());
            }
            if piece.len() >= HOLE && piece.iter().all(|b| *b == 0) {
                self.sent.zeros += piece.len() as u64;
            }
            state.ready.extend_from_slice(piece);
            state.left = state.left.saturating_sub(piece.len() as u64);
            self.sent.bytes += piece.len() as u64;
            state.told += piece.len() as u64;
            self.ctx.progress.advance(0, piece.len() as u64);
            if state.told >= 1 << 20 {
                state.told = 0;
                self.ctx.progress.step("far-stream");
            }
            return Ok(());
        }
        let full = match self.pass {
            Pass::Content { .. } => state.entries >= ENTRIES || state.bytes >= BYTES,
            Pass::Root => state.entries > 0,
            Pass::Folders => false,
        };
        let next = if full {
            None
        } else {
            let next = self.walk.next()?;
            self.state.all = next.is_none();
            next
        };
        match next {
            Some(entry) => self.begin(entry),
            None => {
                self.state.ended = true;
                self.state.ready.resize(2 * BLOCK, 0);
                Ok(())
            }
        }
    }

    fn begin(&mut self, entry: Entry) -> Result<()> {
        let Entry { path, node, first } = entry;
        let is_dir = matches!(node.kind, NodeKind::Dir { .. });
        self.state.last = Some(path.clone());
        let wanted = match self.pass {
            Pass::Folders => is_dir,
            Pass::Root => true,
            Pass::Content { root_is_there } => !(path.is_empty() && root_is_there),
        };
        if !wanted {
            return Ok(());
        }
        self.state.entries += 1;
        let name = self.named(&path);
        if let Some(first) = first {
            let to = self.named(&first);
            self.head(&name, EntryType::Link, &node, 0, Some(&to), 0);
            return Ok(());
        }
        match &node.kind {
            NodeKind::Dir { .. } => {
                let name = [name.as_slice(), b"/"].concat();
                self.head(&name, EntryType::Directory, &node, 0, None, 0);
            }
            NodeKind::File { size, .. } => {
                self.head(&name, EntryType::Regular, &node, *size, None, 0);
                self.state.bytes += size;
                self.state.size = *size;
                self.state.left = *size;
                self.state.file = Some(self.reader.file(&node)?);
            }
            NodeKind::Symlink { target } => {
                self.head(&name, EntryType::Symlink, &node, 0, Some(target), 0);
            }
            NodeKind::Fifo => self.head(&name, EntryType::Fifo, &node, 0, None, 0),
            NodeKind::BlockDevice { device } => {
                self.head(&name, EntryType::Block, &node, 0, None, *device);
            }
            NodeKind::CharDevice { device } => {
                self.head(&name, EntryType::Char, &node, 0, None, *device);
            }
            NodeKind::Socket => self.sent.sockets += 1,
            NodeKind::Irregular => {
                return Err(RecoveryError::Failed(format!(
                    "{} is of a kind that cannot be restored; nothing was started, choose another point",
                    path.escape_ascii()
                )));
            }
        }
        Ok(())
    }

    fn head(
        &mut self,
        name: &[u8],
        kind: EntryType,
        node: &Node,
        size: u64,
        link: Option<&[u8]>,
        device: u64,
    ) {
        let bare = kind.is_dir() && self.pass != Pass::Folders;
        if !bare && node.meta.mtime.secs < 0 {
            self.sent.old += 1;
        }
        let head = Head {
            name,
            kind,
            meta: (!bare).then_some(&node.meta),
            size,
            link,
            device,
        };
        let unsaid = encode::head(&mut self.state.ready, &head, self.shift);
        for xattr in unsaid {
            let (name, xattr) = (name.escape_ascii(), xattr.escape_ascii());
            self.sent.unsaid.push(format!("{xattr} of {name}"));
        }
    }

    fn named(&self, path: &[u8]) -> Vec<u8> {
        if path.is_empty() {
            self.base.to_vec()
        } else {
            [self.base, b"/", path].concat()
        }
    }
}

impl Read for Stream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.state.at == self.state.ready.len() {
            if self.state.ended {
                return Ok(0);
            }
            if let Err(why) = self.fill() {
                let words = why.to_string();
                self.state.failed = Some(why);
                return Err(io::Error::other(words));
            }
        }
        let rest = &self.state.ready[self.state.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.state.at += count;
        Ok(count)
    }
}
