//! Mapped ids.
