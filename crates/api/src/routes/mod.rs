//! The resources, one room for each; the OpenAPI document comes from the same lines as the routes, so that neither knows more than
//! the other.

mod apps;
mod audit;
mod bytes;
mod copies;
mod definitions;
mod doing;
mod events;
mod jobs;
mod keys;
mod looking;
mod operations;
mod points;
mod policies;
mod shown;
mod stream;

pub use operations::Outcome;

use std::sync::Arc;

use axum::{Router, http::StatusCode, middleware};
use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::{
        Object, RefOr, Schema,
        schema::AdditionalProperties,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    gate,
    problem::{Overruled, Problem},
    shared::Shared,
};

/// What any request can be answered with.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "of the document")]
pub enum Problems {
    /// Something in the path, the query or the body cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    Bad(Problem),
    /// No token, or one that is not known, was taken back or expired
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The role is too low
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is nothing of this name
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The request did not come in time
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// It does not go as things stand
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The body is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not JSON
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// The Idempotency-Key was used for another request
    #[response(status = 422, content_type = "application/problem+json")]
    KeyReused(Problem),
    /// Something is wrong with the agent
    #[response(status = 500, content_type = "application/problem+json")]
    Inner(Problem),
    /// The engine, the vault or the agent does not answer just now
    #[response(status = 503, content_type = "application/problem+json")]
    Away(Problem),
}

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "Over the network. Over the socket the kernel says who asks, and no token is needed.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Each kind of [`Wanted`](crate::model::Wanted) as one object: `kind` beside fields of which no other is taken. As the derive has
/// it, `kind` itself would be forbidden by the fields' own schema.
struct Kinds;

impl Modify for Kinds {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = &mut document.components else {
            return;
        };
        let known = components.schemas.clone();
        let Some(RefOr::T(Schema::OneOf(kinds))) = components.schemas.get_mut("Wanted") else {
            return;
        };
        for kind in &mut kinds.items {
            let RefOr::T(Schema::AllOf(parts)) = kind else {
                continue;
            };
            let mut whole = Object::new();
            whole.description.clone_from(&parts.description);
            for part in &parts.items {
                let part = match part {
                    RefOr::T(part) => Some(part),
                    RefOr::Ref(to) => {
                        let name = to.ref_location.rsplit('/').next().unwrap_or_default();
                        known.get(name).and_then(|known| match known {
                            RefOr::T(schema) => Some(schema),
                            RefOr::Ref(_) => None,
                        })
                    }
                };
                if let Some(Schema::Object(part)) = part {
                    whole.properties.extend(part.properties.clone());
                    whole.required.extend(part.required.clone());
                }
            }
            whole.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            *kind = RefOr::T(Schema::Object(whole));
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lifeboat",
        description = "The API of `lifeboat agent`: how containers and objectives are, and what is to be done. Roles: viewer, operator, admin; each may what the one before may. Times are milliseconds since 1970, lengths of time milliseconds. A POST with an Idempotency-Key is done once in a day, however often it is sent.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem, Overruled, shown::What)),
    modifiers(&Token),
    security(("token" = []), ()),
    tags(
        (name = "looking", description = "How things are"),
        (name = "doing", description = "What is to be done"),
        (name = "policies", description = "What people want of apps"),
        (name = "keys", description = "Who can open the vault"),
    )
)]
struct Document;

fn all() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(looking::status))
        .routes(routes!(looking::about))
        .routes(routes!(looking::metrics))
        .routes(routes!(looking::openapi))
        .routes(routes!(apps::list))
        .routes(routes!(apps::one))
        .routes(routes!(policies::list))
        .routes(routes!(policies::one, policies::set, policies::unset))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::one))
        .routes(routes!(jobs::cancel))
        .routes(routes!(operations::ask))
        .routes(routes!(operations::one))
        .routes(routes!(operations::events))
        .routes(routes!(operations::result))
        .routes(routes!(operations::plan))
        .routes(routes!(copies::list))
        .routes(routes!(copies::one))
        .routes(routes!(keys::list, keys::add))
        .routes(routes!(keys::remove))
        .routes(routes!(definitions::running))
        .routes(routes!(definitions::at_a_point))
        .routes(routes!(points::list))
        .routes(routes!(points::one))
        .routes(routes!(points::content))
        .routes(routes!(points::file))
        .routes(routes!(points::diff))
        .routes(routes!(points::find))
        .routes(routes!(points::stats))
        .routes(routes!(events::list))
        .routes(routes!(events::follow))
        .routes(routes!(looking::maintained, doing::maintenance))
        .routes(routes!(doing::release))
        .routes(routes!(doing::notify))
        .routes(routes!(shown::one))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = all().into_openapi();
    // What the routes brought along is only here by now.
    Kinds.modify(&mut document);
    document
}

/// All routes, behind the gate.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let (router, _) = all().split_for_parts();
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_asked_so)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            gate::gate,
        ))
        .with_state(shared)
}

async fn nothing_here() -> Problem {
    Problem::unknown("there is nothing at this path; GET /api/v1/openapi.json says what there is")
}

async fn not_asked_so() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this is not asked so; GET /api/v1/openapi.json says how",
    )
}
