//! Who changed what; for admins.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::Problems;
use crate::{
    ask::{Admin, Asked},
    audit::{Line, Verdict},
    model::{Page, Paging},
    problem::Problem,
    shared::Shared,
};

/// Changes, the newest first; for admins
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "audit", tag = "looking", params(Paging), responses((status = 200, body = Page<Line>), Problems))]
pub async fn list(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<Line>>, Problem> {
    let (limit, before) = (paging.limit()?, paging.number()?);
    let lines = tokio::task::spawn_blocking(move || shared.audit.newest(before, limit + 1)).await;
    let lines = lines.map_err(|_| Problem::inner("the audit log could not be read"))?;
    let lines = lines.map_err(|e| Problem::inner(e.to_string()))?;
    Ok(Json(Page::of(lines, limit, |line| line.seq.to_string())))
}

/// Whether the audit log is whole; for admins
#[utoipa::path(get, path = "/api/v1/audit/verdict", operation_id = "audit_verdict", tag = "looking", responses((status = 200, body = Verdict), Problems))]
pub async fn verify(_: Admin, State(shared): State<Arc<Shared>>) -> Result<Json<Verdict>, Problem> {
    let verdict = tokio::task::spawn_blocking(move || shared.audit.verify(None)).await;
    let verdict = verdict.map_err(|_| Problem::inner("the audit log could not be read"))?;
    verdict.map(Json).map_err(|e| Problem::inner(e.to_string()))
}
