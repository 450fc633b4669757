//! A client of registries: OCI distribution 1.1, and what Docker's own registries add (catalog, schema-2 media types).
//!
//! - Every byte is checked against its digest; sizes are bounded before anything is read.
//! - Credentials go to the registry and to the token server that it names, and nowhere else: a redirect to another host
//!   is followed without them, and never from TLS to plain HTTP.
//! - 429 and what a busy server says are obeyed (`Retry-After`), lost connections tried again, a blob from where it broke
//!   off.
//! - Async inside; each call blocks its thread and ends soon after `cancelled` says so.

mod address;
mod auth;
mod credentials;
mod exchange;
mod pull;
mod push;

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use reqwest::{Certificate, Client, Identity, Url, redirect::Policy};
use tokio::runtime::{Builder, Runtime};

pub use self::{
    address::{Address, DOCKER_HUB},
    credentials::{Credentials, DockerConfig},
    pull::{Descriptor, Pulled},
};
use crate::{Error, Result};

/// A connection that is not there after so long does not come.
const CONNECT: Duration = Duration::from_secs(20);
/// So long nothing may come in an answer.
const IDLE: Duration = Duration::from_secs(60);
/// How often somebody is asked whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// What a registry is reached with.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// Plain HTTP to a host that is not this machine.
    pub plain_http: bool,
    /// Authorities beside the system's, PEM.
    pub authorities: Option<Vec<u8>>,
    /// Our certificate and its key, PEM.
    pub identity: Option<Vec<u8>>,
    /// Name and password.
    pub credentials: Option<Credentials>,
}

/// Asked now and then whether to end.
pub type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// A client of one registry. Shared by threads.
pub struct RegistryClient {
    address: Address,
    base: Url,
    http: Client,
    runtime: Runtime,
    credentials: Option<Credentials>,
    tokens: Mutex<auth::Tokens>,
    cancelled: Cancelled,
}

impl RegistryClient {
    /// Connects: finds out whether the registry answers, over what, and that it is one.
    ///
    /// # Errors
    /// It does not answer, is no registry, or what it is reached with cannot be used.
    pub fn connect(
        address: &Address,
        options: ClientOptions,
        cancelled: Cancelled,
    ) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry-io")
            .enable_all()
            .build()
            .map_err(Error::io("start the threads that talk to the registry"))?;
        let schemes: &[&str] = match (options.plain_http, address.is_loopback()) {
            (true, _) => &["http"],
            // As Docker does: to this machine, TLS where it is spoken.
            (false, true) => &["https", "http"],
            (false, false) => &["https"],
        };
        let mut client = Self {
            address: address.clone(),
            base: address.url("https")?,
            http: http_client(address, &options)?,
            runtime,
            credentials: options.credentials,
            tokens: Mutex::default(),
            cancelled,
        };
        let mut over_tls = None;
        for (at, scheme) in schemes.iter().enumerate() {
            client.base = address.url(scheme)?;
            match client.ping(at + 1 < schemes.len(), over_tls.take()) {
                // One that speaks TLS is not talked to without, because nobody vouches for it.
                Err(Error::Unreachable { why, .. })
                    if at + 1 < schemes.len() && !exchange::is_about_trust(&why) =>
                {
                    over_tls = Some(why);
                }
                Err(e) => return Err(e),
                Ok(()) => return Ok(client),
            }
        }
        Ok(client)
    }

    /// Its address as images name it.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for work on the caller's thread; ends early when somebody wants it to.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => return done,
                    () = tokio::time::sleep(TICK) => {
                        if (self.cancelled)() {
                            return Err(Error::Interrupted);
                        }
                    }
                }
            }
        })
    }

    fn bad_answer(&self, what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::BadAnswer {
            registry: self.address.to_string(),
            what: what.into(),
            why: why.into(),
        }
    }
}

fn http_client(address: &Address, options: &ClientOptions) -> Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("lifeboat/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
        .read_timeout(IDLE);
    if address.is_loopback() {
        builder = builder.no_proxy();
    }
    if let Some(pem) = &options.authorities {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|e| {
            Error::Setup(format!(
                "the file of authorities holds no certificates: {e}"
            ))
        })?;
        builder = builder.tls_certs_merge(certificates);
    } else if options.plain_http {
        // A machine without any authorities can talk plainly all the same.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = &options.identity {
        let identity = Identity::from_pem(pem).map_err(|e| {
            Error::Setup(format!("the client's certificate cannot be used: {e}; give a certificate and its key, both PEM"))
        })?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|e| Error::Setup(format!("TLS cannot be set up: {e}; install the package ca-certificates or name a file with --cacert")))
}
