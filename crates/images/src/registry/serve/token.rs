//! Tokens instead of passwords with each request: the "token authentication specification" of distribution, with an
//! endpoint of our own (`/token`).
//!
//! A token says who it is for, what it allows, and until when, and is sealed with a key of the server's (HMAC-SHA-256). A
//! refresh token (docker's "identity token") allows nothing but to be exchanged, lasts for 90 days, and ends with the
//! password that it was given for.

use std::io::Read;

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::{Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Server, Users,
    answer::{Answer, Asked, JSON, Refusal, whole},
};

/// Seconds that a token lasts. Longer than a layer takes; a client asks for another in time.
const LASTS: u64 = 900;
const REFRESH_LASTS: u64 = 90 * 24 * 3600;
/// The largest form.
const MAX_FORM: u64 = 64 << 10;
/// Scopes in one token, at most.
const MAX_SCOPES: usize = 100;

/// Seals tokens.
pub struct TokenKey {
    key: hmac::Key,
    /// Seconds since 1970.
    now: fn() -> u64,
}

impl TokenKey {
    /// With a secret of at least 32 bytes that nobody else knows, and a clock that gives seconds since 1970.
    #[must_use]
    pub fn new(secret: &[u8], now: fn() -> u64) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            now,
        }
    }

    fn seal(&self, claims: &Claims) -> String {
        let text = serde_json::to_vec(claims).unwrap_or_default();
        let tag = hmac::sign(&self.key, &text);
        let coded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", coded(&text), coded(tag.as_ref()))
    }

    /// What a token says, if it is one of ours and not over.
    fn open(&self, token: &str, users: &Users) -> Option<Claims> {
        let (text, tag) = token.split_once('.')?;
        let text = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.key, &text, &tag).ok()?;
        let claims: Claims = serde_json::from_slice(&text).ok()?;
        let is_known = users.stamp(&claims.user)? == claims.stamp;
        (is_known && (self.now)() < claims.until).then_some(claims)
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    user: String,
    /// Of the password that it was given for.
    stamp: String,
    until: u64,
    #[serde(default)]
    refresh: bool,
    #[serde(default)]
    access: Vec<Access>,
}

/// What somebody may do with something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Access {
    /// For a repository.
    pub fn repository(name: &str, action: &str) -> Self {
        Self {
            kind: "repository".to_owned(),
            name: name.to_owned(),
            actions: action.split(',').map(str::to_owned).collect(),
        }
    }

    /// For the list of all repositories.
    pub fn catalog() -> Self {
        Self {
            kind: "registry".to_owned(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
        }
    }

    /// `repository:team/app:pull,push`; the name may have a port in it.
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        Some(Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            actions: actions.split(',').map(str::to_owned).collect(),
        })
    }

    fn covers(&self, wanted: &Self) -> bool {
        let mut actions = wanted.actions.iter();
        self.kind == wanted.kind
            && self.name == wanted.name
            && actions.all(|action| self.actions.contains(action))
    }

    /// What of it a user may.
    fn allowed(mut self, may_push: bool) -> Self {
        let is_catalog = self.kind == "registry" && self.name == "catalog";
        self.actions.retain(|action| match action.as_str() {
            "pull" => true,
            "push" | "delete" => may_push,
            "*" => is_catalog,
            _ => false,
        });
        self
    }

    fn changes(&self) -> bool {
        self.actions.iter().any(|a| a == "push" || a == "delete")
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

/// Whether a request may be answered; otherwise how the client can come to be allowed.
pub fn admit(
    server: &Server,
    users: &Users,
    asked: &Asked,
    wanted: Option<&Access>,
) -> Result<(), Refusal> {
    let said = asked.header(header::AUTHORIZATION);
    let token = said.and_then(|said| {
        let (kind, token) = said.trim().split_once(' ')?;
        kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let challenge = || match &server.tokens {
        None => Refusal::unauthorized(None),
        Some(_) => Refusal::unauthorized(Some(&bearer(server, asked, wanted))),
    };
    let changes = wanted.is_some_and(Access::changes);
    match (token, &server.tokens) {
        (Some(token), Some(key)) => {
            let claims = key.open(token, users).filter(|claims| !claims.refresh);
            let claims = claims.ok_or_else(challenge)?;
            let is_covered =
                wanted.is_none_or(|wanted| claims.access.iter().any(|a| a.covers(wanted)));
            match is_covered {
                true => Ok(()),
                // It asks for another token; where that does not allow it either the client gives up.
                false => Err(challenge()),
            }
        }
        _ => {
            let user = users.who(said).ok_or_else(challenge)?;
            match changes && !users.may_push(&user) {
                true => Err(Refusal::denied()),
                false => Ok(()),
            }
        }
    }
}

fn bearer(server: &Server, asked: &Asked, wanted: Option<&Access>) -> String {
    let scheme = if server.is_tls { "https" } else { "http" };
    let host = asked.header(header::HOST).unwrap_or_default();
    // It is only told to who said it.
    let host: String = host
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(*c))
        .collect();
    let mut text = format!("Bearer realm=\"{scheme}://{host}/token\",service=\"lifeboat\"");
    if let Some(wanted) = wanted {
        text.push_str(&format!(",scope=\"{wanted}\""));
    }
    text
}

/// `/token`: a token for a name and a password, or for a refresh token.
pub fn give(
    key: &TokenKey,
    users: &Users,
    asked: &Asked,
    body: &mut dyn Read,
) -> Result<Answer, Refusal> {
    let denied = || Refusal::unauthorized(None);
    let (user, scopes, wants_refresh) = if asked.method == Method::GET {
        let user = users.who(asked.header(header::AUTHORIZATION));
        let wants_refresh = asked.query("offline_token") == Some("true");
        let scopes: Vec<String> = asked.all("scope").map(str::to_owned).collect();
        (user.ok_or_else(denied)?, scopes, wants_refresh)
    } else if asked.method == Method::POST {
        let form = form(body);
        let field = |key: &str| {
            let found = form.iter().find(|(k, _)| k == key);
            found.map_or("", |(_, value)| value.as_str())
        };
        let user = match field("grant_type") {
            "password" => {
                let (name, password) = (field("username"), field("password"));
                users.is(name, password.as_bytes()).then(|| name.to_owned())
            }
            "refresh_token" => {
                let claims = key.open(field("refresh_token"), users);
                claims.filter(|c| c.refresh).map(|c| c.user)
            }
            _ => None,
        };
        let scopes = vec![field("scope").to_owned()];
        let wants_refresh = field("access_type") == "offline";
        (user.ok_or_else(denied)?, scopes, wants_refresh)
    } else {
        return Err(Refusal::unsupported());
    };
    let may_push = users.may_push(&user);
    let words = scopes.iter().flat_map(|scope| scope.split(' '));
    let access = words.filter_map(Access::read).take(MAX_SCOPES);
    let claims = |refresh: bool, lasts: u64, access: Vec<Access>| Claims {
        user: user.clone(),
        stamp: users.stamp(&user).unwrap_or_default(),
        until: (key.now)() + lasts,
        refresh,
        access,
    };
    let access = access.map(|access| access.allowed(may_push)).collect();
    let token = key.seal(&claims(false, LASTS, access));
    let mut answer = json!({"token": token, "access_token": token, "expires_in": LASTS});
    if wants_refresh {
        answer["refresh_token"] = key.seal(&claims(true, REFRESH_LASTS, Vec::new())).into();
    }
    let headers = [
        (header::CONTENT_TYPE, JSON),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok(whole(StatusCode::OK, &headers, answer.to_string()))
}

fn form(body: &mut dyn Read) -> Vec<(String, String)> {
    let mut text = String::new();
    if body.take(MAX_FORM).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_was_given_for_and_no_more() {
        let key = TokenKey::new(&[7; 32], || 1000);
        let mut users = Users::default();
        users.add("ann", b"secret");
        let claims = |until: u64, stamp: &str| Claims {
            user: "ann".to_owned(),
            stamp: stamp.to_owned(),
            until,
            refresh: false,
            access: vec![Access::repository("a", "pull,push")],
        };
        let stamp = users.stamp("ann").unwrap();
        let token = key.seal(&claims(1060, &stamp));
        let read = key.open(&token, &users).unwrap();
        assert!(read.access[0].covers(&Access::repository("a", "pull")));
        assert!(!read.access[0].covers(&Access::repository("b", "pull")));
        assert!(!read.access[0].covers(&Access::repository("a", "delete")));
        assert!(key.open(&key.seal(&claims(999, &stamp)), &users).is_none());
        assert!(
            TokenKey::new(&[8; 32], || 1000)
                .open(&token, &users)
                .is_none()
        );
        let turned = token.replacen('e', "f", 1);
        assert!(key.open(&turned, &users).is_none());
        // Another password, and what was given for the old one is over.
        let mut changed = Users::default();
        changed.add("ann", b"another");
        assert!(key.open(&token, &changed).is_none());
        assert!(key.open(&token, &Users::default()).is_none());
        for bad in ["", ".", "a.b", "a"] {
            assert!(key.open(bad, &users).is_none(), "{bad}");
        }
    }

    #[test]
    fn scopes() {
        let pull = Access::read("repository:host:5000/a/b:pull,push,delete").unwrap();
        assert_eq!(pull.name, "host:5000/a/b");
        assert_eq!(pull.clone().allowed(false).actions, ["pull"]);
        assert_eq!(
            pull.allowed(true).to_string(),
            "repository:host:5000/a/b:pull,push,delete"
        );
        let catalog = Access::read("registry:catalog:*").unwrap();
        assert!(catalog.allowed(false).covers(&Access::catalog()));
        assert!(
            Access::read("repository:a:*")
                .unwrap()
                .allowed(true)
                .actions
                .is_empty()
        );
    }
}
