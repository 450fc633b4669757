//! A registry server: the OCI distribution specification 1.1 over a [`Shelf`]; with an [`Intake`] pushes are taken too.
//!
//! - `connection`: accepting, TLS, and who may come in;
//! - `route`: what a path means; `answer`: what comes back, errors as the specification has them;
//! - `manifests`, `blobs`, `lists`: one room for each kind of request;
//! - `push`: uploads, manifests and deletions, where an intake takes them;
//! - `feed`, `body`: bytes from a blocking thread into a connection, and from one;
//! - `auth`: users and their passwords; `token`: tokens in their place; `tls`: a certificate of its own making.
//!
//! **Never a wrong byte.** A manifest is hashed before it is sent. A blob is hashed while it is sent, and its last piece
//! is held back until the digest is right; where it is not, or where the shelf fails, the connection is broken off before the
//! length that was promised, so that no client takes what it has for the whole. Of a part of a blob (`Range`) the
//! shelf alone answers for the bytes; the client hashes the whole.
//!
//! **Bounded memory.** At most 64 blobs are sent at once, each with seven pieces of 256 KiB; who comes
//! later waits. A client that takes nothing for two minutes is left.
//!
//! Without an [`Intake`] nothing is ever written: what is no GET and no HEAD is answered with 405. Async lives in here alone, in a runtime
//! that ends with [`serve`].

mod answer;
mod auth;
mod blobs;
mod body;
mod connection;
mod feed;
mod lists;
mod manifests;
mod push;
mod route;
#[cfg(test)]
mod tests;
mod tls;
mod token;

use std::{io, net::TcpListener, sync::Arc};

use tokio::sync::{Semaphore, watch};

pub use auth::Users;
pub use lifeboat_tls::Tls;
pub use tls::SelfSigned;
pub use token::TokenKey;

use super::{Intake, Shelf};

/// Blobs that are sent at the same time.
const MAX_STREAMS: usize = 64;
/// Other requests that are answered at the same time.
const MAX_LOOKUPS: usize = 16;
/// Pushes that are taken at the same time: as many as a commit may wait for together.
const MAX_PUSHES: usize = 64;
/// Connections that are open at the same time.
const MAX_CONNECTIONS: usize = 1024;

/// How to serve.
#[derive(Default)]
pub struct ServeOptions {
    /// Names under which clients come here as if to the registry itself (`registry.example`). What a client asks for
    /// under one of them is what that registry had.
    pub names: Vec<String>,
    /// Who may pull; everybody if none.
    pub users: Option<Users>,
    /// Plain HTTP if none.
    pub tls: Option<Tls>,
    /// Seals tokens, with which clients come instead of a name and a password each time.
    pub tokens: Option<TokenKey>,
    /// What takes pushes; read-only if none.
    pub intake: Option<Arc<dyn Intake>>,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// No new connection is taken; what is being sent has a few seconds to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// What every request needs.
struct Server {
    shelf: Arc<dyn Shelf>,
    names: Vec<String>,
    users: Option<Users>,
    streams: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    intake: Option<Arc<dyn Intake>>,
    tokens: Option<TokenKey>,
    is_tls: bool,
    pushes: Arc<Semaphore>,
}

/// Serves until it is stopped.
///
/// # Errors
/// The listener cannot be used, or no thread can be started.
pub fn serve(
    listener: TcpListener,
    shelf: Arc<dyn Shelf>,
    options: ServeOptions,
    stop: &Stop,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(MAX_STREAMS + MAX_LOOKUPS + MAX_PUSHES)
        .thread_name("registry")
        .enable_all()
        .build()?;
    let server = Arc::new(Server {
        shelf,
        names: options.names,
        users: options.users,
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        intake: options.intake,
        tokens: options.tokens,
        is_tls: options.tls.is_some(),
        pushes: Arc::new(Semaphore::new(MAX_PUSHES)),
    });
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        connection::accept(listener, server, options.tls, stop.0.subscribe()).await;
        Ok(())
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}
