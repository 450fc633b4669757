//! A client of registries, and registries that lie.

mod liar;
mod memory;
mod wrong;
