//! Large objects written past the page cache (`O_DIRECT`, open(2)).
//!
//! A pack is written once, synced at once, and not read for a long time. Through the page cache each of its bytes would be
//! copied into pages that are found, zeroed and written back by the same processors that hash and compress (38 % of the
//! CPU of a first backup of data that do not compress), and the pages would push out what the host's apps have there.

use std::io::{self, Write};

use fs_err as fs;
use rustix::{fs::OFlags, io::Errno};

/// What memory, place and length of a write are multiples of: a page, and no device's block is larger.
const ALIGN: usize = 4096;
/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;
/// From so many bytes on an object is worth it.
const LARGE: usize = 1 << 20;

/// File systems whose direct writes are as good as their buffered ones: ext2 to ext4, and XFS. Others take the flag and
/// write through the cache all the same, or make each write a round trip to a server.
const KNOWN: [i64; 2] = [0xef53, 0x5846_5342];

/// Writes all of it to an empty file.
pub(super) fn write(file: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
    let known = || rustix::fs::fstatfs(&*file).is_ok_and(|s| KNOWN.contains(&s.f_type));
    let mut done = 0;
    if bytes.len() >= LARGE && known() && set_direct(file, true).is_ok() {
        done = write_aligned(file, &bytes[..bytes.len() / ALIGN * ALIGN])?;
        set_direct(file, false)?;
    }
    file.write_all(&bytes[done..])
}

fn set_direct(file: &fs::File, direct: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}

/// How far it came: to the end, or to where the device wants larger blocks than we have. Memory that begins at a page is
/// written as it lies; other is copied first.
fn write_aligned(file: &fs::File, bytes: &[u8]) -> io::Result<usize> {
    let in_place = bytes.as_ptr().align_offset(ALIGN) == 0;
    let mut memory = vec![0; if in_place { 0 } else { PIECE + ALIGN }];
    let skip = memory.as_ptr().align_offset(ALIGN);
    let mut done = 0;
    while done < bytes.len() {
        let mut piece = &bytes[done..];
        if !in_place {
            piece = &piece[..piece.len().min(PIECE)];
            let aligned = &mut memory[skip..skip + piece.len()];
            aligned.copy_from_slice(piece);
            piece = aligned;
        }
        let written = match rustix::io::write(file, piece) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(Errno::INVAL) => return Ok(done),
            Err(e) => return Err(e.into()),
        };
        done += written;
        // The next write would begin where none may.
        if written % ALIGN != 0 {
            return Ok(done);
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read, Seek, SeekFrom};

    use rustix::io::{ReadWriteFlags, preadv2};

    use super::*;

    /// From memory that begins so many bytes behind a page's begin.
    fn written_from(place: &std::path::Path, length: usize, skew: usize) -> fs::File {
        let mut memory = vec![0; length + 2 * ALIGN];
        let begin = memory.as_ptr().align_offset(ALIGN) + skew;
        let bytes = &mut memory[begin..begin + length];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (n % 251) as u8;
        }
        let mut file = fs::OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .open(place.join(format!("{length}-{skew}")))
            .unwrap();
        write(&mut file, bytes).unwrap();
        // Later writes of a caller are ordinary ones.
        file.write_all(b"more").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn written(place: &std::path::Path, length: usize) -> fs::File {
        written_from(place, length, 16)
    }

    #[test]
    fn every_length_arrives_whole() {
        // One of the disk, and one that has no direct writes of its own.
        let places = [std::env::temp_dir(), "/dev/shm".into()];
        for place in places.iter().filter(|place| place.is_dir()) {
            let dir = tempfile::tempdir_in(place).unwrap();
            for length in [
                0,
                1,
                LARGE - 1,
                LARGE,
                LARGE + 1,
                3 * PIECE + 4095,
                4 * PIECE,
            ] {
                // As it lies, and copied.
                for skew in [0, 16] {
                    let mut file = written_from(dir.path(), length, skew);
                    let mut read = Vec::new();
                    file.read_to_end(&mut read).unwrap();
                    assert_eq!(read.len(), length + 4);
                    let wrong = read[..length]
                        .iter()
                        .enumerate()
                        .find(|(n, byte)| **byte != (n % 251) as u8);
                    assert_eq!(wrong, None, "of {length} bytes, {skew}");
                    assert_eq!(&read[length..], b"more");
                }
            }
        }
    }

    #[test]
    fn what_is_large_stays_out_of_the_page_cache() {
        // The sources lie on a disk, wherever temporary files are.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let is_cached = |file: &fs::File| {
            let mut byte = [0];
            let mut into = [IoSliceMut::new(&mut byte)];
            preadv2(file, &mut into, 0, ReadWriteFlags::NOWAIT) != Err(Errno::AGAIN)
        };
        assert!(is_cached(&written(dir.path(), LARGE - 1)));
        let large = written(dir.path(), LARGE);
        let known = KNOWN.contains(&rustix::fs::fstatfs(&large).unwrap().f_type);
        assert_eq!(is_cached(&large), !known);
    }
}
