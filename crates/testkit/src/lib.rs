//! What the tests and the demo stand on: real engines in namespaces of their own, images built on
//! this machine, sample apps with an oracle of what they acknowledged, trees full of oddities.
//!
//! Nothing here ships. Nothing here touches an engine that is already on the machine, a host-wide
//! setting, or the network beyond the distribution's package mirror and the language registries.
//!
//! * [`packages`] installs Debian packages that are missing and says why.
//! * [`cache`] keeps what is expensive to make in the user's cache directory, keyed by its recipe.
//! * [`engine`] starts a private Docker Engine and takes it away without a trace.
//! * [`api`] is a client of the engine's HTTP interface that shares no code with the product, so
//!   that a test compares against the engine and not against our own reading of it.
//! * [`remote`] is a machine that has nothing but a network to an engine: over TLS with [`certificates`],
//!   and over SSH.
//! * [`images`] makes the images; [`sample_app`] the app; [`compose`] a project of Docker Compose.
//! * [`clients`] pull from registries as other people's engines do.
//! * [`host`] is a whole machine of the distribution's: a root to work in, and booted in QEMU.
//! * [`go`] builds programs from source; [`server`] starts the servers that keep vaults.
//! * [`oddities`] makes a tree with everything a file system can hold, and compares two such trees.
#![allow(
    clippy::disallowed_methods,
    reason = "it starts engines and programs, and is told by the environment where its cache is"
)]

pub mod api;
pub mod cache;
pub mod certificates;
pub mod clients;
pub mod command;
pub mod compose;
pub mod engine;
pub mod go;
pub mod grafana;

mod error;
pub mod host;
pub mod images;
mod mirror;
pub mod oddities;
pub mod packages;
pub mod remote;
pub mod restic;
pub mod sample_app;
pub mod server;

pub use error::{Error, Result};
