//! What handlers take: who asks, in which role; queries and bodies that are refused in one sentence.

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use lifeboat_plan::{
    name::{AppName, HostName, SiteName},
    suggest,
};
use serde::de::DeserializeOwned;

use crate::{
    guard::{Caller, Role},
    problem::Problem,
    shared::Shared,
};

fn caller(parts: &Parts, least: Role) -> Result<Caller, Problem> {
    let caller = parts.extensions.get::<Caller>();
    let caller = caller.ok_or_else(|| Problem::inner("nobody knows who asks"))?;
    enough(caller, least)?;
    Ok(caller.clone())
}

fn enough(caller: &Caller, least: Role) -> Result<(), Problem> {
    if caller.role >= least {
        return Ok(());
    }
    Err(Problem::forbidden(
        "role-too-low",
        format!(
            "{} is {}, and this takes {least}; ask somebody who is, or for a token that is",
            caller.name, caller.role
        ),
    ))
}

macro_rules! role {
    ($(#[$doc:meta])* $name:ident, $least:expr) => {
        $(#[$doc])*
        #[allow(dead_code, reason = "not everybody asks who it is")]
        pub struct $name(pub Caller);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                caller(parts, $least).map(Self)
            }
        }
    };
}

role!(
    /// Anybody who was let in.
    Viewer,
    Role::Viewer
);
role!(
    /// An operator, or an admin.
    Operator,
    Role::Operator
);
role!(
    /// An admin.
    Admin,
    Role::Admin
);

impl Operator {
    /// What takes more than its path says.
    ///
    /// # Errors
    /// The role is too low.
    pub fn at_least(&self, least: Role) -> Result<(), Problem> {
        enough(&self.0, least)
    }
}

impl Viewer {
    /// What takes more than its path says.
    ///
    /// # Errors
    /// The role is too low.
    pub fn at_least(&self, least: Role) -> Result<(), Problem> {
        enough(&self.0, least)
    }

    /// Whether they may see all.
    pub fn sees_all(&self) -> bool {
        self.0.role == Role::Admin
    }
}

/// A query, of which nothing is left out silently.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let query =
            query.map_err(|e| Problem::bad(format!("the query cannot be read: {}", cause(&e))))?;
        Ok(Self(query.0))
    }
}

/// The innermost cause: what is around it names types of ours.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// A segment of the path.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let path =
            path.map_err(|e| Problem::bad(format!("the path cannot be read: {}", e.body_text())))?;
        Ok(Self(path.0))
    }
}

/// A body in JSON.
pub struct Given<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or("application/json");
        let plain = kind.split(';').next().unwrap_or_default().trim();
        if !plain.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                format!("the body is {plain}; send application/json"),
            ));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| Problem::bad("the body cannot be read"))?;
        let read = serde_json::from_slice(&body);
        read.map(Self)
            .map_err(|e| Problem::bad(format!("the body cannot be read: {e}")))
    }
}

/// `[[SITE/]HOST/]APP`, checked: nothing else gets any further.
///
/// # Errors
/// It is no name.
pub fn name(text: &str) -> Result<String, Problem> {
    let bad = |error: lifeboat_plan::name::NameError| Problem::bad(error.to_string());
    let mut parts = text.rsplit('/');
    let app = AppName::new(parts.next().unwrap_or_default()).map_err(bad)?;
    let mut name = app.to_string();
    if let Some(host) = parts.next() {
        name = format!("{}/{name}", HostName::new(host).map_err(bad)?);
    }
    if let Some(site) = parts.next() {
        name = format!("{}/{name}", SiteName::new(site).map_err(bad)?);
    }
    match parts.next() {
        None => Ok(name),
        Some(_) => Err(Problem::bad(format!(
            "`{name}` and more is no app: one is named `[[SITE/]HOST/]APP`"
        ))),
    }
}

/// The whole name of an app that is here.
///
/// # Errors
/// It is no name, or there is no such app; then the nearest ones are said.
pub fn app(shared: &Shared, text: &str) -> Result<String, Problem> {
    let wanted = name(text)?;
    shared.keeper()?.look(|view| {
        let ends = format!("/{wanted}");
        let found = view
            .apps
            .keys()
            .find(|key| **key == wanted || key.ends_with(&ends));
        found.cloned().ok_or_else(|| {
            let names = view.apps.keys().filter_map(|key| key.rsplit('/').next());
            let near = suggest::suggest(&wanted, names);
            Problem::unknown(format!(
                "there is no app `{wanted}` here{}; GET /api/v1/apps lists them",
                suggest::sentence(&near)
            ))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_nothing_else() {
        assert_eq!(name("shop").unwrap(), "shop");
        assert_eq!(name("default/lab/shop").unwrap(), "default/lab/shop");
        for wrong in [
            "",
            "../x",
            "a/../b",
            "/etc/passwd",
            "a/b/c/d",
            "a b",
            "-x",
            "a\u{0}",
        ] {
            assert_eq!(name(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
