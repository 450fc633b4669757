//! Memory for a pack: it begins at a page, so that the store can hand it to the disk as it lies (`O_DIRECT`, open(2)).

use std::{io, ops::Deref};

use memmap2::MmapMut;

/// The least that is asked for.
const LEAST: usize = 64 << 10;

/// Bytes that grow, like a `Vec<u8>`.
#[derive(Default)]
pub struct Pages {
    /// Zeros behind `length`, or what was there before.
    memory: Option<MmapMut>,
    length: usize,
}

impl Pages {
    /// Nothing, with room for so many bytes.
    pub(crate) fn with_room_for(bytes: usize) -> io::Result<Pages> {
        Ok(Pages {
            memory: Some(map(bytes)?),
            length: 0,
        })
    }

    /// Appends bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.length + bytes.len();
        self.room(end)?[end - bytes.len()..end].copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// Forgets all bytes, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    /// The memory, with room for so many bytes.
    fn room(&mut self, bytes: usize) -> io::Result<&mut [u8]> {
        let there = self.memory.as_ref().map_or(0, |memory| memory.len());
        if there < bytes {
            let mut larger = map(bytes.max(2 * there))?;
            larger[..self.length].copy_from_slice(self);
            self.memory = Some(larger);
        }
        Ok(self.memory.as_deref_mut().unwrap_or_default())
    }
}

/// Not of huge pages, which were tried: a virtual machine's host takes free ones back, and clears each that is asked for
/// again (0.37 instead of 0.19 s of a backup's CPU in the kernel, docs/measured.md).
fn map(bytes: usize) -> io::Result<MmapMut> {
    MmapMut::map_anon(bytes.max(LEAST))
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory[..self.length],
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_like_a_vec_and_begins_at_a_page() {
        let mut pages = Pages::default();
        let mut expected = Vec::new();
        assert!(pages.is_empty());
        for n in 1..200_u32 {
            let bytes = vec![n as u8; (n * n) as usize];
            pages.extend(&bytes).unwrap();
            expected.extend_from_slice(&bytes);
            assert_eq!(pages.len(), expected.len());
            assert_eq!(pages.as_ptr().align_offset(4096), 0);
        }
        assert!(*pages == expected[..]);
        pages.clear();
        assert!(pages.is_empty());
        pages.extend(b"again").unwrap();
        assert_eq!(&*pages, b"again");
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(Pages::with_room_for(1 << 60).is_err());
    }
}
