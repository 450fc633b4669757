//! The lab: tests that need root and start engines of their own.

mod engine;
mod images;
mod sample_app;
