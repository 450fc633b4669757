//! Definitions of apps, masked: as they run, and as they were at a point.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use axum::{Json, extract::State};
use lifeboat_objectives::{Flow, Handle};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Problems, points::find_point};
use crate::{
    ask::{self, Asked, Named, Viewer},
    guard::Role,
    mask,
    problem::Problem,
    shared::Shared,
};

/// Definitions are small.
const MOST: u64 = 32 << 20;

/// What is seen of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Seen {
    /// With secrets; for admins.
    #[serde(default)]
    pub full: bool,
}

/// The definitions of an app.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Definitions {
    /// Whether values of variables, and what looks like a credential, are masked; for others than admins commands and paths of the
    /// host as well.
    pub masked: bool,
    /// As the engine's inspect says it, by `containers/NAME`, `networks/NAME`, `volumes/NAME`, `images/ID`.
    pub definitions: BTreeMap<String, Value>,
}

impl Definitions {
    fn of(found: BTreeMap<String, Value>, viewer: &Viewer, full: bool) -> Self {
        let all = viewer.sees_all();
        let masked = found.into_iter().map(|(name, mut value)| {
            if !full {
                mask::definition::hide(&mut value, all);
                value = mask::value(all, value);
            }
            (name, value)
        });
        Self {
            masked: !full,
            definitions: masked.collect(),
        }
    }
}

fn may(viewer: &Viewer, seen: &Seen) -> Result<(), Problem> {
    // Secrets.
    viewer.at_least(if seen.full { Role::Admin } else { Role::Viewer })
}

/// What an app that runs here is made of, masked
#[utoipa::path(get, path = "/api/v1/apps/{app}/definition", operation_id = "app_definition", tag = "looking", params(("app" = String, Path, description = "`[[SITE/]HOST/]APP`"), Seen), responses((status = 200, body = Definitions), Problems))]
pub async fn running(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(app): Named<String>,
    Asked(seen): Asked<Seen>,
) -> Result<Json<Definitions>, Problem> {
    may(&viewer, &seen)?;
    let app = ask::app(&shared, &app)?;
    let keeper = shared.keeper()?.clone();
    let found = tokio::task::spawn_blocking(move || keeper.definitions(&app)).await;
    let found = found.map_err(|_| Problem::inner("the engine could not be asked"))?;
    let found = found.map_err(|why| Problem::away(mask::unless(viewer.sees_all(), &why)))?;
    let named = found
        .into_iter()
        .map(|(n, v)| (format!("containers/{n}"), v));
    Ok(Json(Definitions::of(named.collect(), &viewer, seen.full)))
}

/// What an app was made of at a point, masked
#[utoipa::path(get, path = "/api/v1/points/{id}/definition", operation_id = "point_definition", tag = "looking", params(("id" = String, Path, description = "Its id"), Seen), responses((status = 200, body = Definitions), Problems))]
pub async fn at_a_point(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<String>,
    Asked(seen): Asked<Seen>,
) -> Result<Json<Definitions>, Problem> {
    may(&viewer, &seen)?;
    let point = find_point(&shared, &id).await?;
    let keeper = shared.keeper()?.clone();
    let found = tokio::task::spawn_blocking(move || read(&keeper, point.id)).await;
    let found = found.map_err(|_| Problem::inner("the vault could not be asked"))?;
    let found = found.map_err(|why| Problem::unknown(mask::unless(viewer.sees_all(), &why)))?;
    Ok(Json(Definitions::of(found, &viewer, seen.full)))
}

/// The files below `definition/` of a point, which `dump` gives as an archive.
fn read(keeper: &Handle, point: String) -> Result<BTreeMap<String, Value>, String> {
    let args = ["dump", "--", &point, "/definition"].map(str::to_owned);
    let mut flow = keeper.stream(&args)?;
    let mut bytes = Vec::new();
    let read = (&mut flow).take(MOST).read_to_end(&mut bytes);
    read.map_err(|why| why.to_string())?;
    ended(flow, bytes.len())?;
    let mut all = BTreeMap::new();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let broken = |why: std::io::Error| format!("the definition cannot be read: {why}");
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.display().to_string();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let path = path.trim_start_matches("definition/");
        let Some(name) = path.strip_suffix(".json").map(str::to_owned) else {
            continue;
        };
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(broken)?;
        let value = serde_json::from_slice(&text).map_err(|why| broken(why.into()))?;
        all.insert(name, value);
    }
    Ok(all)
}

fn ended(flow: Flow, read: usize) -> Result<(), String> {
    if read as u64 >= MOST {
        return Err("the definition is longer than 32 MiB; use `lifeboat dump`".to_owned());
    }
    let said = flow.end().map_err(|why| why.to_string())?;
    match said.code {
        Some(0 | 3) => Ok(()),
        _ => Err(said.last_word()),
    }
}
