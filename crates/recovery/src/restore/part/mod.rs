//! A part of a recovery point: its definition, its images, files into a container that is there.

pub mod definition;
pub mod images;
pub mod into;
