//! What is to be done: long work becomes a job, which can be followed.

use std::sync::Arc;
use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use lifeboat_objectives::Said;
use lifeboat_plan::schedule::{Form, Order, Task, Work};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Problems, jobs, points, stream};
use crate::{
    ask::{self, Asked, Given, Named, Operator, Viewer},
    mask,
    model::{Job, RestoreWanted, Wanted},
    order,
    problem::Problem,
    shared::Shared,
};

/// Between two looks at a job that is followed.
const AGAIN: Duration = Duration::from_millis(250);

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormWanted {
    /// JSON.
    #[default]
    Json,
    /// As the command shows it to people.
    Text,
}

/// How the answer is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wish {
    /// `json`, or `text`: what the command prints for people.
    #[serde(default)]
    #[param(inline)]
    pub form: Option<FormWanted>,
    /// Warnings and errors only, beside the answer.
    #[serde(default)]
    pub quiet: bool,
}

/// What is to be done, and how.
enum Way {
    /// In its turn, by the schedule.
    Scheduled(Work),
    /// At once, as it was said; with the content of a file.
    Ordered(Order, Option<String>),
}

/// Has something done now: a backup of an app, a restore, a check, …
///
/// Which role a kind takes is said by 403; what names paths of the host, or changes what runs in containers, takes an admin.
#[utoipa::path(
    post, path = "/api/v1/operations", operation_id = "ask", tag = "doing", request_body = Wanted,
    params(Wish, ("Idempotency-Key" = Option<String>, Header, description = "Done once in a day, however often it is sent")),
    responses((status = 202, body = Job, headers(("Location" = String, description = "Where it is followed"))), Problems)
)]
pub async fn ask(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Asked(wish): Asked<Wish>,
    Given(wanted): Given<Wanted>,
) -> Result<Response, Problem> {
    operator.at_least(wanted.least())?;
    let mut way = way(&shared, wanted).await?;
    if let Way::Ordered(order, _) = &mut way {
        if wish.form == Some(FormWanted::Text) {
            order.form = Form::Text;
        }
        if wish.quiet {
            order.args.insert(0, "--quiet".to_owned());
        }
    }
    let keeper = shared.keeper()?.clone();
    let id = tokio::task::spawn_blocking(move || match way {
        Way::Scheduled(work) => keeper.ask(work),
        Way::Ordered(order, file) => keeper.order(order, file),
    });
    let id = id.await;
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

async fn way(shared: &Arc<Shared>, wanted: Wanted) -> Result<Way, Problem> {
    let ordered = |order: Order| Way::Ordered(order, None);
    let upkeep = |task: Task| Way::Scheduled(Work::Upkeep(task));
    let keeper = shared.keeper()?;
    Ok(match wanted {
        Wanted::Backup(wanted) => {
            if wanted.app.is_empty() {
                return Err(Problem::bad("`app` to back up is missing"));
            }
            let app = ask::app(shared, &wanted.app)?;
            if wanted.is_plain() {
                let app = app.as_str().into();
                return Ok(Way::Scheduled(Work::Capture { app }));
            }
            ordered(order::backup(&app, &wanted)?)
        }
        Wanted::Estimate(wanted) => ordered(order::estimate(&ask::app(shared, &wanted.app)?)),
        Wanted::Restore(wanted) => restore(shared, &wanted).await?,
        Wanted::ContinueRestore(wanted) => ordered(order::interrupted("continue", &wanted)?),
        Wanted::UndoRestore(wanted) => ordered(order::interrupted("undo", &wanted)?),
        Wanted::RemoveCopy(wanted) => ordered(order::remove_copy(&wanted)?),
        Wanted::RemoveExpired(_) => ordered(order::remove_expired()),
        Wanted::Pin(wanted) => ordered(order::pin("pin", &wanted)?),
        Wanted::Unpin(wanted) => ordered(order::pin("unpin", &wanted)?),
        Wanted::Forget(wanted) if wanted.is_plain() => upkeep(Task::Forget),
        Wanted::Forget(wanted) => ordered(order::forget(&wanted)?),
        Wanted::Prune(wanted) if wanted.is_plain() => upkeep(Task::Prune),
        Wanted::Prune(wanted) => ordered(order::prune(&wanted)?),
        Wanted::Check(wanted) => {
            order::check(&wanted)?.map_or_else(|| upkeep(Task::Check), ordered)
        }
        Wanted::Repair(wanted) => {
            let aside = shared.state.join("set-aside").display().to_string();
            ordered(order::repair(&wanted, &aside)?)
        }
        Wanted::Copy(wanted) => {
            let known = keeper.look(|view| view.copies.clone());
            let name = named(&wanted.name, &known, "copy")?;
            if wanted.is_plain() {
                return Ok(upkeep(Task::Copy(name)));
            }
            ordered(order::copy(&wanted)?)
        }
        Wanted::Registry(wanted) => {
            let known = keeper.look(|view| view.registries.clone());
            let name = named(&wanted.name, &known, "registry")?;
            if wanted.repositories.is_empty() && wanted.tags.is_empty() {
                return Ok(upkeep(Task::Registry(name)));
            }
            ordered(order::registry(&wanted)?)
        }
        Wanted::RegistryCheck(wanted) => ordered(order::registry_check(&wanted)?),
        Wanted::RegistryForget(wanted) => ordered(order::registry_forget(&wanted)?),
        Wanted::RegistryRestore(wanted) => ordered(order::registry_restore(&wanted)?),
    })
}

/// A name of `lifeboat.toml`.
fn named(name: &str, known: &[String], what: &str) -> Result<String, Problem> {
    if known.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let near = lifeboat_plan::suggest::suggest(name, known.iter().map(String::as_str));
    let shown: String = name.chars().take(100).collect();
    Err(Problem::unknown(format!(
        "lifeboat.toml has no {what} `{shown}`{}",
        lifeboat_plan::suggest::sentence(&near)
    )))
}

async fn restore(shared: &Arc<Shared>, wanted: &RestoreWanted) -> Result<Way, Problem> {
    let app = points::app_of(shared, &wanted.point).await?;
    let order = order::restore(app.as_deref(), wanted)?;
    let name = app.as_deref().unwrap_or("this app");
    if wanted.replace {
        order::confirmed(name, wanted.confirm.as_deref(), "is replaced by the point")?;
    } else if is_whole(wanted) && is_here(shared, app.as_deref())? {
        return Err(Problem::conflict(format!(
            "{name} is here already: restore a copy beside it (`as`), or put the point in its place (`replace`, with its name in `confirm`); `continue_restore` goes on with what was interrupted"
        )));
    }
    Ok(Way::Ordered(order, maps(wanted)?))
}

/// Whether it is the whole app under its own name.
fn is_whole(wanted: &RestoreWanted) -> bool {
    let parts = [&wanted.volumes, &wanted.binds, &wanted.services];
    wanted.copy.is_none()
        && wanted.into.is_none()
        && wanted.maps.is_none()
        && !wanted.images
        && parts.iter().all(|part| part.is_empty())
}

fn is_here(shared: &Shared, app: Option<&str>) -> Result<bool, Problem> {
    let Some(app) = app else { return Ok(false) };
    let of_app = |key: &String| key.rsplit('/').next() == Some(app);
    Ok(shared.keeper()?.look(|view| view.apps.keys().any(of_app)))
}

/// JSON is YAML as well.
fn maps(wanted: &RestoreWanted) -> Result<Option<String>, Problem> {
    let text = wanted.maps.as_ref().map(serde_json::to_string).transpose();
    text.map_err(|why| Problem::inner(why.to_string()))
}

/// What a restore would do, and what stands in its way.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RestorePlanned {
    /// Whether it would be refused.
    pub refused: bool,
    /// Why, in a sentence.
    pub why: Option<String>,
    /// As `lifeboat restore --dry-run -o json` says it: steps, obstacles, how long it will take; paths are for admins.
    pub plan: Option<Value>,
}

/// What a restore would do, step by step, and what stands in its way; nothing is changed
#[utoipa::path(post, path = "/api/v1/restores/plan", operation_id = "plan_restore", tag = "doing", request_body = RestoreWanted, responses((status = 200, body = RestorePlanned), Problems))]
pub async fn plan(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Given(wanted): Given<RestoreWanted>,
) -> Result<Json<RestorePlanned>, Problem> {
    operator.at_least(Wanted::Restore(Box::new(wanted.clone())).least())?;
    let all = Viewer(operator.0).sees_all();
    points::app_of(&shared, &wanted.point).await?;
    let mut order = order::restore(None, &wanted)?;
    order.args.insert(1, "--dry-run".to_owned());
    let maps = maps(&wanted)?;
    if maps.is_some() {
        order.args.insert(1, "--map-file=/dev/stdin".to_owned());
    }
    let keeper = shared.keeper()?.clone();
    let said = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = order.args.iter().map(String::as_str).collect();
        keeper.said(&args, false, maps.as_deref().map(str::as_bytes))
    });
    let said = said.await;
    let said = said.map_err(|_| Problem::inner("the vault could not be asked"))?;
    let said = said.map_err(Problem::away)?;
    let plan = serde_json::from_str(&said.out).ok();
    match said.code {
        Some(0) => {}
        Some(1) if plan.is_some() => {}
        Some(2) => return Err(Problem::bad(mask::unless(all, &said.last_word()))),
        _ => return Err(Problem::conflict(mask::unless(all, &said.last_word()))),
    }
    let refused = said.code == Some(1);
    Ok(Json(RestorePlanned {
        refused,
        why: refused.then(|| mask::unless(all, &said.last_word())),
        plan: plan.map(|plan| mask::value(all, plan)),
    }))
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

/// What came of an operation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// Exit code of its command; none: it was ended, or nobody was there to see.
    pub code: Option<i32>,
    /// What it answered, as `-o json` of its command says it; paths are for admins.
    pub answer: Option<Value>,
    /// What it answered, where text was wanted.
    pub text: Option<String>,
    /// What it said beside that; for admins.
    pub said: Option<String>,
}

/// What came of an operation that is over, as its command says it; the newest are kept
///
/// Of what the schedule does there is none: its job says it all.
#[utoipa::path(get, path = "/api/v1/operations/{id}/result", operation_id = "operation_result", tag = "doing", params(("id" = u64, Path, description = "Its number")), responses((status = 200, body = Outcome), Problems))]
pub async fn result(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<u64>,
) -> Result<Json<Outcome>, Problem> {
    let all = Viewer(operator.0).sees_all();
    let job = jobs::job(&shared, id, all).await?;
    if !job.is_over() {
        return Err(Problem::conflict(format!(
            "operation {id} is not over; follow it at /api/v1/operations/{id}/events"
        )));
    }
    let keeper = shared.keeper()?.clone();
    let said = tokio::task::spawn_blocking(move || keeper.result(id)).await;
    let said = said.map_err(|_| Problem::inner("the result cannot be read"))?;
    let said = said.ok_or_else(|| {
        Problem::unknown(format!(
            "of operation {id} no result is kept: it is of the schedule, or too old; its job says how it ended"
        ))
    })?;
    Ok(Json(outcome(said, all)))
}

pub fn outcome(said: Said, all: bool) -> Outcome {
    let answer = serde_json::from_str::<Value>(&said.out).ok();
    let text = answer.is_none().then(|| mask::unless(all, &said.out));
    Outcome {
        code: said.code,
        answer: answer.map(|answer| mask::value(all, answer)),
        text: text.filter(|text| !text.is_empty()),
        said: all.then_some(said.err),
    }
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
