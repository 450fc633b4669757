//! Image repositories: what a registry held at one time, fetched from it, served again, pushed back.
//!
//! ```text
//! registry  --client/fetch-->  record + blobs  --serve-->  engines that pull
//!                                              --push-->   another registry
//! ```
//!
//! A [`RegistryRecord`] is what a recovery point of a registry says of it: its repositories, their tags, and the
//! manifests with what a server has to say of each. Bytes of manifests and blobs are kept untouched under their digest,
//! as an OCI image layout does. Nothing here knows where that is: a server is given a [`Shelf`].
//!
//! The protocol is the OCI distribution specification 1.1.

pub mod client;
mod fetch;
mod intake;
mod name;
mod push;
mod record;
mod reference;
mod saved;
pub mod serve;
mod shelf;
mod source;
mod storage;

pub use client::DOCKER_HUB;
pub use fetch::{BlobStore, FetchOptions, Fetched, Platform, fetch};
pub use intake::{Intake, PushedManifest, Refused};
pub use name::{is_repository, is_tag};
pub use push::{BlobSource, PushOptions, Pushed, push, renamed};
pub use record::{Deleted, Finding, ManifestRecord, RECORD_SCHEMA, RegistryRecord, Repository};
pub use reference::{ImageReference, registry_name};
pub use saved::saved_manifests;
pub use shelf::{Content, Shelf, Shelved, ShelvedBlob};
pub use source::Source;
pub use storage::RegistryStorage;
