//! A set of small numbers that threads fill together: one bit for each.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers from zero to a bound, each in or out.
pub struct Bits(Vec<AtomicU64>);

impl Bits {
    /// None of so many numbers.
    pub fn new(bound: usize) -> Bits {
        let mut words = Vec::new();
        words.resize_with(bound.div_ceil(64), AtomicU64::default);
        Bits(words)
    }

    /// Adds a number; whether it was not there before. One beyond the bound is never there.
    pub fn set(&self, number: usize) -> bool {
        let bit = 1 << (number % 64);
        let word = self.0.get(number / 64);
        word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// Takes a number out.
    pub fn clear(&self, number: usize) {
        if let Some(word) = self.0.get(number / 64) {
            word.fetch_and(!(1 << (number % 64)), Ordering::Relaxed);
        }
    }

    /// Whether a number is there.
    pub fn has(&self, number: usize) -> bool {
        let word = self.0.get(number / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (number % 64)) != 0)
    }

    /// All numbers that are there, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let word = word.load(Ordering::Relaxed);
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| at * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_and_out() {
        let bits = Bits::new(130);
        assert!(bits.set(0) && bits.set(64) && bits.set(129) && !bits.set(64));
        assert!(!bits.set(5000) && !bits.has(5000));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 64, 129]);
        bits.clear(64);
        assert!(bits.has(0) && !bits.has(64));
    }
}
