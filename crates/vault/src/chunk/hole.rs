//! How a hole of a sparse file is stored, so that restic's `restore --sparse` finds it again.

/// Shortest hole that is stored as one, and the length of its first blob: restic looks for exactly this
/// blob of zeros before it treats a file as sparse.
pub const HOLE_MINIMUM: u64 = 512 << 10;

/// Longest blob of zeros in the rest of a hole.
pub const HOLE_BLOB: usize = 16 << 20;

/// Lengths of the blobs of zeros that stand for a hole of `length` bytes, in order; their sum is
/// `length`.
///
/// The first is [`HOLE_MINIMUM`] where the hole is that long. Shorter holes make one blob here; a writer
/// should rather take them as plain zeros of the data around them.
pub fn hole_blobs(length: u64) -> impl Iterator<Item = usize> {
    let mut left = length;
    let mut next = HOLE_MINIMUM;
    std::iter::from_fn(move || {
        let blob = left.min(next);
        next = HOLE_BLOB as u64;
        left -= blob;
        (blob > 0).then_some(blob as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_the_blob_that_restic_looks_for() {
        let lengths = |n| hole_blobs(n).collect::<Vec<_>>();
        assert!(lengths(0).is_empty());
        assert_eq!(lengths(5), [5]);
        assert_eq!(lengths(512 << 10), [512 << 10]);
        assert_eq!(
            lengths((33 << 20) + 7),
            [512 << 10, 16 << 20, 16 << 20, (512 << 10) + 7]
        );
        assert_eq!(hole_blobs(1 << 40).map(|n| n as u64).sum::<u64>(), 1 << 40);
    }
}
