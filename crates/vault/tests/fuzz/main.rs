//! Every parser of bytes that come from a vault, fed with the corpus and with what comes of it by chance.
//!
//! The same seed makes the same bytes, on any toolchain, in seconds: a part of every `cargo xtask test`. It knows
//! nothing of coverage; `cargo xtask fuzz TARGET` does, for as long as one likes (libFuzzer, nightly). What that
//! finds goes into `fuzz/corpus`, and from then on it is tried here.
//!
//! Seen to fail: with offsets added unchecked in `pack::parse_entries`, and with names not checked in
//! `tree::decode`; each within a second.
#![allow(
    clippy::disallowed_methods,
    reason = "how many comes from the environment"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout)]

mod targets;

use std::path::Path;

use lifeboat_store::Dice;
use targets::{ALL, Target};

/// Inputs for each target.
const ROUNDS: u64 = 100_000;
/// Longer ones teach nothing here.
const LONGEST: usize = 8 << 10;

/// What parsers stumble over.
const WORDS: &[&str] = &[
    "null",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-1",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "\\u0000",
    "\\ud800",
    "\\\\x00",
    "\\\\xff",
    "\\\"",
    "..",
    "/",
    "true",
    "9999-12-31T23:59:59.999999999Z",
    "0000-00-00T00:00:00Z",
    "2026-02-29T24:00:60+99:99",
    "[[[[[[[[",
    "\"type\":\"dir\",",
    "\"content\":null,",
    "\u{0}\u{0}\u{0}\u{0}",
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut files: Vec<_> = fs_err::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs_err::read(file).unwrap())
        .collect()
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    let mut at = |end: usize| dice.below(end as u64 + 1) as usize;
    let (from, to) = (at(bytes.len()), at(bytes.len()));
    let (from, to) = (from.min(to), from.max(to));
    match at(7) {
        0 if from < bytes.len() => bytes[from] ^= 1 << at(7),
        1 if from < bytes.len() => bytes[from] = at(255) as u8,
        2 => drop(bytes.drain(from..to.min(from + 16))),
        3 => drop(bytes.drain(from..to)),
        4 => drop(bytes.splice(from..from, bytes[from..to].to_vec())),
        5 => {
            let other = &others[at(others.len() - 1)];
            let (begin, end) = (at(other.len()), at(other.len()));
            let piece = other[begin.min(end)..begin.max(end)].to_vec();
            drop(bytes.splice(from..to, piece));
        }
        6 => {
            let numbers = [0, 1, 0x7f, 0xff, 0x10000, u32::MAX - 1, u32::MAX];
            let number = numbers[at(numbers.len() - 1)].to_le_bytes();
            drop(bytes.splice(from..to.min(from + 4), number));
        }
        _ => {
            let word = WORDS[at(WORDS.len() - 1)].bytes();
            drop(bytes.splice(from..to.min(from + word.len()), word));
        }
    }
    bytes.truncate(LONGEST);
}

/// A panic of the target tells the input in hex before it goes on.
struct Telling<'b>(&'static str, &'b [u8]);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} failed on: {}", self.0, hex::encode(self.1));
        }
    }
}

fn run(name: &'static str, target: Target) {
    let rounds = match std::env::var("LIFEBOAT_FUZZ_ROUNDS") {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => ROUNDS,
    };
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let attempt = |bytes: &[u8]| {
        let _telling = Telling(name, bytes);
        target(bytes);
    };
    corpus.iter().for_each(|bytes| attempt(bytes));
    let mut dice = Dice::new(rounds);
    for round in 0..rounds {
        let mut bytes = corpus[(round % corpus.len() as u64) as usize].clone();
        for _ in 0..1 + dice.below(4) {
            change(&mut bytes, &corpus, &mut dice);
        }
        attempt(&bytes);
    }
}

#[test]
fn no_bytes_do_harm() {
    std::thread::scope(|scope| {
        for (name, target) in ALL {
            scope.spawn(move || run(name, *target));
        }
    });
}
