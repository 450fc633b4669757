//! Objects that are written and not durable yet.

use crate::{
    ObjectName, Result, Store,
    local::{self, Temporary},
};

/// An object that a store has taken, and that need not be there for anybody before it is settled
/// ([`Store::settle`]). Dropped before, it may be gone.
#[derive(Debug)]
#[must_use = "what is not settled may be gone"]
pub struct Staged(State);

#[derive(Debug)]
enum State {
    Durable,
    Unnamed(Temporary, usize),
    Deferred(ObjectName, Vec<u8>),
}

impl Staged {
    /// One that is there and durable already.
    pub fn durable() -> Staged {
        Staged(State::Durable)
    }

    /// One that nobody has seen: it is put when it is settled.
    pub(crate) fn deferred(name: &ObjectName, bytes: &[u8]) -> Staged {
        Staged(State::Deferred(name.clone(), bytes.to_vec()))
    }

    /// A file of a directory, of so many bytes.
    pub(crate) fn unnamed(file: Temporary, bytes: usize) -> Staged {
        Staged(State::Unnamed(file, bytes))
    }

    /// Bytes that settling has to wait for.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            State::Durable => 0,
            State::Unnamed(_, bytes) => *bytes,
            State::Deferred(_, bytes) => bytes.len(),
        }
    }

    /// Makes all of them durable, and lets everybody see them.
    pub(crate) fn settle<S: Store + ?Sized>(store: &S, staged: Vec<Staged>) -> Result<()> {
        let mut files = Vec::new();
        for one in staged {
            match one.0 {
                State::Durable => {}
                State::Unnamed(file, _) => files.push(file),
                State::Deferred(name, bytes) => store.put(&name, &bytes)?,
            }
        }
        local::settle(files)
    }
}
