//! The lab: tests that need root and start engines of their own.

mod compose;
mod engine;
mod images;
mod sample_app;
