//! Integration tests of the stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod conformance;
mod endless;
mod faulty;
mod local;
mod spool;
