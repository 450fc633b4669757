//! Integration tests of the vault.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crash;
mod damage;
mod lost_index;
mod odd;
mod opening;
mod oracle;
mod reading;
mod restic_trees;
mod support;
mod writing;
