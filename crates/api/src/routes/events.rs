//! What happened to containers.

use std::sync::Arc;
use std::time::Duration;

use axum::{Json, extract::State, http::HeaderMap, response::Response};

use super::{Problems, stream};
use crate::{
    ask::{Asked, Viewer},
    model::{Event, Page, Paging},
    problem::Problem,
    shared::Shared,
};

const AGAIN: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 1000;

/// What happened, the newest first
#[utoipa::path(get, path = "/api/v1/events", operation_id = "events", tag = "looking", params(Paging), responses((status = 200, body = Page<Event>), Problems))]
pub async fn list(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<Event>>, Problem> {
    let (limit, before) = (paging.limit()?, paging.number()?);
    let mut events = shared.agent.events(0, usize::MAX).await?;
    events.retain(|event| before.is_none_or(|before| event.seq < before));
    let newest = events.into_iter().rev().take(limit + 1);
    let events = newest.map(|event| Event::of(event, viewer.sees_all()));
    Ok(Json(Page::of(events.collect(), limit, |e: &Event| {
        e.seq.to_string()
    })))
}

/// Follows what happens by server-sent events; `Last-Event-ID` says where to go on
#[utoipa::path(
    get, path = "/api/v1/events/stream", operation_id = "follow_events", tag = "looking",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Number of the last event that was seen")),
    responses((status = 200, body = stream::Told, content_type = "text/event-stream"), Problems)
)]
pub async fn follow(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut seen = match headers.get("last-event-id") {
        None => shared.agent.newest_event(),
        Some(id) => id
            .to_str()
            .ok()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| Problem::bad("Last-Event-ID is not the number of an event"))?,
    };
    let served = Arc::clone(&shared);
    stream::of(&served, async move |out| {
        loop {
            if shared.agent.newest_event() > seen {
                for event in shared.agent.events(seen, AT_ONCE).await.ok()? {
                    seen = event.seq;
                    let event = Event::of(event, viewer.sees_all());
                    out.send("event", Some(seen), &event).await?;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    })
}
