//! Keys of the vault; for admins. A password comes in a body, goes on over a pipe, and is kept nowhere.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use lifeboat_objectives::Said;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Problems;
use crate::{
    ask::{Admin, Given, Named},
    problem::Problem,
    shared::Shared,
};

/// A password is not longer than so many bytes.
const LONGEST: usize = 1024;

/// A key of the vault.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Whether the agent's own commands open the vault with it.
    pub current: bool,
    /// When it was made.
    pub created: Option<String>,
    /// Who made it, or whose it is.
    pub username: Option<String>,
    /// On which host.
    pub hostname: Option<String>,
    /// What is wrong with it.
    pub damage: Option<String>,
}

/// All keys.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// In no order.
    pub keys: Vec<Key>,
}

/// A key that is to be added.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyWanted {
    /// What opens the vault with it; kept nowhere, and written into no log.
    #[schema(min_length = 1, max_length = 1024, format = Password)]
    pub password: String,
    /// Whose it is, for the list.
    #[serde(default)]
    pub user: Option<String>,
}

/// Which one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyId {
    /// Its id.
    pub id: String,
}

fn unless_failed(said: Said) -> Result<Value, Problem> {
    match said.code {
        Some(0) => serde_json::from_str(&said.out).map_err(|why| Problem::inner(why.to_string())),
        Some(10 | 11) => Err(Problem::away(said.last_word())),
        _ => Err(Problem::conflict(said.last_word())),
    }
}

/// The keys of the vault; for admins
#[utoipa::path(get, path = "/api/v1/keys", operation_id = "keys", tag = "keys", responses((status = 200, body = Keys), Problems))]
pub async fn list(_: Admin, State(shared): State<Arc<Shared>>) -> Result<Json<Keys>, Problem> {
    all(&shared).await.map(Json)
}

async fn all(shared: &Arc<Shared>) -> Result<Keys, Problem> {
    let said = shared.say(&["key", "list"], None).await?;
    let keys = serde_json::from_value(unless_failed(said)?);
    keys.map_err(|why| Problem::inner(why.to_string()))
}

/// Adds a key with a password of its own; done once it is answered; for admins
#[utoipa::path(
    post, path = "/api/v1/keys", operation_id = "add_key", tag = "keys", request_body = KeyWanted,
    params(("Idempotency-Key" = Option<String>, Header, description = "Done once in a day, however often it is sent")),
    responses((status = 201, body = KeyId), Problems)
)]
pub async fn add(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Given(wanted): Given<KeyWanted>,
) -> Result<(StatusCode, Json<KeyId>), Problem> {
    let password = wanted.password.trim();
    if password.is_empty() || password.len() > LONGEST || password.contains(['\n', '\0']) {
        return Err(Problem::bad(format!(
            "the password is empty, longer than {LONGEST} bytes, or has more than one line"
        )));
    }
    let user = wanted.user.as_deref();
    if user.is_some_and(|user| user.len() > 200 || user.chars().any(char::is_control)) {
        return Err(Problem::bad(
            "`user` is too long, or holds control characters",
        ));
    }
    let user = user.map(|user| format!("--user={user}"));
    let mut args = vec!["key", "add", "--new-password-file=/dev/stdin"];
    args.extend(user.as_deref());
    let said = shared
        .say(&args, Some(password.as_bytes().to_vec()))
        .await?;
    let made = serde_json::from_value(unless_failed(said)?);
    let made = made.map_err(|why| Problem::inner(why.to_string()))?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Removes a key: its password opens the vault no more; for admins. The one in use is never removed
#[utoipa::path(delete, path = "/api/v1/keys/{id}", operation_id = "remove_key", tag = "keys", params(("id" = String, Path, description = "Its id, or its beginning of 8 digits or more")), responses((status = 200, body = KeyId), Problems))]
pub async fn remove(
    _: Admin,
    State(shared): State<Arc<Shared>>,
    Named(id): Named<String>,
) -> Result<Json<KeyId>, Problem> {
    let is = (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    if !is {
        return Err(Problem::bad(
            "an id of a key has 8 to 64 hexadecimal digits",
        ));
    }
    let wanted = id.to_ascii_lowercase();
    let known = all(&shared).await?;
    if !known.keys.iter().any(|key| key.id.starts_with(&wanted)) {
        return Err(Problem::unknown(format!(
            "there is no key {id}; GET /api/v1/keys lists them"
        )));
    }
    let said = shared.say(&["key", "remove", "--", &id], None).await?;
    let removed = unless_failed(said)?;
    let id = removed["removed"].as_str().unwrap_or(&id).to_owned();
    Ok(Json(KeyId { id }))
}
