//! A container's network namespace, to connect from within: it reaches what no address of the host
//! does, in an internal network or in none, and lets no packet of the container out.
//!
//! The container's process id is the engine's word. Whether a process of that id here is the
//! container's is told by its control groups and mounts, so that an engine in a virtual machine, on
//! another machine or in another process namespace is recognised, never guessed at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::docker::text;
use crate::{Error, Result};

/// How long one address may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// The network namespace of a running container.
#[derive(Debug)]
pub struct NetworkNamespace {
    file: fs_err::File,
    addresses: Vec<IpAddr>,
}

impl NetworkNamespace {
    /// That of the container of which this is the raw inspect; `None` if it does not run.
    ///
    /// # Errors
    /// Its processes cannot be seen from here.
    pub fn of_container(raw: &Value) -> Result<Option<Self>> {
        let id = text(raw, "Id");
        let name = text(raw, "Name").trim_start_matches('/');
        let Some(pid) = raw["State"]["Pid"].as_u64().filter(|pid| *pid != 0) else {
            return Ok(None);
        };
        let unseen = |why: String| Error::Local {
            context: format!("reach into the network of {name}"),
            source: io::Error::other(why),
        };
        // Opened before it is looked at: should the id be given to another process meanwhile, that
        // one is found not to be the container's.
        let file = fs_err::File::open(format!("/proc/{pid}/ns/net")).map_err(|e| {
            unseen(format!(
                "its process {pid} cannot be seen from here ({}); run lifeboat on the engine's own host, as root",
                e.kind()
            ))
        })?;
        if id.is_empty() || !is_of(pid, id) {
            return Err(unseen(format!(
                "process {pid} of this machine is not the container's; run lifeboat on the engine's own host"
            )));
        }
        let mut addresses = addresses(raw);
        if addresses.is_empty() {
            // It has another's network: what that one's addresses are, only the kernel says.
            addresses = crate::docker::addresses_of(pid);
            addresses.retain(|address| !address.is_loopback());
        }
        Ok(Some(Self { file, addresses }))
    }

    /// Connects to a port of the container: at its own addresses, from which the connection then seems
    /// to come; at last at its loopback. **Moves the calling thread into the namespace, for good.**
    ///
    /// # Errors
    /// The thread may not enter, or nobody listens.
    pub fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.enter()?;
        let mut last = io::Error::from(io::ErrorKind::ConnectionRefused);
        for target in self.targets(port) {
            match TcpStream::connect_timeout(&target, CONNECT_WITHIN) {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Sockets of UDP that send to a port of the container, one for each of its own addresses and its
    /// loopback: whether anybody listens is known when something was sent. **Moves the calling thread
    /// into the namespace, for good.**
    ///
    /// # Errors
    /// The thread may not enter, or the container has no network at all.
    pub fn datagrams(&self, port: u16) -> io::Result<Vec<UdpSocket>> {
        self.enter()?;
        let open = |target: SocketAddr| -> io::Result<UdpSocket> {
            let any: IpAddr = match target {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(target)?;
            Ok(socket)
        };
        let mut opened = Vec::new();
        let mut failed = None;
        for target in self.targets(port) {
            match open(target) {
                Ok(socket) => opened.push(socket),
                Err(e) => failed = Some(e),
            }
        }
        match failed {
            Some(e) if opened.is_empty() => Err(e),
            _ => Ok(opened),
        }
    }

    /// The namespace itself, to make sockets in it.
    #[must_use]
    pub fn file(&self) -> &fs_err::File {
        &self.file
    }

    /// The container's own addresses; none where it has no network or another container's.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    fn enter(&self) -> io::Result<()> {
        let kind = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(self.file.file().as_fd(), kind)?)
    }

    fn targets(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let all = self.addresses.iter().copied().chain([loopback]);
        all.map(move |address| SocketAddr::new(address, port))
    }
}

/// Whether a process belongs to a container: control groups name it, or, where a namespace hides
/// that, the files that engines mount into each container.
pub(crate) fn is_of(pid: u64, id: &str) -> bool {
    let names_it = |file: &str| {
        fs_err::read_to_string(format!("/proc/{pid}/{file}")).is_ok_and(|text| text.contains(id))
    };
    names_it("cgroup") || names_it("mountinfo")
}

/// The container's own addresses.
fn addresses(raw: &Value) -> Vec<IpAddr> {
    let networks = raw["NetworkSettings"]["Networks"].as_object();
    networks
        .into_iter()
        .flatten()
        .filter_map(|(_, endpoint)| text(endpoint, "IPAddress").parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_run_has_none_and_a_stranger_is_not_taken_for_it() {
        let raw = |pid: u32| json!({"Id": "ab".repeat(32), "Name": "/web", "State": {"Pid": pid}});
        assert!(NetworkNamespace::of_container(&raw(0)).unwrap().is_none());
        let stranger = NetworkNamespace::of_container(&raw(std::process::id())).unwrap_err();
        assert!(stranger.to_string().contains("web"), "{stranger}");
        assert!(
            stranger.to_string().contains("not the container's"),
            "{stranger}"
        );
        let gone = NetworkNamespace::of_container(&raw(u32::MAX)).unwrap_err();
        assert!(gone.to_string().contains("cannot be seen"), "{gone}");
    }

    #[test]
    fn addresses_are_read_from_each_network() {
        let raw = json!({"NetworkSettings": {"Networks": {
            "a": {"IPAddress": "10.1.0.2"}, "b": {"IPAddress": ""}, "c": {"IPAddress": "10.2.0.2"},
        }}});
        let want: Vec<IpAddr> = vec!["10.1.0.2".parse().unwrap(), "10.2.0.2".parse().unwrap()];
        assert_eq!(addresses(&raw), want);
    }
}
