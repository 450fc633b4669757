//! Stores on servers as they really are, started by the tests, each on a port of the loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod rest;
mod s3;
mod support;
