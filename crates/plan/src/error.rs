//! One error type for the crate, made of the precise ones of its rooms.

/// What can be wrong with what was handed in. Nothing here comes from I/O.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] crate::name::NameError),
    /// A reference that does not lead to exactly one recovery point.
    #[error(transparent)]
    Reference(#[from] crate::reference::ReferenceError),
    /// A manifest that cannot be used.
    #[error(transparent)]
    Manifest(#[from] crate::manifest::ManifestError),
}
