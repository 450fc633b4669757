//! Files of the other machine, over a session. Reads and writes have many requests on the way at once, so
//! that a long line is used.

use std::{collections::VecDeque, time::Instant};

use crossbeam_channel::Receiver;

use super::{
    session::{Lost, Reply, Session},
    wire::{self, Attributes, Body, Fields},
};
use crate::Limits;

/// Every server takes so much at once.
const PIECE: usize = 32 << 10;
/// Requests on the way for one file.
const ON_THE_WAY: usize = 64;
const FSYNC: &str = "fsync@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";

/// What went wrong, by what can be done about it.
#[derive(Debug)]
pub(super) enum Trouble {
    Lost(Lost),
    NotFound,
    Denied(String),
    Full,
    /// A file that has more bytes than it may.
    TooLarge,
    Failed(String),
}

/// What is read of a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    /// All of it, where it has no more bytes than that.
    Whole(u64),
    /// So many bytes from there.
    Range(u64, usize),
}

type Result<T, E = Trouble> = std::result::Result<T, E>;

impl From<Lost> for Trouble {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

pub(super) struct Files<'a> {
    pub session: &'a Session,
    pub limits: &'a Limits,
}

impl Files<'_> {
    pub fn stat(&self, path: &str) -> Result<Attributes> {
        let reply = self.ask(wire::STAT, Body::default().bytes(path.as_bytes()))?;
        match reply.kind {
            wire::ATTRS => Fields(&reply.body).attributes().ok_or_else(odd),
            _ => Err(trouble(&reply)),
        }
    }

    pub fn remove(&self, path: &str) -> Result<()> {
        done(&self.ask(wire::REMOVE, Body::default().bytes(path.as_bytes()))?)
    }

    /// Refused where the new name is taken.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let body = Body::default().bytes(from.as_bytes()).bytes(to.as_bytes());
        done(&self.ask(wire::RENAME, body)?)
    }

    /// Makes a folder and those that it lies in; content if it is there.
    pub fn make_folder(&self, path: &str) -> Result<()> {
        match self.stat(path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(Trouble::Failed(format!("{path} is no folder"))),
            Err(Trouble::NotFound) => {}
            Err(e) => return Err(e),
        }
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(p, _)| !p.is_empty()) {
            self.make_folder(parent)?;
        }
        let body = Body::default().bytes(path.as_bytes()).mode(0o700);
        match done(&self.ask(wire::MKDIR, body)?) {
            // Another may have been faster.
            Err(Trouble::Failed(_)) if self.stat(path).is_ok_and(|found| found.is_dir()) => Ok(()),
            other => other,
        }
    }

    /// Names and attributes of what a folder holds.
    pub fn entries(&self, path: &str) -> Result<Vec<(String, Attributes)>> {
        let handle = self.handle(wire::OPENDIR, Body::default().bytes(path.as_bytes()))?;
        let mut found = Vec::new();
        let listed = loop {
            let reply = match self.ask(wire::READDIR, Body::default().bytes(&handle)) {
                Ok(reply) => reply,
                Err(e) => break Err(e),
            };
            if reply.kind != wire::NAME {
                break match status(&reply) {
                    Some((wire::END, _)) => Ok(()),
                    _ => Err(trouble(&reply)),
                };
            }
            if names(&reply.body, &mut found).is_none() {
                break Err(odd());
            }
        };
        let closed = self.close(&handle);
        listed.and(closed)?;
        Ok(found)
    }

    /// A new file with these bytes, on the disk there as far as the server can say so. It is taken away
    /// again if it cannot be written.
    pub fn write_new(&self, path: &str, folder: &str, bytes: &[u8]) -> Result<()> {
        let open = || {
            let body = Body::default().bytes(path.as_bytes());
            self.handle(wire::OPEN, body.u32(wire::NEW).mode(0o600))
        };
        let handle = match open() {
            Err(Trouble::NotFound) => {
                self.make_folder(folder)?;
                open()?
            }
            other => other?,
        };
        let synced = || match self.session.knows(FSYNC) {
            true => {
                let body = Body::default().bytes(FSYNC.as_bytes()).bytes(&handle);
                done(&self.ask(wire::EXTENDED, body)?)
            }
            false => Ok(()),
        };
        let written = self.write_all(&handle, bytes).and_then(|()| synced());
        match written.and(self.close(&handle)) {
            Ok(()) => Ok(()),
            Err(e) => {
                let _ = self.remove(path);
                // A full disk has no status of its own.
                let room = self.free(folder).unwrap_or(u64::MAX);
                match e {
                    Trouble::Failed(_) if room < (bytes.len() as u64).max(64 << 10) => {
                        Err(Trouble::Full)
                    }
                    e => Err(e),
                }
            }
        }
    }

    fn write_all(&self, handle: &[u8], bytes: &[u8]) -> Result<()> {
        let mut answers: VecDeque<Receiver<Reply>> = VecDeque::new();
        let mut offset = 0u64;
        for piece in bytes.chunks(PIECE) {
            if answers.len() >= ON_THE_WAY
                && let Some(answer) = answers.pop_front()
            {
                done(&self.session.wait(&answer)?)?;
            }
            if let Some(bucket) = &self.limits.upload {
                std::thread::sleep(bucket.take(Instant::now(), piece.len()));
            }
            let body = Body::default().bytes(handle).u64(offset).bytes(piece);
            answers.push_back(self.session.send(wire::WRITE, body)?);
            offset += piece.len() as u64;
        }
        for answer in answers {
            done(&self.session.wait(&answer)?)?;
        }
        Ok(())
    }

    /// A range of a file, or all of it; `None` if it is shorter.
    pub fn read(&self, path: &str, what: Read) -> Result<Option<Vec<u8>>> {
        // Before memory is asked for: lengths come from files that may be damaged.
        let size = self.stat(path)?.size.ok_or_else(odd)?;
        let (offset, length) = match what {
            Read::Range(offset, length) => (offset, length as u64),
            Read::Whole(largest) if size > largest => return Err(Trouble::TooLarge),
            Read::Whole(_) => (0, size),
        };
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Ok(None);
        }
        let body = Body::default().bytes(path.as_bytes());
        let handle = self.handle(wire::OPEN, body.u32(wire::FOR_READING).u32(0))?;
        let read = self.read_all(&handle, offset, length);
        let closed = self.close(&handle);
        let bytes = read?;
        closed?;
        Ok((bytes.len() as u64 == length).then_some(bytes))
    }

    fn read_all(&self, handle: &[u8], offset: u64, length: u64) -> Result<Vec<u8>> {
        let ask = |from: u64, count: u64| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let body = Body::default().bytes(handle).u64(offset + from).u32(count);
            self.session.send(wire::READ, body)
        };
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let mut asked = 0u64;
        let mut answers = VecDeque::new();
        loop {
            while asked < length && answers.len() < ON_THE_WAY {
                let count = (length - asked).min(PIECE as u64);
                answers.push_back((ask(asked, count)?, asked + count));
                asked += count;
            }
            let Some((answer, until)) = answers.pop_front() else {
                return Ok(bytes);
            };
            let mut reply = self.session.wait(&answer)?;
            loop {
                match reply.kind {
                    wire::DATA => {
                        let data = Fields(&reply.body).bytes().ok_or_else(odd)?;
                        if data.is_empty() || bytes.len() as u64 + data.len() as u64 > until {
                            return Err(odd());
                        }
                        bytes.extend_from_slice(data);
                        if let Some(bucket) = &self.limits.download {
                            std::thread::sleep(bucket.take(Instant::now(), data.len()));
                        }
                    }
                    _ => match status(&reply) {
                        // Shorter than it was a moment ago.
                        Some((wire::END, _)) => return Ok(bytes),
                        _ => return Err(trouble(&reply)),
                    },
                }
                let have = bytes.len() as u64;
                if have >= until {
                    break;
                }
                // A server may give less than it was asked for.
                reply = self.session.wait(&ask(have, until - have)?)?;
            }
        }
    }

    /// Free bytes where a path lies, if the server can tell.
    pub fn free(&self, path: &str) -> Option<u64> {
        self.session.knows(STATVFS).then_some(())?;
        let body = Body::default().bytes(STATVFS.as_bytes());
        let reply = self.ask(wire::EXTENDED, body.bytes(path.as_bytes())).ok()?;
        (reply.kind == wire::EXTENDED_REPLY).then_some(())?;
        let mut fields = Fields(&reply.body);
        // f_bsize, f_frsize, f_blocks, f_bfree, f_bavail
        let (_, unit) = (fields.u64()?, fields.u64()?);
        let (_, _, available) = (fields.u64()?, fields.u64()?, fields.u64()?);
        Some(available.saturating_mul(unit))
    }

    fn ask(&self, kind: u8, body: Body) -> Result<Reply> {
        Ok(self.session.ask(kind, body)?)
    }

    fn handle(&self, kind: u8, body: Body) -> Result<Vec<u8>> {
        let reply = self.ask(kind, body)?;
        match reply.kind {
            wire::HANDLE => Ok(Fields(&reply.body).bytes().ok_or_else(odd)?.to_vec()),
            _ => Err(trouble(&reply)),
        }
    }

    fn close(&self, handle: &[u8]) -> Result<()> {
        done(&self.ask(wire::CLOSE, Body::default().bytes(handle))?)
    }
}

fn names(body: &[u8], found: &mut Vec<(String, Attributes)>) -> Option<()> {
    let mut fields = Fields(body);
    for _ in 0..fields.u32()? {
        let name = fields.bytes()?;
        let _long = fields.bytes()?;
        let attributes = fields.attributes()?;
        // What is not UTF-8 is not ours.
        if let Ok(name) = std::str::from_utf8(name) {
            found.push((name.to_owned(), attributes));
        }
    }
    Some(())
}

fn status(reply: &Reply) -> Option<(u32, String)> {
    (reply.kind == wire::STATUS).then_some(())?;
    let mut fields = Fields(&reply.body);
    let code = fields.u32()?;
    let said = fields.bytes().map(String::from_utf8_lossy);
    Some((code, said.unwrap_or_default().chars().take(200).collect()))
}

fn done(reply: &Reply) -> Result<()> {
    match status(reply) {
        Some((wire::OK, _)) => Ok(()),
        _ => Err(trouble(reply)),
    }
}

fn trouble(reply: &Reply) -> Trouble {
    match status(reply) {
        Some((wire::NO_SUCH_FILE, _)) => Trouble::NotFound,
        Some((wire::PERMISSION_DENIED, said)) => Trouble::Denied(said),
        Some((_, said)) => Trouble::Failed(format!("the server said: {said}")),
        None => odd(),
    }
}

fn odd() -> Trouble {
    Trouble::Failed("the server's answer cannot be read".to_owned())
}
