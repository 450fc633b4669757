//! Errors as RFC 9457 has them: `application/problem+json`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:lifeboat:problem:` and a word that a program can go by.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the status means.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// One sentence: what, why, what next.
    pub detail: String,
    /// Who overrules a change: name of the field, and who says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<Overruled>,
}

/// A field that something above the API says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overruled {
    /// `rpo`, `retain`, …
    pub field: String,
    /// `label lifeboat.rpo on shop-db-1`.
    pub by: String,
}

impl Problem {
    /// One of this status; `word` is for programs.
    #[must_use]
    pub fn new(status: StatusCode, word: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:lifeboat:problem:{word}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            overruled: Vec::new(),
        }
    }

    /// 400.
    #[must_use]
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// 403.
    #[must_use]
    pub fn forbidden(word: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, word, detail)
    }

    /// 404.
    #[must_use]
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 409.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 503.
    #[must_use]
    pub fn away(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// 500.
    #[must_use]
    pub fn inner(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let unauthorized = status == StatusCode::UNAUTHORIZED;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<lifeboat_agent::Refused> for Problem {
    fn from(refused: lifeboat_agent::Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            lifeboat_agent::Refused::Away => Self::away(detail),
            lifeboat_agent::Refused::NoSuchApp(_) => Self::unknown(detail),
        }
    }
}

impl From<lifeboat_objectives::Refused> for Problem {
    fn from(refused: lifeboat_objectives::Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            lifeboat_objectives::Refused::Away => Self::away(detail),
            lifeboat_objectives::Refused::Unknown(_) => Self::unknown(detail),
            lifeboat_objectives::Refused::Conflict(_) => Self::conflict(detail),
        }
    }
}

impl From<lifeboat_objectives::Error> for Problem {
    fn from(error: lifeboat_objectives::Error) -> Self {
        Self::inner(error.to_string())
    }
}
