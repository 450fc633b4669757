//! Integration tests of the vault.
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cells;
mod copying;
mod crash;
mod damage;
mod lost_index;
mod mapped;
mod near;
mod odd;
mod opening;
mod oracle;
mod points;
mod prune;
mod reading;
mod repairing;
mod restic_trees;
mod situations;
mod support;
mod writing;
