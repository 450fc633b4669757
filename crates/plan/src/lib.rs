//! The pure domain: what an app is, where its data lies, in which order it comes back, what is
//! unprotected and why. Nothing here does I/O; facts come in as values, decisions go out as values.
//!
//! The way through it: an engine module fills an [`inventory::Inventory`]; [`discover`] makes
//! [`app::App`]s of it; [`bind`], [`freeze`] and [`order`] decide what is captured, what stands
//! still meanwhile and what starts first; [`coverage`] and [`protection`] say what is not protected.
//! What was captured is described by a [`manifest::Manifest`], found again by a [reference](mod@reference), and
//! belongs to an [`identity::AppIdentity`].

pub mod app;
pub mod bind;
pub mod compose;
pub mod coverage;
pub mod discover;
pub mod error;
pub mod fingerprint;
pub mod freeze;
pub mod identity;
pub mod inventory;
pub mod label;
pub mod manifest;
pub mod name;
pub mod order;
pub mod path;
pub mod policy;
pub mod probe;
pub mod protection;
pub mod reference;
pub mod retention;
pub mod schedule;
pub mod suggest;
pub mod supervise;

pub use error::Error;
