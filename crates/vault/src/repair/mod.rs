//! A vault in which something was lost: what is whole is kept, what is not is named, nothing is dropped silently.
//!
//! - [`packs`]: blobs that are whole are taken out of damaged packs into new ones, the packs leave the index, and
//!   what the next backup finds to be absent it stores again. That heals every point that needs it.
//! - [`snapshots`]: what is lost for good is taken out of recovery points, into new ones beside them.
//!
//! In that order, with a backup between them. The index itself is mended by [`Vault::rebuild_index`](crate::Vault::rebuild_index).

pub mod packs;
pub mod snapshots;
