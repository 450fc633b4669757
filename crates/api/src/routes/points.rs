//! Recovery points, as the vault lists them.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problems;
use crate::{
    ask::{self, Admin, Asked, Named, Viewer},
    model::{Page, Point},
    problem::Problem,
    shared::Shared,
};

/// Which points are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Of this app: `[[SITE/]HOST/]APP`.
    pub app: Option<String>,
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Points, the newest first
#[utoipa::path(get, path = "/api/v1/points", operation_id = "points", tag = "looking", params(Which), responses((status = 200, body = Page<Point>), Problems))]
pub async fn list(
    _: Viewer,
    State(shared): State<Arc<Shared>>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Point>>, Problem> {
    let paging = crate::model::Paging {
        limit: which.limit,
        cursor: None,
    };
    let limit = paging.limit()?;
    let app = which.app.as_deref().map(ask::name).transpose()?;
    let after = which.cursor.as_deref().map(id).transpose()?;
    let points = shared.points().await?;
    let ends = app.as_ref().map(|app| format!("/{app}"));
    let of_app = |point: &&Point| match (&app, &point.app) {
        (None, _) => true,
        (Some(app), Some(name)) => name == app || ends.as_ref().is_some_and(|e| name.ends_with(e)),
        (Some(_), None) => false,
    };
    // A point that was forgotten since the page before: from the beginning again would be wrong.
    let from = match &after {
        None => 0,
        Some(id) => {
            let at = points.iter().position(|point| point.id == *id);
            at.ok_or_else(|| {
                Problem::bad("the point of this cursor is gone; begin with the first page")
            })? + 1
        }
    };
    let page = points[from..].iter().filter(of_app).take(limit + 1);
    let page: Vec<Point> = page.cloned().collect();
    Ok(Json(Page::of(page, limit, |point| point.id.clone())))
}

/// An id is hexadecimal and nothing else: it becomes an argument.
fn id(text: &str) -> Result<String, Problem> {
    let is = (4..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is.then(|| text.to_ascii_lowercase())
        .ok_or_else(|| Problem::bad("an id of a point has 4 to 64 hexadecimal digits"))
}

async fn find(shared: &Arc<Shared>, text: &str) -> Result<Point, Problem> {
    let id = id(text)?;
    let points = shared.points().await?;
    let mut found = points.iter().filter(|point| point.id.starts_with(&id));
    match (found.next(), found.next()) {
        (Some(point), None) => Ok(point.clone()),
        (Some(_), Some(_)) => Err(Problem::conflict(format!(
            "more than one point begins with {id}; give more of its id"
        ))),
        (None, _) => Err(Problem::unknown(format!(
            "there is no point {id}; GET /api/v1/points lists them"
        ))),
    }
}

/// One point, by its id or the beginning of it
#[utoipa::path(get, path = "/api/v1/points/{id}", operation_id = "point", tag = "looking", params(("id" = String, Path, description = "Its id")), responses((status = 200, body = Point), Problems))]
pub async fn one(
    _: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<String>,
) -> Result<Json<Point>, Problem> {
    find(&shared, &id).await.map(Json)
}

/// Which folder is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Folder {
    /// Within the point: `volumes/shop_db`.
    pub path: Option<String>,
}

/// What lies in a folder of a point: names, sizes, times, as `lifeboat ls` says it; for admins
#[utoipa::path(get, path = "/api/v1/points/{id}/files", operation_id = "point_files", tag = "looking", params(("id" = String, Path, description = "Its id"), Folder), responses((status = 200, body = serde_json::Value), Problems))]
pub async fn content(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<String>,
    Asked(folder): Asked<Folder>,
) -> Result<Json<serde_json::Value>, Problem> {
    let path = folder.path.unwrap_or_default();
    let climbs = path.split('/').any(|part| part == "..");
    if climbs || path.chars().any(char::is_control) {
        return Err(Problem::bad(
            "the path climbs (`..`) or holds control characters",
        ));
    }
    let point = find(&shared, &id).await?;
    let keeper = shared.keeper()?.clone();
    let said = tokio::task::spawn_blocking(move || {
        let within = format!("/{}", path.trim_matches('/'));
        keeper.lookup(&["ls", &point.id, &within])
    });
    let said = said.await;
    let said = said.map_err(|_| Problem::inner("the vault could not be asked"))?;
    said.map(Json).map_err(Problem::unknown)
}
