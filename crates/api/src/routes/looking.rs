//! How things are.

use std::sync::Arc;
use std::time::Instant;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use lifeboat_plan::schedule::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problems;
use crate::{
    ask::Viewer,
    mask,
    model::{About, Objectives, Status},
    problem::Problem,
    shared::Shared,
};

/// How all is: containers and objectives, the worst first
#[utoipa::path(get, path = "/api/v1/status", tag = "looking", responses((status = 200, body = Status), Problems))]
pub async fn status(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
) -> Result<Response, Problem> {
    let all = viewer.sees_all();
    let bytes = match shared.picture(all) {
        Some(bytes) => bytes,
        None => {
            let made = Instant::now();
            let status = shared.agent.status().await?;
            let status = Status::of(status, objectives(&shared, all), all);
            let bytes = serde_json::to_vec(&status);
            let bytes = Bytes::from(bytes.map_err(|e| Problem::inner(e.to_string()))?);
            shared.keep_picture(all, made, bytes.clone());
            bytes
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

fn objectives(shared: &Shared, all: bool) -> Objectives {
    let now = Time::of(jiff::Timestamp::now());
    match &shared.keeper {
        Some(keeper) => keeper.look(|view| Objectives::of(view, now, all)),
        None => Objectives {
            troubles: shared
                .not_kept
                .iter()
                .map(|why| mask::unless(all, why))
                .collect(),
            ..Objectives::default()
        },
    }
}

/// Which agent it is, and what the caller may
#[utoipa::path(get, path = "/api/v1/about", tag = "looking", responses((status = 200, body = About), Problems))]
pub async fn about(viewer: Viewer, State(shared): State<Arc<Shared>>) -> Json<About> {
    Json(About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        reaches: shared.reach.fingerprint(),
        role: viewer.0.role,
    })
}

/// Figures for Prometheus
#[utoipa::path(get, path = "/api/v1/metrics", tag = "looking", responses((status = 200, body = String, content_type = "text/plain"), Problems))]
pub async fn metrics(_: Viewer, State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let text = shared.keeper()?.metrics();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// This document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "looking", responses((status = 200, body = serde_json::Value), Problems))]
pub async fn openapi(_: Viewer) -> Result<Response, Problem> {
    let text = super::document().to_json();
    let text = text.map_err(|e| Problem::inner(e.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Who is left alone.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Maintained {
    /// Names of apps; `*` is all.
    pub apps: Vec<String>,
}

/// What is in maintenance
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "looking", responses((status = 200, body = Maintained), Problems))]
pub async fn maintained(
    _: Viewer,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Maintained>, Problem> {
    let apps = shared.agent.status().await?.picture.maintenance;
    Ok(Json(Maintained { apps }))
}
