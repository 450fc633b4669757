//! Live file trees to and from the vault. Knows no engine.
//!
//! - [`capture_tree`]: a directory or a file into the vault, unchanged files taken over from the
//!   parent or from the pass before.
//! - [`TreeBuilder`]: directories that exist nowhere, around what was captured.
//! - [`restore_tree`]: back to disk, never outside the target, able to go on after an interruption.
//! - [`estimate()`]: how much there is, without reading it.
//!
//! Invariants: no symbolic link below a root is ever followed, in either direction; nothing but
//! regular files is opened for reading; every byte that is restored was verified by its hash.

mod builder;
mod cancel;
mod error;
mod estimate;
mod exclude;
mod names;
mod pass;
mod pool;
pub mod priority;
mod restore;
mod skip;
mod sys;
mod walk;

pub use builder::{TreeBuilder, metadata};
pub use cancel::Cancel;
pub use error::{CaptureError, Result};
pub use estimate::{Size, estimate, estimate_within, estimate_without};
pub use exclude::{Anchor, Excludes};
pub use restore::{
    Overwrite, RestoreOptions, RestoreRoot, Restored, RestoredCounts, holds, restore_tree,
};
pub use skip::SkipSet;
pub use sys::{now, syncfs};
pub use walk::{CaptureOptions, Captured, Counts, Parent, Problem, RACY, Source, capture_tree};
