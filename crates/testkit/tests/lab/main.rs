//! The lab: tests that need root and start engines of their own.
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compose;
mod engine;
mod images;
mod sample_app;
mod slow;
