//! Jobs: what runs, what ran, how it ended.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use lifeboat_objectives::Records;

use super::Problems;
use crate::{
    ask::{Asked, Named, Operator, Viewer},
    model::{Job, Page, Paging},
    problem::Problem,
    shared::Shared,
};

/// Reads records where they may be read: on a thread that can wait.
pub async fn records<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&Shared, &Records) -> lifeboat_objectives::Result<T> + Send + 'static,
) -> Result<Option<T>, Problem> {
    let shared = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || {
        let records = Records::look(&shared.state)?;
        records.map(|records| read(&shared, &records)).transpose()
    });
    let read = read.await;
    Ok(read.map_err(|_| Problem::inner("the records could not be read"))??)
}

/// One job with how far it is.
pub async fn job(shared: &Arc<Shared>, id: u64, all: bool) -> Result<Job, Problem> {
    let found = records(shared, move |shared, records| {
        let Some(job) = records.get(id)? else {
            return Ok(None);
        };
        let keeper = shared.keeper.as_ref().filter(|_| !job.is_over());
        let progress = keeper.and_then(|keeper| keeper.progress(id));
        Ok(Some(Job::of(job, progress, all)))
    });
    found.await?.flatten().ok_or_else(|| {
        Problem::unknown(format!("there is no job {id}; GET /api/v1/jobs lists them"))
    })
}

/// Jobs, the newest first
#[utoipa::path(get, path = "/api/v1/jobs", operation_id = "jobs", tag = "looking", params(Paging), responses((status = 200, body = Page<Job>), Problems))]
pub async fn list(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<Job>>, Problem> {
    let (limit, before) = (paging.limit()?, paging.number()?);
    let jobs = records(&shared, move |_, records| records.page(before, limit + 1)).await?;
    let jobs = jobs.unwrap_or_default().into_iter();
    let jobs = jobs
        .map(|job| Job::of(job, None, viewer.sees_all()))
        .collect();
    Ok(Json(Page::of(jobs, limit, |job: &Job| job.id.to_string())))
}

/// One job, with how far it is while it runs
#[utoipa::path(get, path = "/api/v1/jobs/{id}", operation_id = "job", tag = "looking", params(("id" = u64, Path, description = "Its number")), responses((status = 200, body = Job), Problems))]
pub async fn one(
    viewer: Viewer,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<u64>,
) -> Result<Json<Job>, Problem> {
    job(&shared, id, viewer.sees_all()).await.map(Json)
}

/// Ends a job: one that waits at once, one that runs cleanly, in its own time
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "doing", params(("id" = u64, Path, description = "Its number")), responses((status = 202, body = Job), Problems))]
pub async fn cancel(
    operator: Operator,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<u64>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let keeper = shared.keeper()?.clone();
    let asked = tokio::task::spawn_blocking(move || keeper.cancel(id)).await;
    asked.map_err(|_| Problem::inner("the keeper could not be asked"))??;
    let job = job(&shared, id, Viewer(operator.0).sees_all()).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}
