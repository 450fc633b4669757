//! rustic on the other side. `cargo xtask test` builds it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code,
    unused_imports
)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

#[path = "../it/cells/hands.rs"]
mod hands;
#[path = "../it/points.rs"]
mod points;
mod rustic_cells;
#[path = "../it/support.rs"]
mod support;
