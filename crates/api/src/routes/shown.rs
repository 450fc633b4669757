//! What commands that only look show, as they show it: for people who may ask the agent and may not read its files.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Problems,
    operations::{FormWanted, Outcome, outcome},
};
use crate::{
    ask::{self, Asked, Named, Viewer},
    problem::Problem,
    shared::Shared,
};

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// `lifeboat points`.
    Points,
    /// `lifeboat policy`.
    Policy,
    /// `lifeboat jobs`.
    Jobs,
    /// `lifeboat events`.
    Events,
}

/// How, and of what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Show {
    /// `json`, or `text`: the table.
    #[serde(default)]
    #[param(inline)]
    pub form: Option<FormWanted>,
    /// App; of jobs the number of one, whose log is for admins.
    pub of: Option<String>,
    /// So many at most (`jobs`, `events`).
    #[param(minimum = 1, maximum = 1000)]
    pub last: Option<usize>,
}

/// What a command shows that only looks; paths are for admins
#[utoipa::path(get, path = "/api/v1/shown/{what}", operation_id = "shown", tag = "looking", params(("what" = What, Path, description = "Which command"), Show), responses((status = 200, body = Outcome), Problems))]
pub async fn one(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(what): Named<What>,
    Asked(show): Asked<Show>,
) -> Result<Json<Outcome>, Problem> {
    let all = viewer.sees_all();
    if show.last.is_some_and(|last| !(1..=1000).contains(&last)) {
        return Err(Problem::bad("`last` is not between 1 and 1000"));
    }
    let last = show.last.unwrap_or(50).to_string();
    let app = match what {
        What::Jobs => None,
        _ => show.of.as_deref().map(ask::name).transpose()?,
    };
    let mut args = match what {
        What::Points => vec!["points"],
        What::Policy => vec!["policy"],
        What::Events => vec!["events", "-n", &last],
        What::Jobs if show.of.is_some() => vec!["jobs", "show"],
        What::Jobs => vec!["jobs", "-n", &last],
    };
    let id = match (what, &show.of) {
        (What::Jobs, Some(id)) => {
            let id: u64 = id
                .parse()
                .map_err(|_| Problem::bad("`of` is no number of a job"))?;
            Some(id.to_string())
        }
        _ => None,
    };
    if app.is_some() || id.is_some() {
        args.push("--");
        args.extend(app.as_deref());
        args.extend(id.as_deref());
    }
    let text = show.form == Some(FormWanted::Text);
    let said = shared.say_as(&args, text, None).await?;
    let mut outcome = outcome(said, all);
    if !all && what == What::Jobs {
        if let Some(answer) = &mut outcome.answer {
            without_log(answer);
        }
        let lines = outcome.text.take();
        outcome.text = lines.map(|text| {
            let kept = text.lines().filter(|line| !line.starts_with("log "));
            kept.map(|line| format!("{line}\n")).collect()
        });
    }
    Ok(Json(outcome))
}

fn without_log(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(all) => all.iter_mut().for_each(without_log),
        serde_json::Value::Object(all) => {
            all.remove("log");
            all.remove("args");
        }
        _ => {}
    }
}
