//! The vault: a valid restic repository, format version 2, with an engine of our own.
//!
//! Layers, bottom to top: `id` and `seal` (names and sealing), `key` (passwords), `pack` and
//! `index` (where blobs lie), `node`, `tree` and `snapshot` (what they mean), `chunk` (where files
//! are cut), `write` and `read` (the ways of a byte), `lock`, `check`.
//!
//! Crash rule: packs, then index, then snapshot, each durable before the next. What a crash leaves
//! is garbage, never damage.
//!
//! # What may run beside what
//!
//! With the lock that decides it ([`lock`]); `tests/it/cells` has each cell at every step, `tests/lab` those with rustic.
//!
//! | | read, `check`, copy out | backup, copy in, forget, pin | prune: mark, repack | prune: delete | instant prune, repair of the index |
//! | --- | --- | --- | --- | --- | --- |
//! | read, `check`, copy out | yes (shared) | yes (shared) | yes (shared) | yes: named by the mark, or began after it | no (exclusive) |
//! | backup, copy in, forget, pin | yes | yes (shared) | yes: its commit looks again | yes: the same | no |
//! | prune: mark, repack | yes | yes | no (role prune) | no (role prune) | no |
//! | prune: delete | yes | yes | no | no (role delete) | no |
//! | instant prune, repair | no | no | no | no | no |
//! | restic `backup`, `restore` | yes (shared) | yes | yes: the deletion waits | no: we skip it, or restic is told to wait | no |
//! | restic `prune`, `forget`, `check` | no (restic's exclusive) | no | no | no | no |
//! | rustic `backup` (no locks) | yes | yes | yes: marks wait 23 hours | yes: the same | must not be |
//! | rustic `prune` (no locks; marks for 23 hours) | yes: what moved is looked up again | yes: the commit stores again what it marked | yes | yes | must not be |
//! | creating a vault | yes: it refuses a place that has one | yes | yes | yes | yes |

mod bits;
pub mod blob;
pub mod check;
pub mod chunk;
mod closure;
pub mod config;
pub mod copy;
mod ctr;
pub mod diff;
pub mod env;
pub mod error;
pub mod forget;
pub mod gojson;
pub mod id;
pub mod index;
pub mod key;
mod keys;
pub mod lock;
mod locked;
pub mod mode;
mod near;
pub mod node;
pub mod opened;
pub mod pack;
mod poly1305;
pub mod progress;
pub mod prune;
pub mod read;
pub mod repair;
pub mod repo;
pub mod seal;
pub mod sha256;
pub mod snapshot;
pub mod stats;
mod time;
pub mod tree;
pub mod unpacked;
pub mod write;

pub use blob::BlobKind;
pub use check::{CheckOptions, CheckReport, Finding};
pub use chunk::ChunkPolicy;
pub use env::{Clock, Environment, Random};
pub use error::{ErrorKind, Result, VaultError};
pub use id::{BlobId, IndexId, KeyId, LockId, PackId, SnapshotId};
pub use index::RebuiltIndex;
pub use key::KeyInfo;
pub use keys::KeyOwner;
pub use node::{Metadata, Node, NodeKind, Timestamp, Tree, Xattr};
pub use progress::{Progress, Silent};
pub use read::{Descend, FileReader, Gathered, Reader, VisitLimit, Visits};
pub use repo::{Snapshots, Vault};
pub use snapshot::{Snapshot, Summary};
pub use write::{FileWriter, SavedFile, WriteStats, Writer, WriterOptions};
