//! What is to be done: long work becomes a job, which can be followed.

use std::sync::Arc;
use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use lifeboat_objectives::{Settings, try_targets};
use lifeboat_plan::schedule::{Task, Work};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Problems, jobs, stream};
use crate::{
    ask::{self, Admin, Given, Named, Operator, Viewer},
    model::{Job, Wanted, WantedKind},
    problem::Problem,
    shared::Shared,
};

/// Between two looks at a job that is followed.
const AGAIN: Duration = Duration::from_millis(250);

/// Has something done now: a backup of an app, a check, …
#[utoipa::path(
    post, path = "/api/v1/operations", operation_id = "ask", tag = "doing", request_body = Wanted,
    params(("Idempotency-Key" = Option<String>, Header, description = "Done once in a day, however often it is sent")),
    responses((status = 202, body = Job, headers(("Location" = String, description = "Where it is followed"))), Problems)
)]
pub async fn ask(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Given(wanted): Given<Wanted>,
) -> Result<Response, Problem> {
    let work = work(&shared, wanted)?;
    let keeper = shared.keeper()?.clone();
    let id = tokio::task::spawn_blocking(move || keeper.ask(work)).await;
    let id = id.map_err(|_| Problem::inner("the keeper could not be asked"))??;
    let job = jobs::job(&shared, id, Viewer(operator.0).sees_all()).await?;
    let location = format!("/api/v1/operations/{id}");
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(job),
    )
        .into_response())
}

fn work(shared: &Shared, wanted: Wanted) -> Result<Work, Problem> {
    let none = |given: &Option<String>, field: &str| match given {
        Some(_) => Err(Problem::bad(format!(
            "`{field}` says nothing here; leave it out"
        ))),
        None => Ok(()),
    };
    let named = |known: Vec<String>, what: &str| {
        let name = wanted.name.clone();
        let name = name.ok_or_else(|| Problem::bad(format!("`name` of the {what} is missing")))?;
        if known.contains(&name) {
            return Ok(name);
        }
        let near = lifeboat_plan::suggest::suggest(&name, known.iter().map(String::as_str));
        let shown: String = name.chars().take(100).collect();
        Err(Problem::unknown(format!(
            "lifeboat.toml has no {what} `{shown}`{}",
            lifeboat_plan::suggest::sentence(&near)
        )))
    };
    let keeper = shared.keeper()?;
    if wanted.kind != WantedKind::Backup {
        none(&wanted.app, "app")?;
    }
    if !matches!(wanted.kind, WantedKind::Copy | WantedKind::Registry) {
        none(&wanted.name, "name")?;
    }
    Ok(match wanted.kind {
        WantedKind::Backup => {
            let app = wanted.app.as_deref();
            let app = app.ok_or_else(|| Problem::bad("`app` to back up is missing"))?;
            let app = ask::app(shared, app)?;
            Work::Capture {
                app: app.as_str().into(),
            }
        }
        WantedKind::Check => Work::Upkeep(Task::Check),
        WantedKind::Forget => Work::Upkeep(Task::Forget),
        WantedKind::Prune => Work::Upkeep(Task::Prune),
        WantedKind::Copy => {
            let known = keeper.look(|view| view.copies.clone());
            Work::Upkeep(Task::Copy(named(known, "copy")?))
        }
        WantedKind::Registry => {
            let known = keeper.look(|view| view.registries.clone());
            Work::Upkeep(Task::Registry(named(known, "registry")?))
        }
    })
}

/// How far it is; the same as the job of this number
#[utoipa::path(get, path = "/api/v1/operations/{id}", operation_id = "operation", tag = "doing", params(("id" = u64, Path, description = "Its number")), responses((status = 200, body = Job), Problems))]
pub async fn one(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<u64>,
) -> Result<Json<Job>, Problem> {
    jobs::job(&shared, id, viewer.sees_all()).await.map(Json)
}

/// Follows it by server-sent events, each a job, until it is over
#[utoipa::path(get, path = "/api/v1/operations/{id}/events", operation_id = "follow_operation", tag = "doing", params(("id" = u64, Path, description = "Its number")), responses((status = 200, body = stream::Told, content_type = "text/event-stream"), Problems))]
pub async fn events(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<u64>,
) -> Result<Response, Problem> {
    let all = viewer.sees_all();
    let first = jobs::job(&shared, id, all).await?;
    let served = Arc::clone(&shared);
    stream::of(&served, async move |out| {
        let mut shown = first;
        loop {
            let name = if shown.is_over() { "ended" } else { "progress" };
            out.send(name, None, &shown).await?;
            if shown.is_over() {
                return None;
            }
            loop {
                tokio::time::sleep(AGAIN).await;
                let now = jobs::job(&shared, id, all).await.ok()?;
                if now != shown {
                    shown = now;
                    break;
                }
            }
        }
    })
}

/// Who is to be left alone, or not any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// The app; all of them if none is named.
    #[serde(default)]
    pub app: Option<String>,
    /// Whether it begins or ends.
    pub on: bool,
}

/// Leaves an app, or all of them, alone for a while
#[utoipa::path(post, path = "/api/v1/maintenance", operation_id = "maintenance", tag = "doing", request_body = Maintenance, responses((status = 200, body = Maintenance), Problems))]
pub async fn maintenance(
    _: Operator,
    State(shared): State<Arc<Shared>>,
    Given(wanted): Given<Maintenance>,
) -> Result<Json<Maintenance>, Problem> {
    shared
        .agent
        .maintenance(wanted.app.clone(), wanted.on)
        .await?;
    Ok(Json(wanted))
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// In a sentence.
    pub done: String,
}

/// Puts back the restart policies that `lifeboat.start=managed` took over; for admins
#[utoipa::path(post, path = "/api/v1/release", operation_id = "release", tag = "doing", responses((status = 200, body = Done), Problems))]
pub async fn release(_: Admin, State(shared): State<Arc<Shared>>) -> Result<Json<Done>, Problem> {
    shared.agent.release().await?;
    let done = "restart policies are what they were".to_owned();
    Ok(Json(Done { done }))
}

/// How a try went.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tried {
    /// The place, without secrets.
    pub place: String,
    /// Why it did not take the message.
    pub error: Option<String>,
}

/// Sends a test message to each place that is told when something is wrong
#[utoipa::path(post, path = "/api/v1/notify/test", operation_id = "notify_test", tag = "doing", responses((status = 200, body = Vec<Tried>), Problems))]
pub async fn notify(
    _: Operator,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Vec<Tried>>, Problem> {
    let tried = tokio::task::spawn_blocking(move || {
        let settings = Settings::load(&shared.file)?;
        try_targets(&settings, shared.host.as_deref())
    });
    let tried = tried.await;
    let tried = tried.map_err(|_| Problem::inner("no message could be sent"))??;
    if tried.is_empty() {
        return Err(Problem::conflict(
            "nobody is told anything: lifeboat.toml has no [notify] urls",
        ));
    }
    let tried = tried
        .into_iter()
        .map(|(place, error)| Tried { place, error });
    Ok(Json(tried.collect()))
}
