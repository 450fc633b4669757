//! The agent's socket: HTTP with JSON, so that the same can later be served over a network.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/events?after=N&limit=M` | list of [`crate::log::Entry`], the newest `M` after number `N` |
//! | `POST /v1/maintenance` with `{"app": NAME or null, "on": true}` | `{}` |
//! | `POST /v1/release` | `{}`: restart policies go back to what they were |
//!
//! An error is `{"error": "one sentence"}` with a status of 400 and more. Only root can reach the socket (mode 0600).

mod client;
mod serve;

use lifeboat_plan::supervise::view::Picture;
use serde::{Deserialize, Serialize};

pub use client::{events, maintenance, release, status};
pub(crate) use serve::Server;

use crate::log::Entry;

/// What `lifeboat status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's time, milliseconds since 1970.
    pub now: u64,
    /// Its process.
    pub pid: u32,
    /// All containers.
    #[serde(flatten)]
    pub picture: Picture,
}

/// What the loop is asked.
pub(crate) enum Ask {
    Status,
    Events { after: u64, most: usize },
    Maintenance { app: Option<String>, on: bool },
    Release,
}

/// What it answers.
pub(crate) enum Reply {
    Status(Box<Status>),
    Events(Vec<Entry>),
    NoSuchApp(String),
    Done,
}

/// Body of a maintenance request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Maintenance {
    pub(crate) app: Option<String>,
    pub(crate) on: bool,
}
