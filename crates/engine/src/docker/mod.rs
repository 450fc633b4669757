//! Docker Engine, and Podman through the same API.
//!
//! [`DockerEngine`] is blocking and may be shared by plain threads. It must not be called from inside
//! an async runtime (it blocks the thread on its own).
//!
//! - [`http`], [`answer`]: HTTP; why it is our own.
//! - [`wire`], [`tls`], [`ssh`]: what it runs over.
//! - [`inventory`], [`facts`]: all facts in one go.
//! - [`container`], [`object`], [`image`]: single operations. [`events`]: what happens, as it happens.
//! - [`local`]: the proof that the engine's files are ours.
//! - [`helper`]: containers of ours through which the engine's archive reaches its files where they are not.
//! - [`probing`]: what probes need beyond that.
//! - [`own_path`]: what we ourselves run through, and must never freeze.

mod answer;
mod container;
mod events;
mod exec;
mod facts;
mod helper;
mod host_network;
mod http;
mod image;
mod inventory;
mod local;
mod object;
mod own_path;
mod probing;
mod ssh;
mod tls;
mod trait_impl;
mod version;
mod wire;

use hyper::Method;
use serde_json::Value;

pub use events::{EngineEvent, EventStream, Listed};
pub use facts::container as container_facts;
pub(crate) use host_network::addresses_of;
pub use host_network::{HostNetwork, Listening};
pub use image::LoadedImages;
pub use own_path::{OwnPath, OwnPathQuery, Reason as OwnPathReason};
pub use version::ApiVersion;

use self::answer::Answer;
use self::http::{Ask, Body, Http, ORDINARY};
use crate::{Endpoint, Result};

/// A connection to a Docker engine (or one that speaks its API), with the API version agreed upon.
#[derive(Clone)]
pub struct DockerEngine {
    http: Http,
    api: ApiVersion,
    /// Raw `/version`, as the engine answered when we connected.
    version: Value,
}

impl std::fmt::Debug for DockerEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerEngine")
            .field("endpoint", &self.http.endpoint().to_string())
            .field("api", &self.api)
            .finish()
    }
}

impl DockerEngine {
    /// Connects, and agrees on the newest API version that both sides know.
    ///
    /// # Errors
    /// No engine there, no permission, or an engine that is too old or too new.
    pub fn connect(endpoint: &Endpoint) -> Result<Self> {
        let http = Http::new(endpoint.clone())?;
        let (api, version) = version::negotiate(&http)?;
        Ok(Self { http, api, version })
    }

    /// Where the engine listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.http.endpoint()
    }

    /// The API version in use.
    #[must_use]
    pub fn api(&self) -> ApiVersion {
        self.api
    }

    /// Sends a request under the agreed version; an error status is an error.
    fn call(&self, method: Method, path: &str, body: Body<'_>, context: &str) -> Result<Answer> {
        self.call_within(method, path, body, context, ORDINARY)
    }

    fn call_within(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
        context: &str,
        limit: std::time::Duration,
    ) -> Result<Answer> {
        self.call_as(self.api, method, path, body, context, limit)
    }

    fn call_as(
        &self,
        api: ApiVersion,
        method: Method,
        path: &str,
        body: Body<'_>,
        context: &str,
        limit: std::time::Duration,
    ) -> Result<Answer> {
        let path = format!("/v{api}{path}");
        let ask = Ask {
            method,
            path,
            body,
            context: context.to_owned(),
            limit,
        };
        self.http.send(ask)?.success(context)
    }

    fn get_json(&self, path: &str, context: &str) -> Result<Value> {
        self.call(Method::GET, path, Body::Empty, context)?
            .json(context)
    }

    fn post(&self, path: &str, body: Body<'_>, context: &str) -> Result<Answer> {
        self.call(Method::POST, path, body, context)
    }

    fn delete(&self, path: &str, context: &str) -> Result<()> {
        self.call(Method::DELETE, path, Body::Empty, context)
            .map(drop)
    }
}

/// The text at `key`, empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
