//! Apps and their objectives.

use std::sync::Arc;

use axum::{Json, extract::State};
use lifeboat_plan::schedule::Time;

use super::Problems;
use crate::{
    ask::{self, Asked, Named, Viewer},
    model::{self, App, Page, Paging},
    problem::Problem,
    shared::Shared,
};

/// All apps of this host with their objectives, by name
#[utoipa::path(get, path = "/api/v1/apps", operation_id = "apps", tag = "looking", params(Paging), responses((status = 200, body = Page<App>), Problems))]
pub async fn list(
    _: Viewer,
    State(shared): State<Arc<Shared>>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<App>>, Problem> {
    let limit = paging.limit()?;
    let after = paging.cursor.as_deref().map(ask::name).transpose()?;
    let now = Time::of(jiff::Timestamp::now());
    let apps = shared.keeper()?.look(|view| {
        let apps = view.apps.iter();
        let rest = apps.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let apps = rest
            .take(limit + 1)
            .map(|(key, app)| model::app(key, app, now));
        apps.collect::<Vec<App>>()
    });
    Ok(Json(Page::of(apps, limit, |app| app.app.clone())))
}

/// One app, as `[[SITE/]HOST/]APP` (`/` written as `%2F`)
#[utoipa::path(get, path = "/api/v1/apps/{app}", operation_id = "app", tag = "looking", params(("app" = String, Path, description = "`[[SITE/]HOST/]APP`")), responses((status = 200, body = App), Problems))]
pub async fn one(
    _: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(app): Named<String>,
) -> Result<Json<App>, Problem> {
    let key = ask::app(&shared, &app)?;
    let now = Time::of(jiff::Timestamp::now());
    let found = shared
        .keeper()?
        .look(|view| view.apps.get(&key).map(|app| model::app(&key, app, now)));
    found
        .map(Json)
        .ok_or_else(|| Problem::unknown(format!("{key} is just gone")))
}
