//! Real files, a real vault, and restic beside us. Runs as root; what needs it says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod common;
mod company;
mod excludes;
mod full;
mod hostile;
mod odd_input;
mod passes;
mod random;
mod restic;
mod resume;
mod round;
mod speed;
