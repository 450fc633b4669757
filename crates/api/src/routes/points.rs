//! Recovery points, as the vault lists them.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use lifeboat_plan::suggest;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{Problems, bytes};
use crate::{
    ask::{self, Admin, Asked, Named, Viewer},
    mask,
    model::{Page, Point},
    order,
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

pub async fn find_point(shared: &Arc<Shared>, text: &str) -> Result<Point, Problem> {
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
    find_point(&shared, &id).await.map(Json)
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
) -> Result<Json<Value>, Problem> {
    let within = within(&folder)?;
    let point = find_point(&shared, &id).await?;
    let said = shared.lookup(&["ls", "--", &point.id, &within]).await?;
    said.map(Json).map_err(Problem::unknown)
}

/// A path within a point, which nothing climbs out of.
fn within(folder: &Folder) -> Result<String, Problem> {
    let path = folder.path.as_deref().unwrap_or_default();
    let climbs = path.split('/').any(|part| part == "..");
    if climbs || path.chars().any(char::is_control) || path.len() > 8192 {
        return Err(Problem::bad(
            "the path climbs (`..`), is too long, or holds control characters",
        ));
    }
    Ok(format!("/{}", path.trim_matches('/')))
}

/// A file of a point, or a folder as a tar archive, byte for byte, each checked; for admins
///
/// Where a piece is damaged, the connection breaks off before the end.
#[utoipa::path(get, path = "/api/v1/points/{id}/file", operation_id = "point_file", tag = "looking", params(("id" = String, Path, description = "Its id"), Folder), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), Problems))]
pub async fn file(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<String>,
    Asked(folder): Asked<Folder>,
) -> Result<Response, Problem> {
    let within = within(&folder)?;
    let point = find_point(&shared, &id).await?;
    bytes::of(&shared, vec!["dump".into(), "--".into(), point.id, within]).await
}

/// With which other point it is compared.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct With {
    /// Files too of which only mode, owner, times or the like differ.
    #[serde(default)]
    pub metadata: bool,
}

/// What differs between a point and a newer one, as `lifeboat diff` says it; for admins
#[utoipa::path(get, path = "/api/v1/points/{id}/diff/{newer}", operation_id = "point_diff", tag = "looking", params(("id" = String, Path, description = "The older one"), ("newer" = String, Path, description = "The newer one"), With), responses((status = 200, body = serde_json::Value), Problems))]
pub async fn diff(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Named((older, newer)): Named<(String, String)>,
    Asked(with): Asked<With>,
) -> Result<Json<Value>, Problem> {
    let (older, newer) = (
        find_point(&shared, &older).await?,
        find_point(&shared, &newer).await?,
    );
    let mut args = vec!["diff"];
    args.extend(with.metadata.then_some("--metadata"));
    args.extend(["--", &older.id, &newer.id]);
    let said = shared.lookup(&args).await?;
    said.map(Json).map_err(Problem::conflict)
}

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Sought {
    /// A pattern of names: `*.sql`.
    pub pattern: String,
    /// In all points of this app, `[[SITE/]HOST/]APP`.
    pub app: Option<String>,
    /// In this point alone.
    pub point: Option<String>,
}

/// Files of points by their names, as `lifeboat find` says it; for admins
#[utoipa::path(get, path = "/api/v1/files", operation_id = "find_files", tag = "looking", params(Sought), responses((status = 200, body = serde_json::Value), Problems))]
pub async fn find(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Asked(sought): Asked<Sought>,
) -> Result<Json<Value>, Problem> {
    let pattern = &sought.pattern;
    if pattern.is_empty() || pattern.len() > 4096 || pattern.chars().any(char::is_control) {
        return Err(Problem::bad(
            "the pattern is empty, too long, or holds control characters",
        ));
    }
    let app = sought.app.as_deref().map(ask::name).transpose()?;
    let app = app.map(|app| format!("--app={app}"));
    let point = match &sought.point {
        Some(id) => Some(format!("--point={}", find_point(&shared, id).await?.id)),
        None => None,
    };
    let mut args = vec!["find"];
    args.extend(app.as_deref());
    args.extend(point.as_deref());
    args.extend(["--", pattern]);
    let said = shared.lookup(&args).await?;
    said.map(Json).map_err(Problem::unknown)
}

/// Of which points.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Counted {
    /// Only of this app: `[[SITE/]HOST/]APP`.
    pub app: Option<String>,
}

/// What points hold and what they cost, by app, as `lifeboat stats` says it
#[utoipa::path(get, path = "/api/v1/stats", operation_id = "stats", tag = "looking", params(Counted), responses((status = 200, body = serde_json::Value), Problems))]
pub async fn stats(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Asked(counted): Asked<Counted>,
) -> Result<Json<Value>, Problem> {
    let app = counted.app.as_deref().map(ask::name).transpose()?;
    let app = app.map(|app| format!("--app={app}"));
    let mut args = vec!["stats"];
    args.extend(app.as_deref());
    let said = shared.lookup(&args).await?;
    let all = viewer.sees_all();
    let said = said.map_err(|why| Problem::unknown(mask::unless(all, &why)))?;
    Ok(Json(mask::value(all, said)))
}

/// Name of the app that a reference is of, if it is an app's; whoever names what is not in the vault is told so at once.
pub async fn app_of(shared: &Arc<Shared>, text: &str) -> Result<Option<String>, Problem> {
    let reference = order::reference(text)?;
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let Some(app) = order::app_of(&reference) else {
        if reference == "latest" {
            let points = shared.points().await?;
            let newest = points.first();
            return Ok(newest.and_then(|point| point.app.as_deref().map(last)));
        }
        let point = find_point(shared, &reference).await?;
        return Ok(point.app.as_deref().map(last));
    };
    let points = shared.points().await?;
    let names = || points.iter().filter_map(|p| p.app.as_deref().map(last));
    if !names().any(|name| name == app) {
        let names: Vec<String> = names().collect();
        let near = suggest::suggest(app, names.iter().map(String::as_str));
        return Err(Problem::unknown(format!(
            "the vault has no point of `{app}`{}; GET /api/v1/points lists them",
            suggest::sentence(&near)
        )));
    }
    Ok(Some(app.to_owned()))
}
