//! A part of a recovery point: some volumes, binds or services; its definition; its images; files into
//! a container that is there.

pub mod definition;
pub mod images;
pub mod into;
pub(super) mod narrow;
pub mod pieces;
pub mod told;
pub mod volume_copy;
