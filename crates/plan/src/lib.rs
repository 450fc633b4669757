//! The pure domain: what an app is, where its data lies, in which order it comes back, what is
//! unprotected and why. Nothing here does I/O; facts come in as values, decisions go out as values.

pub mod inventory;
