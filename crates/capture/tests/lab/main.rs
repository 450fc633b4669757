//! Programs of others, in both directions. Needs root, for devices and foreign owners.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code
)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

#[path = "../it/common.rs"]
mod common;
mod rustic;
mod xfs;
