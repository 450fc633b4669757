//! What each request goes through before it is done: is the path sound, who asks, is the body bounded, was it asked before, is it
//! written down.

use std::sync::Arc;
use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    guard::{Caller, TokenError},
    mask,
    once::{Answer, Known},
    problem::Problem,
    shared::Shared,
};

/// The largest body, and how long it may take to come.
pub const MOST_BODY: usize = 64 << 10;
const BODY: Duration = Duration::from_secs(10);
/// So much of a body stands in the audit log.
const WHAT: usize = 500;
const KEY: &str = "idempotency-key";

/// How somebody came, as the connection knows it.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Over the socket, let in by the kernel's word.
    Socket(Caller),
    /// Over the network: by token.
    Network,
}

pub async fn gate(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match pass(&shared, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn pass(shared: &Arc<Shared>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let caller = admit(shared, &request)?;
    sound(request.uri().path())?;
    request.extensions_mut().insert(caller.clone());
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !changes {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = read(&parts.headers, body).await?;
    let key = key(&parts.method, &parts.headers)?;
    let action = format!("{} {}", parts.method, parts.uri.path());
    // Neither a log nor a hash that is kept holds a secret.
    let said = mask::body(&body);
    let asked = key.map(|key| Asked::new(&caller, key, &action, said.as_bytes()));
    if let Some(asked) = &asked {
        match asked.begin(shared).await? {
            Known::New => {}
            Known::Answered(answer) => return Ok(again(answer)),
            Known::UnderWay => {
                return Err(Problem::conflict(
                    "a request with this Idempotency-Key is being done; ask again in a moment",
                ));
            }
            Known::Other => {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "key-reused",
                    "this Idempotency-Key was used for another request; take a new one",
                ));
            }
        }
    }
    let what: String = said.chars().take(WHAT).collect();
    let request = Request::from_parts(parts, Body::from(body));
    let done = written(shared, &caller, &action, &what, request, next).await;
    let Some(asked) = asked else { return done };
    let response = done.unwrap_or_else(IntoResponse::into_response);
    asked.end(shared, response).await
}

fn admit(shared: &Shared, request: &Request) -> Result<Caller, Problem> {
    let origin = request.extensions().get::<Origin>();
    match origin {
        Some(Origin::Socket(caller)) => Ok(caller.clone()),
        Some(Origin::Network) => {
            let header = request.headers().get(header::AUTHORIZATION);
            let header = header.map(|value| value.to_str().unwrap_or_default());
            let now = jiff::Timestamp::now();
            shared.tokens.caller(header, now).map_err(|error| {
                let (status, word) = match &error {
                    TokenError::Missing => (StatusCode::UNAUTHORIZED, "token-missing"),
                    TokenError::Wrong => (StatusCode::UNAUTHORIZED, "token-unknown"),
                    TokenError::Expired(_) => (StatusCode::UNAUTHORIZED, "token-expired"),
                    TokenError::File(why) => {
                        tracing::error!("tokens cannot be checked: {why}");
                        let detail = "tokens cannot be checked; the agent's log says why";
                        return Problem::away(detail);
                    }
                };
                Problem::new(status, word, error.to_string())
            })
        }
        None => Err(Problem::inner("nobody knows who asks")),
    }
}

/// No path climbs out of anything, however it is written.
fn sound(path: &str) -> Result<(), Problem> {
    let decoded = percent_encoding::percent_decode_str(path);
    let decoded = decoded.decode_utf8();
    let decoded = decoded.map_err(|_| Problem::bad("the path is no text (UTF-8)"))?;
    let climbs = decoded
        .split(['/', '\\'])
        .any(|part| part == ".." || part == ".");
    if climbs || decoded.chars().any(char::is_control) {
        return Err(Problem::bad(
            "the path climbs (`..`) or holds control characters: name the app or the point as the lists show it",
        ));
    }
    Ok(())
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!(
                "the body is larger than {} KiB, the most that is read",
                MOST_BODY >> 10
            ),
        )
    };
    let promised = headers.get(header::CONTENT_LENGTH);
    let promised = promised.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if promised.is_some_and(|length| length > MOST_BODY as u64) {
        return Err(large());
    }
    match tokio::time::timeout(BODY, to_bytes(body, MOST_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(large()),
        Ok(Err(_)) => Err(Problem::bad("the body broke off")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "the body did not come within ten seconds",
        )),
    }
}

fn is_length(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn key<'h>(method: &Method, headers: &'h HeaderMap) -> Result<Option<&'h str>, Problem> {
    let Some(value) = headers.get(KEY).filter(|_| method == Method::POST) else {
        return Ok(None);
    };
    let sound = value.to_str().ok();
    let sound = sound.filter(|key| !key.is_empty() && key.len() <= 255);
    sound.map(Some).ok_or_else(|| {
        Problem::bad("the Idempotency-Key is empty, longer than 255 characters or no plain text")
    })
}

/// A request with a key.
struct Asked {
    key: String,
    request: String,
}

impl Asked {
    fn new(caller: &Caller, key: &str, action: &str, body: &[u8]) -> Self {
        let hash = |parts: &[&[u8]]| {
            let mut hash = Sha256::new();
            for part in parts {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hex::encode(hash.finalize())
        };
        Self {
            key: hash(&[caller.name.as_bytes(), key.as_bytes()]),
            request: hash(&[action.as_bytes(), body]),
        }
    }

    async fn begin(&self, shared: &Arc<Shared>) -> Result<Known, Problem> {
        let (shared, key, request) = (Arc::clone(shared), self.key.clone(), self.request.clone());
        let now = jiff::Timestamp::now().as_millisecond();
        let known =
            tokio::task::spawn_blocking(move || shared.once.begin(&key, &request, now)).await;
        known
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| Problem::away("keys of requests cannot be remembered just now"))
    }

    /// Remembers what was answered, unless it failed by our own doing.
    async fn end(self, shared: &Arc<Shared>, response: Response) -> Result<Response, Problem> {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await;
        let body = body.map_err(|_| Problem::inner("the answer cannot be read"))?;
        let text = |name| {
            let value = parts.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let answer = (!parts.status.is_server_error()).then(|| Answer {
            status: parts.status.as_u16(),
            location: text(header::LOCATION),
            kind: text(header::CONTENT_TYPE).unwrap_or_default(),
            body: body.to_vec(),
        });
        let shared = Arc::clone(shared);
        let kept = tokio::task::spawn_blocking(move || shared.once.end(&self.key, answer.as_ref()));
        if !matches!(kept.await, Ok(Ok(()))) {
            tracing::warn!("the answer to a request with an Idempotency-Key could not be kept");
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

fn again(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    let mut put = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, &answer.kind);
    put(
        header::LOCATION,
        answer.location.as_deref().unwrap_or_default(),
    );
    put(
        header::HeaderName::from_static("idempotent-replayed"),
        "true",
    );
    response
}

/// Does it and writes it down. What cannot be written down is not done; where that turns out only afterwards, it is said.
async fn written(
    shared: &Arc<Shared>,
    caller: &Caller,
    action: &str,
    what: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let note = |outcome: String| {
        let (shared, caller) = (Arc::clone(shared), caller.clone());
        let (action, what) = (action.to_owned(), what.to_owned());
        tokio::task::spawn_blocking(move || shared.note(&caller, &action, &what, &outcome))
    };
    if !shared.audit.is_writable() {
        return Err(Problem::away(
            "nothing is changed, because it could not be written into the audit log; look for a full or read-only disk",
        ));
    }
    let response = next.run(request).await;
    shared.forget_pictures();
    let outcome = response.status().as_u16().to_string();
    match note(outcome).await {
        Ok(Ok(_)) => Ok(response),
        Ok(Err(why)) => {
            tracing::error!("a change ({action}) could not be written into the audit log: {why}");
            Err(Problem::inner(format!(
                "answered {}, and that could not be written into the audit log",
                response.status().as_u16()
            )))
        }
        Err(_) => Err(Problem::inner("the audit log could not be written")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_climbs_however_it_is_written() {
        for path in [
            "/api/v1/apps/../x",
            "/api/v1/apps/%2e%2e%2fetc",
            "/api/v1/apps/..%5cx",
            "/api/v1/apps/a%00b",
            "/api/v1/apps/%ff",
        ] {
            assert_eq!(sound(path).unwrap_err().status, 400, "{path}");
        }
        for path in ["/api/v1/apps/a..b", "/api/v1/apps/default%2Flab%2Fshop"] {
            assert!(sound(path).is_ok(), "{path}");
        }
    }
}
