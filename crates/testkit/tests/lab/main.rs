//! The lab: tests that need root and start engines of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compose;
mod engine;
mod images;
mod sample_app;
