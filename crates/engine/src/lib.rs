//! Container engines: what they hold, and how it is captured and made again faithfully.
//!
//! One trait, [`Engine`], one module an engine. It is blocking and object safe; [`DockerEngine`] is
//! Docker (and Podman through the same API). It knows containers, networks, volumes and images as raw
//! JSON and nothing of where they are kept.
//!
//! - [`Endpoint`]: where an engine listens.
//! - [`recreate`]: from a raw inspect answer to a create body, with every trap that lies between.
//! - [`freezer`]: the cgroup freezer behind `pause`, for a watchdog that has to thaw without the engine.
//! - [`NetworkNamespace`]: a container's, to connect from within.
//! - `fingerprint`: what tells this engine from another; none of it is an identity.
//!
//! Raw inspect answers are kept verbatim, in the order of their keys. Nothing here prints, reads the
//! environment or retries: an operation that failed is the caller's to run again.

mod api;
mod docker;
mod endpoint;
mod error;
mod fingerprint;
pub mod freezer;
mod network_namespace;
pub mod recreate;

pub use api::{Change, ChangeKind, Checked, Engine, ExecOutput, ExecRequest, Health, HostPath};
pub use docker::{
    ApiVersion, DockerEngine, EngineEvent, EventStream, HostNetwork, Listed, Listening,
    LoadedImages, OwnPath, OwnPathQuery, OwnPathReason, container_facts,
};
pub use endpoint::{DEFAULT_SOCKET, Endpoint, Ssh, Tls};
pub use error::{Error, Result};
pub use network_namespace::NetworkNamespace;
