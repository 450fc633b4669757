//! Images for the tests and the demo, made on this machine: no registry is assumed.
//!
//! An image is an archive as `docker save` writes it, kept in the [`crate::cache`], so that giving
//! it to an engine is one request, and its id is the same on every engine that it is given to.

mod archive;
mod busybox;
mod index;
mod services;

use std::path::PathBuf;

use crate::api::Client;
use crate::{Result, engine::PrivateEngine};

pub use busybox::busybox;
pub use index::push_index;
pub use services::{services, services_base};

/// What making the images needs from the distribution.
pub const PACKAGES: &[(&str, &str)] = &[
    ("busybox-static", "the small image"),
    ("debootstrap", "the image with PostgreSQL and Redis"),
];

/// An image archive that any engine can load.
#[derive(Debug, Clone)]
pub struct Image {
    /// The archive, as `docker save` writes it.
    pub tar: PathBuf,
    /// All of its tags, `repository:tag`; the first is the one to use.
    pub tags: Vec<String>,
    /// The digest of its configuration, `sha256:…`: its id on an engine with graph drivers.
    pub id: String,
}

impl Image {
    /// The tag to use.
    pub fn reference(&self) -> &str {
        self.tags.first().map_or(&self.id, String::as_str)
    }

    /// Gives the image to an engine, with all its tags.
    pub fn load(&self, engine: &PrivateEngine) -> Result<()> {
        self.load_through(&engine.api())
    }

    /// Gives the image to whatever engine this client talks to.
    pub fn load_through(&self, api: &Client) -> Result<()> {
        api.load_image(&self.tar)
    }
}
