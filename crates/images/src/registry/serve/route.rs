//! What a path means.

use std::io::Read;

use hyper::{Method, StatusCode};

use super::{
    Server,
    answer::{Answer, Asked, Refusal, whole},
    blobs, lists, manifests, push,
    token::{self, Access},
};
use crate::{
    Digest,
    registry::{Shelved, is_repository},
};

/// A path below `/v2/`.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'p> {
    Base,
    Catalog,
    Tags(&'p str),
    Manifest(&'p str, &'p str),
    Blob(&'p str, &'p str),
    Referrers(&'p str, &'p str),
    /// An upload; without an id where one begins.
    Upload(&'p str, &'p str),
}

impl<'p> Route<'p> {
    fn of(path: &'p str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        match rest {
            "" | "/" => return Some(Self::Base),
            "/_catalog" => return Some(Self::Catalog),
            _ => {}
        }
        let rest = rest.strip_prefix('/')?;
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Self::Tags(name));
        }
        // The name may have such words in it: the last two parts count.
        let (front, last) = rest.rsplit_once('/')?;
        let (name, kind) = front.rsplit_once('/')?;
        if let Some(name) = name.strip_suffix("/blobs").filter(|_| kind == "uploads") {
            return Some(Self::Upload(name, last));
        }
        match kind {
            "manifests" => Some(Self::Manifest(name, last)),
            "blobs" => Some(Self::Blob(name, last)),
            "referrers" => Some(Self::Referrers(name, last)),
            _ => None,
        }
    }
}

impl Route<'_> {
    /// What somebody has to be allowed.
    fn access(&self, method: &Method) -> Option<Access> {
        let action = match *method {
            Method::GET | Method::HEAD => "pull",
            Method::DELETE => "delete",
            _ => "pull,push",
        };
        match self {
            Self::Base => None,
            Self::Catalog => Some(Access::catalog()),
            Self::Upload(name, _) => Some(Access::repository(name, "pull,push")),
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Referrers(name, _) => Some(Access::repository(name, action)),
        }
    }
}

/// Answers a request.
pub fn answer(server: &Server, asked: &Asked, body: &mut dyn Read) -> Result<Answer, Refusal> {
    if let (Some(users), Some(key), "/token") = (&server.users, &server.tokens, &*asked.path) {
        return token::give(key, users, asked, body);
    }
    let below = asked.path == "/v2" || asked.path.starts_with("/v2/");
    if !below {
        return Err(Refusal::nothing_here());
    }
    let route = Route::of(&asked.path).ok_or_else(Refusal::nothing_here);
    let is_read = asked.method == Method::GET || asked.method == Method::HEAD;
    if let Some(users) = &server.users {
        let wanted = route.as_ref().ok();
        let wanted = wanted.and_then(|route| route.access(&asked.method));
        token::admit(server, users, asked, wanted.as_ref())?;
    }
    if !is_read || matches!(route, Ok(Route::Upload(..))) {
        let intake = server.intake.as_deref().ok_or_else(Refusal::read_only)?;
        return push::answer(intake, asked, &route?, body);
    }
    match route? {
        Route::Upload(..) => Err(Refusal::unsupported()),
        Route::Base => Ok(whole(
            StatusCode::OK,
            &[(hyper::header::CONTENT_TYPE, super::answer::JSON)],
            "{}",
        )),
        Route::Catalog => lists::catalog(server, asked),
        Route::Tags(name) => lists::tags(&find(server, asked, name)?, asked, name),
        Route::Manifest(name, reference) => {
            manifests::get(server, &find(server, asked, name)?, reference)
        }
        Route::Blob(name, digest) => blobs::get(server, asked, &find(server, asked, name)?, digest),
        Route::Referrers(name, digest) => {
            let digest = digest_of(digest)?;
            // A registry with this list never answers 404: what nothing is known of, nothing refers to.
            let repository = match find(server, asked, name) {
                Err(refusal) if refusal.status == StatusCode::NOT_FOUND => None,
                other => Some(other?),
            };
            Ok(lists::referrers(repository.as_ref(), &digest, asked))
        }
    }
}

fn find(server: &Server, asked: &Asked, name: &str) -> Result<Shelved, Refusal> {
    if !is_repository(name) {
        return Err(Refusal::name_invalid());
    }
    let found = server.shelf.repository(asked.host.as_deref(), name)?;
    found.ok_or_else(|| Refusal::name_unknown(name))
}

/// A digest that a path names.
pub fn digest_of(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|()| {
        let known = text.starts_with("sha256:") || text.starts_with("sha512:");
        if known || !text.contains(':') {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                "this is no digest",
            )
        } else {
            // Of another kind of digest nothing is kept.
            Refusal::blob_unknown(text)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, route) in [
            ("/v2", Some(Route::Base)),
            ("/v2/", Some(Route::Base)),
            ("/v2/_catalog", Some(Route::Catalog)),
            ("/v2/a/tags/list", Some(Route::Tags("a"))),
            ("/v2/a/b/tags/list", Some(Route::Tags("a/b"))),
            ("/v2/a/manifests/1.0", Some(Route::Manifest("a", "1.0"))),
            (
                "/v2/manifests/manifests/manifests",
                Some(Route::Manifest("manifests", "manifests")),
            ),
            (
                "/v2/a/b/c/blobs/sha256:x",
                Some(Route::Blob("a/b/c", "sha256:x")),
            ),
            (
                "/v2/a/referrers/sha256:x",
                Some(Route::Referrers("a", "sha256:x")),
            ),
            ("/v2/a/blobs/uploads/", Some(Route::Upload("a", ""))),
            ("/v2/a/b/blobs/uploads/x1", Some(Route::Upload("a/b", "x1"))),
            ("/v2/a/blobs", None),
            ("/v2/a/other/x", None),
            ("/v1/a/manifests/x", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
