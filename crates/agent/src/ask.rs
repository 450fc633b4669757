//! What others ask of the agent while it runs; async, answered by its loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use lifeboat_plan::supervise::view::Picture;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::log::Entry;
use crate::run::Message;

/// The loop answers at once, unless its disk stands still.
const ANSWER: Duration = Duration::from_secs(10);

/// How all containers are.
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

/// Why there is no answer. Each is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is ending, or stuck.
    #[error("the agent is ending, or does not get to it; ask again in a moment")]
    Away,
    /// It knows no such app.
    #[error("{0}")]
    NoSuchApp(String),
}

/// What the loop is asked, with where the answer goes.
pub(crate) enum Ask {
    Status(oneshot::Sender<Status>),
    Events {
        after: u64,
        most: usize,
        reply: oneshot::Sender<Vec<Entry>>,
    },
    Maintenance {
        app: Option<String>,
        on: bool,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    Release(oneshot::Sender<()>),
}

/// Asks an agent; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) to: Sender<Message>,
    pub(crate) newest: Arc<AtomicU64>,
}

impl Handle {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let sent = self.to.send(Message::Ask(ask(reply)));
        sent.map_err(|_| Refused::Away)?;
        let waited = tokio::time::timeout(ANSWER, answer).await;
        waited
            .map_err(|_| Refused::Away)?
            .map_err(|_| Refused::Away)
    }

    /// How all containers are.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(&self) -> Result<Status, Refused> {
        self.ask(Ask::Status).await
    }

    /// What happened after that number, the newest `most`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn events(&self, after: u64, most: usize) -> Result<Vec<Entry>, Refused> {
        self.ask(|reply| Ask::Events { after, most, reply }).await
    }

    /// The number of the newest event; asks nobody.
    #[must_use]
    pub fn newest_event(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Maintenance of an app, or of all, begins or ends.
    ///
    /// # Errors
    /// It does not answer, or knows no such app.
    pub async fn maintenance(&self, app: Option<String>, on: bool) -> Result<(), Refused> {
        self.ask(|reply| Ask::Maintenance { app, on, reply })
            .await?
    }

    /// Restart policies go back to what they were.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn release(&self) -> Result<(), Refused> {
        self.ask(Ask::Release).await
    }
}
