//! The vault: a valid restic repository, format version 2, with an engine of our own.
//!
//! Layers, bottom to top: `id` and `seal` (names and sealing), `key` (passwords), `pack` and
//! `index` (where blobs lie), `node`, `tree` and `snapshot` (what they mean), `chunk` (where files
//! are cut), `write` and `read` (the ways of a byte), `lock`, `check`.
//!
//! Crash rule: packs, then index, then snapshot, each durable before the next. What a crash leaves
//! is garbage, never damage.

pub mod id;
pub mod node;
pub mod progress;
pub mod snapshot;
