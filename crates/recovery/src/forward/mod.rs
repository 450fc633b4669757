//! The ports of a copy on 127.0.0.1 of this host, for as long as somebody holds a [`Forwarder`].
//!
//! Engines publish no port of an internal network. Here a free port of 127.0.0.1 is bound for each port
//! that the original published, and what connects to it is piped to the copy's container, through a
//! connection that begins **inside** the container's own network namespace. So the copy's networks stay
//! shut: nothing is routed, no address of the host appears in them, and the copy can begin nothing.
//!
//! TCP and UDP. Bounded: [`MOST`] connections at once, more wait to be accepted; so many clients of a
//! port of UDP, the silent ones give way. A half-closed connection stays open the other way. A
//! container that was started again is found again.

mod copy;
mod datagrams;
mod pipe;
pub mod standing;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use lifeboat_engine::{Engine, NetworkNamespace};
use serde::{Deserialize, Serialize};

pub(crate) use self::copy::published;
pub use self::copy::{Opened, of_copy};
use self::{
    datagrams::{Rules, Way, serve},
    pipe::Pipes,
};
use crate::{RecoveryError, Result};

/// Connections at once, over all ports.
pub const MOST: usize = 256;
/// A thread moves bytes and does nothing else.
const STACK: usize = 128 * 1024;

/// A port that the original published, in the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPort {
    /// Container of the copy.
    pub container: String,
    /// Port in it, `8080/tcp`.
    pub port: String,
    /// The port of 127.0.0.1 that was asked for; a free one otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<u16>,
}

/// A protocol that is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl CopyPort {
    /// Number and protocol, if it is one that is forwarded.
    pub fn target(&self) -> Option<(u16, Protocol)> {
        let (number, protocol) = self.port.split_once('/').unwrap_or((&self.port, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        Some((number.parse().ok()?, protocol))
    }
}

impl Protocol {
    /// Tries whether a port of 127.0.0.1 can be had.
    pub(crate) fn try_local(self, port: u16) -> std::io::Result<()> {
        let local = (Ipv4Addr::LOCALHOST, port);
        match self {
            Self::Tcp => TcpListener::bind(local).map(drop),
            Self::Udp => UdpSocket::bind(local).map(drop),
        }
    }
}

/// Where a port of a copy answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Container.
    pub container: String,
    /// Port in it, `8080/tcp`.
    pub port: String,
    /// Where it answers on this host.
    pub address: String,
}

/// Forwards until it is closed or dropped.
pub struct Forwarder {
    addresses: Vec<Address>,
    listening: Vec<(Protocol, SocketAddr, JoinHandle<()>)>,
    pipes: Arc<Pipes>,
    stop: Arc<AtomicBool>,
    /// What is not forwarded, and why.
    pub warnings: Vec<String>,
}

impl Forwarder {
    /// Binds a port for each; nothing is bound if one of them cannot be. `ids` are the copy's
    /// containers by name.
    pub fn open(
        engine: &Arc<dyn Engine>,
        ports: &[CopyPort],
        ids: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut this = Self {
            addresses: Vec::new(),
            listening: Vec::new(),
            pipes: Arc::new(Pipes::new(MOST)),
            stop: Arc::default(),
            warnings: Vec::new(),
        };
        for port in ports {
            let (Some(to), Some(id)) = (port.target(), ids.get(&port.container)) else {
                this.warnings.push(format!(
                    "port {} of {} is not forwarded: only TCP and UDP are",
                    port.port, port.container
                ));
                continue;
            };
            let raw = match engine.inspect_container(id) {
                Err(e) if e.is_not_found() => {
                    this.warnings.push(format!("{} is gone", port.container));
                    continue;
                }
                other => other?,
            };
            if NetworkNamespace::of_container(&raw)?.is_none() {
                this.warnings.push(format!(
                    "{} does not run; its port {} answers once it does",
                    port.container, port.port
                ));
            }
            let address = this.listen(engine, id, to, port)?;
            this.addresses.push(Address {
                container: port.container.clone(),
                port: port.port.clone(),
                address: address.to_string(),
            });
        }
        Ok(this)
    }

    /// What answers where.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    fn listen(
        &mut self,
        engine: &Arc<dyn Engine>,
        id: &str,
        (number, protocol): (u16, Protocol),
        port: &CopyPort,
    ) -> Result<SocketAddr> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.local.unwrap_or(0)));
        let unbound = |e: std::io::Error| {
            RecoveryError::Failed(format!(
                "{wanted} cannot be bound for port {} of {} ({e}); choose another one",
                port.port, port.container
            ))
        };
        let target = Arc::new(Target {
            engine: Arc::clone(engine),
            id: id.to_owned(),
            port: number,
        });
        let name = |address: SocketAddr| thread(format!("port-{}", address.port()));
        let (address, thread) = match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(wanted).map_err(unbound)?;
                let address = listener.local_addr()?;
                let pipes = Arc::clone(&self.pipes);
                let accept = move || accept(&listener, &pipes, &target);
                (address, name(address).spawn(accept)?)
            }
            Protocol::Udp => {
                let socket = Arc::new(UdpSocket::bind(wanted).map_err(unbound)?);
                let address = socket.local_addr()?;
                let stop = Arc::clone(&self.stop);
                let serve = move || serve(&socket, &target, &stop, Rules::default());
                (address, name(address).spawn(serve)?)
            }
        };
        self.listening.push((protocol, address, thread));
        Ok(address)
    }

    /// Ends it: no port is bound any more and no connection is open when this returns.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.pipes.stop();
        self.stop.store(true, Ordering::SeqCst);
        for (protocol, address, _) in &self.listening {
            // Whoever waits is woken by a connection, or by a datagram.
            match protocol {
                Protocol::Tcp => drop(TcpStream::connect(address)),
                Protocol::Udp => wake(*address),
            }
        }
        for (_, _, thread) in self.listening.drain(..) {
            let _ = thread.join();
        }
        self.pipes.wait();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.end();
    }
}

/// One that gets lost on the loopback leaves a thread behind until the process ends, no more.
fn wake(address: SocketAddr) {
    if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
        let _ = socket.send_to(&[], address);
    }
}

/// A port of a container.
struct Target {
    engine: Arc<dyn Engine>,
    id: String,
    port: u16,
}

impl Target {
    /// Asked anew for each connection: a container that was started again is in another namespace.
    fn connect(&self) -> Result<TcpStream> {
        Ok(self.namespace()?.connect(self.port)?)
    }

    fn namespace(&self) -> Result<NetworkNamespace> {
        let raw = self.engine.inspect_container(&self.id)?;
        NetworkNamespace::of_container(&raw)?
            .ok_or_else(|| RecoveryError::Failed("the container does not run".to_owned()))
    }
}

impl Way for Target {
    fn open(&self) -> Result<Vec<UdpSocket>> {
        Ok(self.namespace()?.datagrams(self.port)?)
    }
}

fn accept(listener: &TcpListener, pipes: &Arc<Pipes>, target: &Arc<Target>) {
    loop {
        let accepted = listener.accept();
        // At the bound this waits; the others wait to be accepted.
        let Some(place) = pipes.place() else {
            return;
        };
        let Ok((client, _)) = accepted else {
            // A connection that was gone before it was accepted is the client's affair; where files run
            // out, there is nothing to do but to wait.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let target = Arc::clone(target);
        // Without a thread the connection is closed, which is what the client sees.
        let _ = thread("port-pipe".to_owned()).spawn(move || match target.connect() {
            Ok(copy) => place.pipe(client, copy),
            Err(e) => tracing::debug!(port = target.port, %e, "no connection into the copy"),
        });
    }
}

fn thread(name: String) -> std::thread::Builder {
    std::thread::Builder::new().name(name).stack_size(STACK)
}
