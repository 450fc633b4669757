//! Server-sent events: what somebody writes into a channel, until they end, the client goes, or the server stops.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use crate::{problem::Problem, shared::Shared};

/// So many at a time: each costs a look every quarter of a second.
const MOST: usize = 64;
static ROOM: Semaphore = Semaphore::const_new(MOST);
/// A sign of life, so that what stands between keeps the connection.
const ALIVE: Duration = Duration::from_secs(15);

/// One server-sent event, as the document has it.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "of the document")]
pub struct Told {
    /// `progress` or `ended`; `event`.
    event: String,
    /// JSON: a job, or an event.
    data: String,
    /// Where to go on from.
    id: Option<String>,
}

/// Where events go.
pub struct Out(mpsc::Sender<Event>);

impl Out {
    /// Sends one; `None`: nobody is there any more.
    pub async fn send<T: Serialize>(&self, name: &str, id: Option<u64>, what: &T) -> Option<()> {
        let mut event = Event::default().event(name).json_data(what).ok()?;
        if let Some(id) = id {
            event = event.id(id.to_string());
        }
        self.0.send(event).await.ok()
    }
}

/// A response that carries what `write` writes.
pub fn of<W, F>(shared: &Shared, write: W) -> Result<Response, Problem>
where
    W: FnOnce(Out) -> F,
    F: Future<Output = Option<()>> + Send + 'static,
{
    let place = ROOM
        .try_acquire()
        .map_err(|_| Problem::away(format!("{MOST} are followed already; ask again later")))?;
    let (to, from) = mpsc::channel(8);
    let gone = to.clone();
    let writing = write(Out(to));
    let mut stopped = shared.stopped();
    tokio::spawn(async move {
        tokio::select! {
            _ = writing => {}
            () = gone.closed() => {}
            _ = stopped.changed() => {}
        }
        drop(place);
    });
    let events = unfold(from, |mut from| async move {
        let event = from.recv().await?;
        Some((Ok::<_, Infallible>(event), from))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response())
}
