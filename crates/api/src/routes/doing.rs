//! What is done at once: maintenance, restart policies, test messages.

use std::sync::Arc;

use axum::{Json, extract::State};
use lifeboat_objectives::{Settings, try_targets};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problems;
use crate::{
    ask::{Admin, Given, Operator},
    problem::Problem,
    shared::Shared,
};

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
