//! Integration tests of the stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod faulty;
mod local;
mod spool;
