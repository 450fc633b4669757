//! Stores on servers as they really are, started by the tests, each on a port of the loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod azurite;
mod gcs;
mod lock;
mod rest;
mod s3;
mod sftp;
mod support;
