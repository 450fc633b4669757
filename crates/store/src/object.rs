//! Names of objects, and what can go wrong with them.

use std::fmt;

/// One of the six folders of a restic repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Area {
    /// The single file `config`; its object has the empty id.
    Config,
    /// `keys/`
    Keys,
    /// `data/` (with a folder for the first two digits where the backend has folders)
    Data,
    /// `index/`
    Index,
    /// `snapshots/`
    Snapshots,
    /// `locks/`
    Locks,
}

impl Area {
    /// All areas.
    pub const ALL: [Area; 6] = [
        Area::Config,
        Area::Keys,
        Area::Data,
        Area::Index,
        Area::Snapshots,
        Area::Locks,
    ];

    /// An object of this area that has more bytes is none that any program wrote: reading it whole would only
    /// fill the memory. JSON takes several times as much once it is read.
    pub fn largest(self) -> u64 {
        match self {
            // Read in ranges.
            Area::Data => 1 << 32,
            // Restic ends one at 50,000 blobs, 8 MB.
            Area::Index => 128 << 20,
            Area::Snapshots => 16 << 20,
            Area::Config | Area::Keys | Area::Locks => 1 << 20,
        }
    }

    /// A list of this area that takes more bytes than that is none of a vault.
    pub(crate) fn longest_list(self) -> u64 {
        match self {
            // Names and sizes of ten million packs.
            Area::Data => 1 << 30,
            _ => 128 << 20,
        }
    }

    /// Name of the folder (or of the file, for `config`).
    pub fn as_str(self) -> &'static str {
        match self {
            Area::Config => "config",
            Area::Keys => "keys",
            Area::Data => "data",
            Area::Index => "index",
            Area::Snapshots => "snapshots",
            Area::Locks => "locks",
        }
    }
}

/// Name of one object: an area and 64 lower-case hex digits (none for `config`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    area: Area,
    id: String,
}

impl ObjectName {
    /// The `config` object.
    pub fn config() -> Self {
        Self {
            area: Area::Config,
            id: String::new(),
        }
    }

    /// An object by area and id. `None` unless `id` is 64 lower-case hex digits.
    pub fn new(area: Area, id: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (area != Area::Config && id.len() == 64 && id.bytes().all(hex)).then(|| Self {
            area,
            id: id.to_owned(),
        })
    }

    /// The area.
    pub fn area(&self) -> Area {
        self.area
    }

    /// What is said of it where it has more bytes than [`Area::largest`].
    pub(crate) fn too_large(&self, place: String) -> StoreError {
        StoreError::TooLarge {
            name: self.to_string(),
            place,
            largest: self.area.largest(),
        }
    }

    /// The id, empty for `config`.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.area {
            Area::Config => f.write_str("config"),
            area => write!(f, "{}/{}", area.as_str(), self.id),
        }
    }
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Name.
    pub name: ObjectName,
    /// Bytes.
    pub size: u64,
}

/// What can go wrong with a store, named by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{0} is not there")]
    NotFound(String),
    /// There is such an object already; it was left as it is.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// The place is full.
    #[error("no space left at {place}; free some space and run the command again")]
    Full {
        /// Where.
        place: String,
    },
    /// We may not.
    #[error("permission denied at {place}: {reason}")]
    Denied {
        /// Where.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// It does not answer, for now. Nothing is known of what was asked for; it can be asked again.
    #[error(
        "{place} does not answer ({reason}); what is stored there is safe: run the command again when it can be reached"
    )]
    Unreachable {
        /// Where.
        place: String,
        /// What was seen.
        reason: String,
    },
    /// It answers, and what should hold the vault (a bucket, a container, a folder) is not there.
    #[error("{place} cannot hold a vault: {reason}")]
    NoPlace {
        /// Where.
        place: String,
        /// What is missing.
        reason: String,
    },
    /// Objects cannot be locked there.
    #[error("{place} cannot lock what it holds: {reason}")]
    NoLock {
        /// Where.
        place: String,
        /// Why not.
        reason: String,
    },
    /// An object ended before the range that was asked for.
    #[error("{name} is shorter than expected: wanted {wanted} bytes at {offset}")]
    ShortRead {
        /// Object.
        name: String,
        /// Offset asked for.
        offset: u64,
        /// Bytes asked for.
        wanted: usize,
    },
    /// An object that no program wrote, since none writes any so large.
    #[error(
        "{name} at {place} has more than {largest} bytes, more than any program writes: it was not read; find out who put it there, delete it, and run `lifeboat check`"
    )]
    TooLarge {
        /// Object.
        name: String,
        /// Where.
        place: String,
        /// What it may have at most.
        largest: u64,
    },
    /// Anything else.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, as a present-tense phrase.
        context: String,
        /// What the system said.
        source: std::io::Error,
    },
}
