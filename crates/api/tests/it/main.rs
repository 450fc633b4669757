//! The API from outside.

mod document;
