//! One file as it is, or a folder as a tar archive, into a stream.
//!
//! The archive is POSIX pax: names of any bytes and length, times to the nanosecond, extended attributes, hard
//! links, devices. Sockets have no place in it and are left out. Every blob is checked against its hash before a byte
//! of it is written; where one is damaged the stream ends without the archive's end, and with an error.

use std::{collections::HashMap, io::Write};

use lifeboat_capture::Cancel;
use lifeboat_vault::{
    Descend, FileReader, Reader, Snapshot,
    node::{Node, NodeKind},
};
use tar::{EntryType, Header};

use crate::{RecoveryError, Result, files::root_of};

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dumped {
    /// Whether it is an archive.
    pub archive: bool,
    /// Entries.
    pub entries: u64,
    /// Sockets and the like, which have no place in an archive.
    pub left_out: u64,
}

/// Writes what is at a path: a file's bytes (with `archive`: a tar of one file), a folder as tar.
///
/// `before` is asked once it is known whether an archive will be written, and before the first byte.
pub fn dump(
    reader: &Reader,
    snapshot: &Snapshot,
    path: &[u8],
    archive: bool,
    cancel: &Cancel,
    out: &mut dyn Write,
    before: &mut dyn FnMut(bool) -> Result<()>,
) -> Result<Dumped> {
    let mut root = root_of(snapshot)?;
    let parts: Vec<&[u8]> = path
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    let shown = || format!("/{}", parts.join(&b'/').escape_ascii());
    if parts.iter().any(|part| matches!(*part, b"." | b"..")) {
        return Err(RecoveryError::NotFound(format!(
            "`{}` is no path in a recovery point: write it without `.` and `..`",
            path.escape_ascii()
        )));
    }
    let mut tar = Tar {
        out,
        names: HashMap::new(),
        dumped: Dumped {
            archive: true,
            ..Dumped::default()
        },
    };
    if !parts.is_empty() {
        let node = reader.lookup(root, &parts)?.ok_or_else(|| {
            RecoveryError::NotFound(format!(
                "there is no {} in this recovery point; `lifeboat ls` shows what there is",
                shown()
            ))
        })?;
        match &node.kind {
            NodeKind::Dir { subtree } => root = *subtree,
            NodeKind::File { .. } if !archive => {
                before(false)?;
                copy(&mut reader.file(&node)?, tar.out, cancel)?;
                return Ok(Dumped {
                    entries: 1,
                    ..Dumped::default()
                });
            }
            NodeKind::File { .. } => {
                before(true)?;
                tar.entry(reader, &parts.join(&b'/'), &node, cancel)?;
                return tar.end();
            }
            _ => {
                return Err(RecoveryError::Refused(format!(
                    "{} is neither a file nor a folder, and has no content to write; its folder can be dumped",
                    shown()
                )));
            }
        }
    }
    before(true)?;
    let prefix = parts.join(&b'/');
    let mut failed = None;
    reader.walk(root, &mut |below, node| {
        let mut name = prefix.clone();
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(below);
        match tar.entry(reader, &name, node, cancel) {
            Ok(()) => Ok(Descend::Into),
            Err(error) => {
                failed = Some(error);
                Ok(Descend::Stop)
            }
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => tar.end(),
    }
}

/// Writes a file's bytes, each piece checked before it goes.
fn copy(file: &mut FileReader, out: &mut dyn Write, cancel: &Cancel) -> Result<()> {
    loop {
        if cancel.is_cancelled() {
            return Err(RecoveryError::Interrupted);
        }
        let chunk = file.next_chunk()?;
        if chunk.is_empty() {
            return Ok(out.flush()?);
        }
        out.write_all(chunk)?;
    }
}

struct Tar<'w> {
    out: &'w mut dyn Write,
    /// Files with several names: the first name in this archive.
    names: HashMap<(u64, u64), Vec<u8>>,
    dumped: Dumped,
}

impl Tar<'_> {
    fn entry(&mut self, reader: &Reader, name: &[u8], node: &Node, cancel: &Cancel) -> Result<()> {
        if cancel.is_cancelled() {
            return Err(RecoveryError::Interrupted);
        }
        let meta = &node.meta;
        let mut header = Header::new_ustar();
        // What has no content says so: strict readers take an empty field for damage.
        header.set_size(0);
        let mut name = name.to_vec();
        let mut link: Option<Vec<u8>> = None;
        let mut content = None;
        match &node.kind {
            NodeKind::File { .. } => {
                let inode = (meta.inode, meta.device_id);
                match self.names.get(&inode).filter(|_| meta.links > 1) {
                    Some(first) => {
                        header.set_entry_type(EntryType::Link);
                        link = Some(first.clone());
                    }
                    None => {
                        header.set_entry_type(EntryType::Regular);
                        let file = reader.file(node)?;
                        header.set_size(file.len());
                        content = Some(file);
                        if meta.links > 1 {
                            self.names.insert(inode, name.clone());
                        }
                    }
                }
            }
            NodeKind::Dir { .. } => {
                header.set_entry_type(EntryType::Directory);
                name.push(b'/');
            }
            NodeKind::Symlink { target } => {
                header.set_entry_type(EntryType::Symlink);
                link = Some(target.clone());
            }
            NodeKind::BlockDevice { device } => {
                device_numbers(&mut header, EntryType::Block, *device)?
            }
            NodeKind::CharDevice { device } => {
                device_numbers(&mut header, EntryType::Char, *device)?
            }
            NodeKind::Fifo => header.set_entry_type(EntryType::Fifo),
            NodeKind::Socket | NodeKind::Irregular => {
                self.dumped.left_out += 1;
                return Ok(());
            }
        }
        header.set_mode(meta.mode);
        header.set_uid(u64::from(meta.uid));
        header.set_gid(u64::from(meta.gid));
        header.set_mtime(u64::try_from(meta.mtime.secs).unwrap_or(0));
        let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
        if !fill(&mut header.as_old_mut().name, &name) {
            pax.push(("path".to_owned(), name));
        }
        if let Some(link) = link
            && !fill(&mut header.as_old_mut().linkname, &link)
        {
            pax.push(("linkpath".to_owned(), link));
        }
        if meta.mtime.nanos != 0 || meta.mtime.secs < 0 {
            pax.push((
                "mtime".to_owned(),
                decimal(meta.mtime.as_nanos()).into_bytes(),
            ));
        }
        if let Some(ustar) = header.as_ustar_mut() {
            for (field, owner) in [
                (&mut ustar.uname, &meta.user),
                (&mut ustar.gname, &meta.group),
            ] {
                // A name that does not fit is left out: the number counts.
                if owner.len() < field.len() {
                    fill(field, owner.as_bytes());
                }
            }
        }
        for xattr in &meta.xattrs {
            // pax ends a key at the first `=`.
            if let Ok(name) = std::str::from_utf8(&xattr.name)
                && !name.contains('=')
            {
                pax.push((format!("SCHILY.xattr.{name}"), xattr.value.clone()));
            }
        }
        header.set_cksum();
        if !pax.is_empty() {
            self.extended(&pax)?;
        }
        self.dumped.entries += 1;
        self.out.write_all(header.as_bytes())?;
        if let Some(mut file) = content {
            let size = file.len();
            copy(&mut file, self.out, cancel)?;
            self.fill_block(size)?;
        }
        Ok(())
    }

    /// What the next entry's header has no room for: `LENGTH KEY=VALUE`, where the length counts itself.
    fn extended(&mut self, records: &[(String, Vec<u8>)]) -> Result<()> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        fill(&mut header.as_old_mut().name, b"pax");
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(&bytes)?;
        self.fill_block(bytes.len() as u64)
    }

    /// Whole blocks of 512 bytes.
    fn fill_block(&mut self, size: u64) -> Result<()> {
        let rest = (512 - size % 512) % 512;
        Ok(self.out.write_all(&[0; 512][..rest as usize])?)
    }

    /// Two empty blocks. Nothing else writes them: an archive that was broken off has no end.
    fn end(self) -> Result<Dumped> {
        self.out.write_all(&[0; 1024])?;
        self.out.flush()?;
        Ok(self.dumped)
    }
}

/// Puts bytes into a field of a header. What does not fit is cut, and the caller told.
fn fill(field: &mut [u8], bytes: &[u8]) -> bool {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
    // Readers differ in what they take for text beyond ASCII in the old fields.
    bytes.len() <= field.len() && bytes.is_ascii()
}

fn device_numbers(header: &mut Header, kind: EntryType, device: u64) -> Result<()> {
    header.set_entry_type(kind);
    header.set_device_major(rustix::fs::major(device))?;
    header.set_device_minor(rustix::fs::minor(device))?;
    Ok(())
}

/// Nanoseconds as seconds with a fraction, as pax writes them.
fn decimal(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!(
        "{sign}{}.{:09}",
        nanos / 1_000_000_000,
        nanos % 1_000_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970() {
        assert_eq!(decimal(1_500_000_000), "1.500000000");
        assert_eq!(decimal(-1), "-0.000000001");
        assert_eq!(decimal(0), "0.000000000");
    }

    #[test]
    fn a_name_that_does_not_fit_is_said_elsewhere() {
        let mut field = [0; 4];
        assert!(fill(&mut field, b"abcd"));
        assert!(!fill(&mut field, b"abcde"));
        assert!(!fill(&mut field, "ä".as_bytes()));
    }
}
