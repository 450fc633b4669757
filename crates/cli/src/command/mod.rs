//! What each command does: calls the use case, shows the result. One file a command.

pub mod tools;
