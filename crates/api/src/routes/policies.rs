//! Policies: what holds, and what the API sets. Labels and `lifeboat.toml` stand above it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{Json, extract::State};
use lifeboat_plan::policy::{Wishes, overruled};

use super::Problems;
use crate::{
    ask::{self, Asked, Given, Named, Operator, Viewer},
    model::{Page, Paging, Policy, PolicyChange},
    problem::{Overruled, Problem},
    shared::Shared,
};

/// So long a change may take until it holds. It holds in any case: this is for whoever looks next.
const HOLDS: Duration = Duration::from_secs(5);

fn shown(shared: &Shared, key: &str, all: bool) -> Result<Policy, Problem> {
    let keeper = shared.keeper()?;
    let set = keeper.wishes(key);
    let policy = keeper.look(|view| {
        let app = view.apps.get(key)?;
        Some(Policy::of(key, &app.policy, set, all))
    });
    policy.ok_or_else(|| Problem::unknown(format!("{key} is just gone")))
}

/// The policies of all apps, by name
#[utoipa::path(get, path = "/api/v1/policies", operation_id = "policies", tag = "policies", params(Paging), responses((status = 200, body = Page<Policy>), Problems))]
pub async fn list(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<Policy>>, Problem> {
    let limit = paging.limit()?;
    let after = paging.cursor.as_deref().map(ask::name).transpose()?;
    let keeper = shared.keeper()?;
    let policies = keeper.look(|view| {
        let apps = view.apps.iter();
        let rest = apps.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let rest = rest
            .take(limit + 1)
            .map(|(key, app)| Policy::of(key, &app.policy, keeper.wishes(key), viewer.sees_all()));
        rest.collect::<Vec<Policy>>()
    });
    Ok(Json(Page::of(policies, limit, |policy| policy.app.clone())))
}

/// What holds for an app, and who says so
#[utoipa::path(get, path = "/api/v1/policies/{app}", operation_id = "policy", tag = "policies", params(("app" = String, Path, description = "`[[SITE/]HOST/]APP`")), responses((status = 200, body = Policy), Problems))]
pub async fn one(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(app): Named<String>,
) -> Result<Json<Policy>, Problem> {
    let key = ask::app(&shared, &app)?;
    shown(&shared, &key, viewer.sees_all()).map(Json)
}

/// Sets what the API says of an app, whole; refused (409) where a label or `lifeboat.toml` says any of it already
#[utoipa::path(put, path = "/api/v1/policies/{app}", operation_id = "set_policy", tag = "policies", params(("app" = String, Path, description = "`[[SITE/]HOST/]APP`")), request_body = PolicyChange, responses((status = 200, body = Policy), Problems))]
pub async fn set(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Named(app): Named<String>,
    Given(change): Given<PolicyChange>,
) -> Result<Json<Policy>, Problem> {
    let key = ask::app(&shared, &app)?;
    let wishes = change.wishes()?;
    refuse_overruled(&shared, &key, &wishes)?;
    hold(&shared, &key, Some(wishes)).await?;
    shown(&shared, &key, Viewer(operator.0).sees_all()).map(Json)
}

/// Takes back what the API said of an app
#[utoipa::path(delete, path = "/api/v1/policies/{app}", operation_id = "unset_policy", tag = "policies", params(("app" = String, Path, description = "`[[SITE/]HOST/]APP`")), responses((status = 200, body = Policy), Problems))]
pub async fn unset(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Named(app): Named<String>,
) -> Result<Json<Policy>, Problem> {
    let key = ask::app(&shared, &app)?;
    hold(&shared, &key, None).await?;
    shown(&shared, &key, Viewer(operator.0).sees_all()).map(Json)
}

fn refuse_overruled(shared: &Shared, key: &str, wishes: &Wishes) -> Result<(), Problem> {
    let above = shared.keeper()?.look(|view| {
        let app = view.apps.get(key);
        app.map_or_else(Vec::new, |app| overruled(&app.policy, wishes))
    });
    let Some(first) = above.first() else {
        return Ok(());
    };
    let detail = format!(
        "{} of {key} is set by {}, which stands above the API: change it there; nothing was changed",
        first.field, first.origin
    );
    let mut problem = Problem::conflict(detail);
    problem.kind = "urn:lifeboat:problem:overruled".to_owned();
    let named = above.iter().map(|change| Overruled {
        field: change.field.to_owned(),
        by: change.origin.to_string(),
    });
    problem.overruled = named.collect();
    Err(problem)
}

async fn hold(shared: &Arc<Shared>, key: &str, wishes: Option<Wishes>) -> Result<(), Problem> {
    let (keeper, key) = (shared.keeper()?.clone(), key.to_owned());
    let asked = keeper.clone();
    let number = tokio::task::spawn_blocking(move || asked.set_wishes(&key, wishes)).await;
    let number = number.map_err(|_| Problem::inner("the change could not be written"))??;
    let began = Instant::now();
    while keeper.look(|view| view.changes) < number && began.elapsed() < HOLDS {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
