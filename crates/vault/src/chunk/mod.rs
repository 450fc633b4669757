//! Where files are cut into blobs.
//!
//! The format asks nothing of chunking: it is the writer's choice, but a frozen one, because blobs are
//! only recognised again where the same cuts are made. Two ways:
//!
//! - content-defined (FastCDC), for files whose content moves when they are edited;
//! - fixed, aligned blocks, for large files that are changed in place (databases, disk images): an
//!   unchanged block stays the same blob, and one block is small enough to serve a page fault from.
//!
//! A [`Cutter`] streams: it is given the bytes since the last cut, as many as there are, and says where
//! the next cut lies. It never looks at a byte twice. Cuts depend on content and file offset alone,
//! never on how the bytes arrived.

mod fastcdc;
mod fixed;
mod gear;
mod hole;

pub use hole::{HOLE_BLOB, HOLE_MINIMUM, hole_blobs};

/// Largest blob that any policy cuts.
pub const LARGEST_BLOB: usize = LONGEST as usize;

/// Smallest file that is cut in fixed blocks.
const FIXED_FROM: u64 = 1 << 20;
/// Length of a block, and average length of a blob that is cut by content, unless the directory's total asks for a
/// longer one. It is short enough to serve a page fault from, and to be read for the sake of a few bytes.
const LENGTH: u32 = fastcdc::SHORTEST;
/// Longest block of a fixed policy.
const LONGEST: u32 = 8 << 20;
/// Databases and disk images have whole pages; what has not is cut by content.
const PAGE: u64 = 4096;
/// Content ids that one directory may list: 67 bytes of JSON each, about 16 MB together.
const CONTENT_IDS_MAX: u64 = (16 << 20) / 67;

/// Bytes that are looked at together where a cut may lie. What is behind a cut has to be moved, and this bounds it.
const PIECE: usize = 32 << 10;
/// The most bytes that are asked for at once.
const MOST: usize = 256 << 10;

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkPolicy {
    /// FastCDC v2020, frozen: lengths around `average`, from half of it to twice of it.
    ContentDefined {
        /// Bytes: a power of two from 256 KiB to 2 MiB (others are read as the nearest).
        average: u32,
    },
    /// Blocks of `size` bytes, aligned to the file's offset. Never 0 (read as 1).
    Fixed {
        /// Bytes of a block.
        size: u32,
    },
}

impl ChunkPolicy {
    /// By content, for a stream whose length nobody knows yet, and for what lies in a directory of its own.
    pub const CONTENT: ChunkPolicy = ChunkPolicy::ContentDefined { average: LENGTH };

    /// The policy for a file of `size` bytes in a directory whose files have `directory_bytes`
    /// together.
    ///
    /// Files of at least 1 MiB made of whole pages are taken for files that are changed in place and get fixed
    /// blocks; all others are cut by content. Blocks, and the average of the others, have 256 KiB, or the power of
    /// two (up to 8 MiB, 2 MiB) that keeps the content lists of the directory (one tree blob) below about 16 MB of
    /// JSON.
    pub fn for_file(size: u64, directory_bytes: u64) -> ChunkPolicy {
        let total = directory_bytes.max(size);
        let mut length = LENGTH;
        while length < LONGEST && total / u64::from(length) > CONTENT_IDS_MAX {
            length *= 2;
        }
        if size >= FIXED_FROM && size.is_multiple_of(PAGE) {
            ChunkPolicy::Fixed { size: length }
        } else {
            ChunkPolicy::ContentDefined {
                average: length.min(fastcdc::LONGEST),
            }
        }
    }
}

/// Finds the cuts of one file, streaming.
#[derive(Debug)]
pub struct Cutter(Inner);

#[derive(Debug)]
enum Inner {
    Content(fastcdc::FastCdc),
    Fixed(fixed::Fixed),
}

impl Cutter {
    /// A cutter at offset 0 of a file.
    pub fn new(policy: ChunkPolicy) -> Cutter {
        Cutter(match policy {
            ChunkPolicy::ContentDefined { average } => {
                Inner::Content(fastcdc::FastCdc::new(average))
            }
            ChunkPolicy::Fixed { size } => Inner::Fixed(fixed::Fixed::new(size)),
        })
    }

    /// Length of the next blob, which is `buffer[..length]`, or `None` where more bytes are needed.
    ///
    /// `buffer` holds all bytes since the last cut. After `Some(length)` the caller takes these bytes out
    /// of the buffer before the next call; after `None` it may only append. With `end_of_input` the
    /// rest is always cut off: `None` then means that `buffer` is empty. No buffer longer than
    /// twice the average (content-defined) or a block (fixed) is ever answered with `None`.
    pub fn next_cut(&mut self, buffer: &[u8], end_of_input: bool) -> Option<usize> {
        match &mut self.0 {
            Inner::Content(cutter) => cutter.next_cut(buffer, end_of_input),
            Inner::Fixed(cutter) => cutter.next_cut(buffer.len(), end_of_input),
        }
    }

    /// Bytes to append to a buffer of `length` bytes before it is worth another look: few enough that little lies behind
    /// a cut. At least 1.
    pub fn wants(&self, length: usize) -> usize {
        let sure = match &self.0 {
            Inner::Content(cutter) => match cutter.shortest().saturating_sub(length) {
                0 => PIECE,
                sure => sure + PIECE,
            },
            Inner::Fixed(cutter) => cutter.left(length),
        };
        sure.clamp(1, MOST)
    }

    /// Goes on at `offset` of the file, behind a hole, with an empty buffer. Fixed blocks stay
    /// aligned to the file's offset.
    pub fn restart(&mut self, offset: u64) {
        match &mut self.0 {
            Inner::Content(cutter) => cutter.restart(),
            Inner::Fixed(cutter) => cutter.restart(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_odd_files_are_cut_by_content() {
        assert_eq!(ChunkPolicy::for_file(0, 0), ChunkPolicy::CONTENT);
        let below = (1 << 20) - 4096;
        assert_eq!(ChunkPolicy::for_file(below, 0), ChunkPolicy::CONTENT);
        let odd = (1 << 20) + 1;
        assert_eq!(ChunkPolicy::for_file(odd, 1 << 30), ChunkPolicy::CONTENT);
    }

    #[test]
    fn averages_grow_with_the_directory() {
        let average = |total| match ChunkPolicy::for_file(5, total) {
            ChunkPolicy::ContentDefined { average } => average,
            ChunkPolicy::Fixed { .. } => 0,
        };
        assert_eq!(average(40 << 30), 256 << 10);
        assert_eq!(average(100 << 30), 512 << 10);
        assert_eq!(average(1 << 50), 2 << 20);
    }

    #[test]
    fn blocks_grow_with_the_directory() {
        let block = |size, total| match ChunkPolicy::for_file(size, total) {
            ChunkPolicy::Fixed { size } => size,
            ChunkPolicy::ContentDefined { .. } => 0,
        };
        assert_eq!(block(1 << 20, 0), 256 << 10);
        assert_eq!(block(1 << 30, 40 << 30), 256 << 10);
        assert_eq!(block(1 << 30, 100 << 30), 512 << 10);
        assert_eq!(block(1 << 30, 1 << 40), 8 << 20);
        assert_eq!(block(1 << 45, 0), 8 << 20);
        for total in [1_u64 << 30, 70 << 30, 200 << 30, 1 << 40] {
            assert!(total / u64::from(block(1 << 30, total)) * 67 <= 16 << 20);
        }
    }
}
