//! Recovery points as a directory that can be browsed, read-only, by FUSE.
//!
//! - `layout`: which folders lead to which point;
//! - `inode`: numbers that stay the same, hard links included;
//! - `content`: where in a file which blob lies;
//! - `cache`: blobs that were decoded, and those that will be asked for next;
//! - `filesystem`: what the kernel asks;
//! - `session`: mounting, leaving, and what a killed mount left.
//!
//! Nothing is written, in the vault or anywhere else, but the reader's lock. A byte that comes out was checked
//! against its hash; what cannot be had is `EIO`, with a sentence in the log, never zeros. Holes are told by
//! `SEEK_HOLE`, and are read without being decoded.
//!
//! Memory: the index, a bounded cache of blobs and directories, and for each file and directory that the kernel
//! remembers a small entry.
//!
//! What a crash leaves: a directory that answers "not connected" until it is unmounted; the next mount there clears it.

mod cache;
mod content;
mod filesystem;
mod inode;
mod layout;
mod session;

pub use layout::MountedPoint;
pub use session::{Mount, MountError, MountOptions, Unmounter};
