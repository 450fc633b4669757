//! Copies that restores made, and data that they set aside.

use std::sync::Arc;

use axum::{Json, extract::State};
use lifeboat_plan::name::AppName;
use serde_json::Value;

use super::Problems;
use crate::{
    ask::{Named, Viewer},
    mask,
    problem::Problem,
    shared::Shared,
};

/// Copies that restores made on this host, and data that they set aside, as `lifeboat rm --list` says it
#[utoipa::path(get, path = "/api/v1/copies", operation_id = "copies", tag = "looking", responses((status = 200, body = Value), Problems))]
pub async fn list(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Value>, Problem> {
    let said = shared.lookup(&["rm", "--list"]).await?;
    let said = said.map_err(Problem::away)?;
    Ok(Json(mask::value(viewer.sees_all(), said)))
}

/// What would go with a copy, or with the replaced data of an app
#[utoipa::path(get, path = "/api/v1/copies/{name}", operation_id = "copy", tag = "looking", params(("name" = String, Path, description = "Name of the copy, or of the app")), responses((status = 200, body = Value), Problems))]
pub async fn one(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, Problem> {
    let name = AppName::new(&name).map_err(|why| Problem::bad(why.to_string()))?;
    let name = name.to_string();
    let all = viewer.sees_all();
    let said = shared.lookup(&["rm", "--dry-run", "--", &name]).await?;
    let said = said.map_err(|why| Problem::unknown(mask::unless(all, &why)))?;
    Ok(Json(mask::value(all, said)))
}
