//! Looking into recovery points: which ones are meant, files found and taken out, what differs between two.
//! Nothing here changes a vault.

mod definition;
mod dump;
mod filter;
mod find;

pub use definition::{AppChange, ChangeKind, app_changes};
pub use dump::{Dumped, dump};
pub use filter::PointFilter;
pub use find::{FindOptions, Finder};
