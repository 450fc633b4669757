//! OCI images: out of an engine's store into a layout that anything can read, and back.
//!
//! The layout is an OCI image layout **with Docker's `manifest.json` beside `index.json`**:
//!
//! ```text
//! oci-layout  index.json  manifest.json  blobs/sha256/<digest>
//! ```
//!
//! so that `tar -cC images . | docker load` works on every engine since 20.10, which reads no pure OCI
//! layout. Config bytes are untouched: their digest is the image's id on engines with graph drivers.
//! Layers are kept as the engine gives them: unpacked from graph drivers (they deduplicate with each
//! other and with volumes), compressed from containerd's store (their digest is what registries know).
//!
//! - [`LayoutBuilder`]: from an engine into a [`LayoutSink`], verified on the way.
//! - [`image_from_registry`]: an image that an engine has, from the registry that it came from.
//! - [`Layout`]: what a [`LayoutSource`] holds; [`verify()`]: each byte of it against its digest.
//! - [`registry`]: image repositories, fetched, served and pushed back.
//! - [`load`]: into an engine, without tags; [`set_tags`]: afterwards, where no other image has them.
//!
//! Memory does not grow with layers: they stream. Nothing here knows where a layout is kept: sinks and
//! sources are traits ([`DirectoryLayout`] is one of each). What is read back is not trusted: it may
//! come from a vault that somebody else wrote.

mod digest;
mod directory;
mod error;
mod from_engine;
mod from_registry;
mod layout;
mod parallel;
pub mod registry;
mod sink;
mod to_engine;
mod verify;

pub use digest::{Algorithm, Digest, Hasher};
pub use directory::DirectoryLayout;
pub use error::{Error, Result};
pub use from_engine::{LayoutBuilder, Wanted};
pub use from_registry::{image_from_registry, image_in_layout};
pub use layout::{Blob, Layout, LayoutImage};
pub use sink::{BlobWriter, LayoutSink, LayoutSource};
pub use to_engine::{LoadStream, Loaded, TagOutcome, load, set_tags};
pub use verify::verify;
