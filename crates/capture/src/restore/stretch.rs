//! How the bytes of a file reach it: those of a large one past the page cache (`O_DIRECT`, open(2)), whole pages at a time.
//!
//! A restore is synced before it is said to be done, so that each byte is written to the disk at once. Through the page
//! cache it would first be copied into pages that are found, zeroed and written back by the same processors that
//! decompress and hash.

use std::os::fd::AsRawFd;

use rustix::{
    fd::OwnedFd,
    fs::{FallocateFlags, Mode, OFlags, fallocate},
    io::Errno,
};

/// What memory, place and length of a direct write are multiples of: a page, and no device's block is larger.
const PAGE: usize = 4096;
/// Bytes that are gathered and written at once.
const GATHERED: usize = 4 << 20;
/// File systems whose direct writes are as good as their buffered ones: ext2 to ext4, and XFS.
const KNOWN: [i64; 2] = [0xef53, XFS];
const XFS: i64 = 0x5846_5342;

/// Whether small files of a file system get their blocks as they are written, rather than when they go to the disk.
///
/// XFS looks for a block near the file's inode, which can take long where many files are new. All of that would be left
/// to the one thread of the kernel that writes files to the disk, and the sync at the end would wait for it.
pub(super) fn allocates_early(dir: &OwnedFd) -> bool {
    rustix::fs::fstatfs(dir).is_ok_and(|s| s.f_type == XFS)
}

/// A second opening of a file, for whole pages.
pub(super) struct Direct(OwnedFd);

impl Direct {
    /// Of a file that will have so many bytes. Nothing where the file system does not have it.
    pub(super) fn open(file: &OwnedFd, size: u64) -> Option<Self> {
        let known = rustix::fs::fstatfs(file).is_ok_and(|s| KNOWN.contains(&s.f_type));
        if !known {
            return None;
        }
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let direct = rustix::fs::open(again, flags, Mode::empty()).ok()?;
        // Writes that make a file longer wait for each other.
        rustix::fs::ftruncate(file, size).ok()?;
        Some(Self(direct))
    }
}

/// Neighbouring bytes of a file on their way, of one thread.
pub(super) struct Stretch<'f> {
    file: &'f OwnedFd,
    direct: Option<&'f Direct>,
    /// Whether blocks are asked for before bytes are written.
    allocate: bool,
    /// The byte for the file's offset `o` lies at `o % PAGE` behind a page's begin.
    memory: Vec<u8>,
    from: u64,
    len: usize,
}

impl<'f> Stretch<'f> {
    /// `memory` is that of another one, or empty.
    pub(super) fn new(file: &'f OwnedFd, direct: Option<&'f Direct>, mut memory: Vec<u8>) -> Self {
        if direct.is_some() {
            memory.resize(GATHERED + PAGE, 0);
        }
        Self {
            file,
            direct,
            allocate: false,
            memory,
            from: 0,
            len: 0,
        }
    }

    /// Of a small file; see [`allocates_early`].
    pub(super) fn of_small(file: &'f OwnedFd, allocate: bool) -> Self {
        Self {
            allocate,
            ..Self::new(file, None, Vec::new())
        }
    }

    /// Writes bytes, or keeps them until [`Stretch::flush`].
    pub(super) fn add(&mut self, mut bytes: &[u8], mut at: u64) -> rustix::io::Result<()> {
        if self.direct.is_none() {
            if self.allocate {
                // Whatever is wrong, the write says it.
                let _ = fallocate(self.file, FallocateFlags::KEEP_SIZE, at, bytes.len() as u64);
            }
            return write_at(self.file, bytes, at);
        }
        while !bytes.is_empty() {
            if self.from + self.len as u64 != at {
                self.flush()?;
                self.from = at;
            }
            let (skew, begin) = (self.skew(), self.begin());
            let room = GATHERED - skew - self.len;
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.memory[begin + self.len..][..now.len()].copy_from_slice(now);
            self.len += now.len();
            if now.len() == room {
                self.flush()?;
            }
            bytes = rest;
            at += now.len() as u64;
        }
        Ok(())
    }

    /// Writes what was kept.
    pub(super) fn flush(&mut self) -> rustix::io::Result<()> {
        let (skew, begin) = (self.skew(), self.begin());
        let all = &self.memory[begin..][..self.len];
        let head = ((PAGE - skew) % PAGE).min(all.len());
        let (head, rest) = all.split_at(head);
        let (pages, tail) = rest.split_at(rest.len() / PAGE * PAGE);
        write_at(self.file, head, self.from)?;
        let at = self.from + head.len() as u64;
        let done = match self.direct {
            Some(direct) => write_pages(&direct.0, pages, at)?,
            None => 0,
        };
        write_at(self.file, &pages[done..], at + done as u64)?;
        write_at(self.file, tail, at + pages.len() as u64)?;
        self.from += self.len as u64;
        self.len = 0;
        Ok(())
    }

    /// The memory, for another one.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.memory
    }

    /// Of the first byte, behind a page's begin.
    fn skew(&self) -> usize {
        usize::try_from(self.from % PAGE as u64).unwrap_or(0)
    }

    /// Where in the memory the first byte lies.
    fn begin(&self) -> usize {
        match self.direct {
            Some(_) => self.memory.as_ptr().align_offset(PAGE) + self.skew(),
            None => 0,
        }
    }
}

/// How far it came: to the end, or to where the device wants larger blocks than we have.
fn write_pages(direct: &OwnedFd, pages: &[u8], at: u64) -> rustix::io::Result<usize> {
    let mut done = 0;
    // A short write that ends within a page is followed by none.
    while done < pages.len() && done % PAGE == 0 {
        match rustix::io::pwrite(direct, &pages[done..], at + done as u64) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(Errno::INVAL) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    /// A file of so many bytes, written in pieces of which each begins where one of `cuts` is; what is between `hole` is
    /// left out.
    fn written(place: &std::path::Path, size: u64, cuts: &[u64], hole: std::ops::Range<u64>) {
        let dir = tempfile::tempdir_in(place).unwrap();
        let path = dir.path().join("file");
        let file = OwnedFd::from(std::fs::File::create_new(&path).unwrap());
        let direct = Direct::open(&file, size);
        let known = KNOWN.contains(&rustix::fs::fstatfs(&file).unwrap().f_type);
        assert_eq!(direct.is_some(), known);
        rustix::fs::ftruncate(&file, size).unwrap();
        let mut stretch = Stretch::new(&file, direct.as_ref(), Vec::new());
        let mut cuts: Vec<u64> = cuts
            .iter()
            .copied()
            .chain([0, hole.start, hole.end, size])
            .collect();
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            let bytes: Vec<u8> = (pair[0]..pair[1]).map(byte).collect();
            if pair[0] < hole.start || pair[0] >= hole.end {
                stretch.add(&bytes, pair[0]).unwrap();
            }
        }
        stretch.flush().unwrap();
        let read = fs_err::read(&path).unwrap();
        assert_eq!(read.len() as u64, size);
        let wrong = (0..size).find(|at| {
            let expected = if hole.contains(at) { 0 } else { byte(*at) };
            read[usize::try_from(*at).unwrap()] != expected
        });
        assert_eq!(wrong, None, "{size} bytes, cut at {cuts:?}");
        // It is an ordinary file afterwards.
        let again = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        again.write_all_at(b"x", 1).unwrap();
    }

    #[test]
    fn every_byte_gets_where_it_belongs() {
        let gathered = GATHERED as u64;
        // One of the disk, and one that has no direct writes of its own.
        for place in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let place: &std::path::Path = place.as_ref();
            if !place.is_dir() {
                continue;
            }
            written(place, 10, &[], 0..0);
            written(place, 3 * gathered, &[], 0..0);
            written(
                place,
                3 * gathered + 4097,
                &[1, 4095, 4096, 4097, gathered - 1],
                0..0,
            );
            written(
                place,
                2 * gathered + 17,
                &[5000, gathered + 3, 2 * gathered],
                8192..12_288,
            );
            written(place, 2 * gathered, &[100, 200, 300], 7000..gathered + 7001);
            let many: Vec<u64> = (0..40).map(|n| n * 300_007).collect();
            written(place, 12_000_281, &many, 600_014..900_021);
        }
    }
}
