//! The program as a person or a script meets it: what it prints where, and how it ends. Everything
//! lies in a temporary directory; no engine is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod copying;
mod first;
mod help;
mod host;
mod keys;
mod looking;
mod mending;
mod plain;
mod reference;
mod refused;
mod retention;
mod vault;
