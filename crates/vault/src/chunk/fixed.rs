//! Fixed blocks, aligned to the file's offset.

/// State between two cuts.
#[derive(Debug)]
pub(super) struct Fixed {
    size: usize,
    /// Bytes of the block that begins now: fewer than `size` right behind a hole that ended
    /// inside a block.
    next: usize,
}

impl Fixed {
    pub(super) fn new(size: u32) -> Self {
        let size = size.max(1) as usize;
        Self { size, next: size }
    }

    /// Bytes that a buffer of so many lacks for a block.
    pub(super) fn left(&self, available: usize) -> usize {
        self.next.saturating_sub(available)
    }

    pub(super) fn next_cut(&mut self, available: usize, end_of_input: bool) -> Option<usize> {
        let cut = if available >= self.next {
            self.next
        } else if end_of_input && available > 0 {
            available
        } else {
            return None;
        };
        self.next = self.size;
        Some(cut)
    }

    pub(super) fn restart(&mut self, offset: u64) {
        let into_block = (offset % self.size as u64) as usize;
        self.next = self.size - into_block;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_then_the_rest() {
        let mut cutter = Fixed::new(100);
        assert_eq!(cutter.next_cut(99, false), None);
        assert_eq!(cutter.next_cut(250, false), Some(100));
        assert_eq!(cutter.next_cut(150, true), Some(100));
        assert_eq!(cutter.next_cut(50, true), Some(50));
        assert_eq!(cutter.next_cut(0, true), None);
    }

    #[test]
    fn aligned_again_behind_a_hole() {
        let mut cutter = Fixed::new(100);
        cutter.restart(530);
        assert_eq!(cutter.next_cut(1000, false), Some(70));
        assert_eq!(cutter.next_cut(930, false), Some(100));
        cutter.restart(600);
        assert_eq!(cutter.next_cut(1000, false), Some(100));
    }
}
