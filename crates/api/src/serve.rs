//! The server: a runtime of two threads, the socket, and the network where it is asked for.
//!
//! Bounded everywhere: connections, the time that a head, a body or a TLS handshake may take, the size of a body. Over the network
//! there is TLS or nothing.

mod connection;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use tokio::net::UnixListener;

pub use lifeboat_tls::Tls;

use crate::{Error, Result, guard::Groups, routes, shared::Shared};

/// Where it listens.
pub struct Places {
    /// The agent's own socket, for root and the agent's user.
    pub socket: PathBuf,
    /// A second one that members of groups may use too.
    pub open: Option<(PathBuf, Groups)>,
    /// An address of the network.
    pub network: Option<(SocketAddr, Tls)>,
}

/// A server that runs.
pub struct Server {
    runtime: tokio::runtime::Runtime,
    shared: Arc<Shared>,
    sockets: Vec<PathBuf>,
    at: Option<SocketAddr>,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// A place cannot be listened at.
    pub fn start(places: Places, shared: Shared) -> Result<Self> {
        let shared = Arc::new(shared);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(16)
            .thread_name("agent-api")
            .enable_all()
            .build()
            .map_err(Error::at("start a thread"))?;
        let _inside = runtime.enter();
        let router = routes::router(Arc::clone(&shared));
        let nobody = Groups::of_this_machine(Vec::new());
        let own = (places.socket, 0o600, nobody);
        let open = places.open.map(|(path, groups)| (path, 0o666, groups));
        let mut sockets = Vec::new();
        for (path, mode, groups) in std::iter::once(own).chain(open) {
            let listener = socket(&path, mode)?;
            let accepting = connection::unix(listener, router.clone(), groups, shared.stopped());
            runtime.spawn(accepting);
            sockets.push(path);
        }
        let mut at = None;
        if let Some((address, tls)) = places.network {
            let context = format!("listen on {address}");
            let listener = TcpListener::bind(address).map_err(Error::at(context.clone()))?;
            let there = listener
                .set_nonblocking(true)
                .and_then(|()| listener.local_addr());
            at = Some(there.map_err(Error::at(context.clone()))?);
            let listener =
                tokio::net::TcpListener::from_std(listener).map_err(Error::at(context))?;
            runtime.spawn(connection::network(listener, router, tls, shared.stopped()));
        }
        Ok(Self {
            runtime,
            shared,
            sockets,
            at,
        })
    }

    /// Where it listens on the network.
    #[must_use]
    pub fn at(&self) -> Option<SocketAddr> {
        self.at
    }

    /// Ends it: no new connection is taken, answers under way have two seconds.
    pub fn finish(self) {
        self.shared.end();
        for socket in &self.sockets {
            let _ = fs::remove_file(socket);
        }
        self.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

fn socket(path: &Path, mode: u32) -> Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    let context = format!("listen on {}", path.display());
    // Left by an agent that died; nothing else is ever taken away.
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            let why = std::io::Error::other("something else lies there");
            return Err(Error::at(context)(why));
        }
        let _ = fs::remove_file(path);
    }
    let listener = UnixListener::bind(path).map_err(Error::at(context.clone()))?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Error::at(context))?;
    Ok(listener)
}
