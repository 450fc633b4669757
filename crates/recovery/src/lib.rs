//! The use cases: protect, restore, survey. The only crate where engine, capture, images and vault
//! meet.
//!
//! Every operation journals its intent before its effect, can be run again after a crash, and
//! destroys nothing before what replaces it is complete and checked. Nothing here knows a terminal:
//! progress goes to a [`Progress`], results come back as values.

pub mod asides;
pub mod capabilities;
pub mod context;
pub mod copies;
pub mod error;
pub mod files;
pub mod forget;
pub mod forward;
pub mod gone;
pub mod inspect;
pub mod journal;
mod layout_source;
mod near;
mod passage;
pub mod points;
mod project;
pub mod protect;
pub mod registry;
pub mod restore;
pub mod selection;
pub mod setup;
pub mod survey;
pub mod verified;
pub mod watchdog;
pub mod whereabouts;

pub use context::{Context, Places, Settings};
pub use error::{ErrorKind, RecoveryError, Result};
pub use lifeboat_vault::progress::{Progress, Silent};
