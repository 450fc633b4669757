//! What we ourselves run through: containers whose freeze would freeze the freezer.
//!
//! Best effort, from what can be seen: our own container, the one that a given process belongs to, one
//! that serves an address we depend on (a socket proxy, an object store in a container), one that
//! serves a network file system that a given path lies on. What listens in the host's own network
//! namespace, and what a FUSE mount is served by, cannot be told from outside: name their process ids.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{DockerEngine, text};
use crate::{Endpoint, Result};

/// What an operation depends on, besides the engine's own endpoint.
#[derive(Debug, Clone, Default)]
pub struct OwnPathQuery {
    /// Processes, besides this one.
    pub pids: Vec<u32>,
    /// Host and port of servers, e.g. that of the vault.
    pub servers: Vec<(String, u16)>,
    /// Paths, e.g. that of the vault: what serves the file system they lie on.
    pub paths: Vec<PathBuf>,
}

/// Why a container must not be frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A process that we depend on, or we ourselves, run in it.
    Process(u32),
    /// It serves this address.
    Serves(String, u16),
    /// It serves the file system of this path.
    ServesPath(PathBuf),
}

/// A container that we run through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPath {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// Ports of network file systems, by the mount's kind.
const FILE_SERVERS: &[(&str, &[u16])] = &[
    ("nfs", &[2049]),
    ("nfs4", &[2049]),
    ("cifs", &[445]),
    ("smb3", &[445]),
    ("ceph", &[6789, 3300]),
];

impl DockerEngine {
    /// The running containers that this process, and what `query` names, run through.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn own_path(&self, query: &OwnPathQuery) -> Result<Vec<OwnPath>> {
        let list = self.get_json("/containers/json", "list running containers")?;
        let running: Vec<&Value> = list.as_array().into_iter().flatten().collect();
        let mut wanted: Vec<(&Value, Reason)> = Vec::new();
        let own = std::process::id();
        for pid in query.pids.iter().copied().chain([own]) {
            let id = container_of(pid);
            let found = id.and_then(|id| running.iter().find(|entry| text(entry, "Id") == id));
            wanted.extend(found.map(|entry| (*entry, Reason::Process(pid))));
        }
        let endpoint = match self.endpoint() {
            Endpoint::Tcp { host, port, .. } => Some((host.clone(), *port)),
            Endpoint::Unix(_) | Endpoint::Ssh(_) => None,
        };
        for (host, port) in query.servers.iter().cloned().chain(endpoint) {
            for entry in running.iter().filter(|entry| serves(entry, &host, port)) {
                wanted.push((entry, Reason::Serves(host.clone(), port)));
            }
        }
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for path in &query.paths {
            let Some((server, ports)) = file_server(path, &mounts) else {
                continue;
            };
            for entry in running
                .iter()
                .filter(|entry| ports.iter().any(|port| serves(entry, &server, *port)))
            {
                wanted.push((entry, Reason::ServesPath(path.clone())));
            }
        }
        let mut out: BTreeMap<String, OwnPath> = BTreeMap::new();
        for (entry, reason) in wanted {
            let id = text(entry, "Id").to_owned();
            let name = entry["Names"][0]
                .as_str()
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned();
            out.entry(id.clone())
                .or_insert(OwnPath { id, name, reason });
        }
        Ok(out.into_values().collect())
    }
}

/// The id of the container that a process runs in: from its cgroup; where a cgroup namespace hides
/// that, from the files that engines mount into each container.
fn container_of(pid: u32) -> Option<String> {
    let cgroup = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = fs_err::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let from_mounts = || {
        mounts
            .lines()
            .filter(|line| line.contains("/containers/"))
            .find_map(id_in)
    };
    cgroup.lines().find_map(id_in).or_else(from_mounts)
}

/// The first run of exactly 64 hexadecimal digits.
fn id_in(text: &str) -> Option<String> {
    let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.split(|c| !lower_hex(c))
        .find(|run| run.len() == 64)
        .map(str::to_owned)
}

/// Whether a container in the list of running ones answers at `host:port`: by a published port when the
/// host is this machine, by its own address otherwise.
fn serves(entry: &Value, host: &str, port: u16) -> bool {
    let address: Option<IpAddr> = if host == "localhost" {
        Some(IpAddr::from([127, 0, 0, 1]))
    } else {
        host.parse().ok()
    };
    let own_addresses = entry["NetworkSettings"]["Networks"]
        .as_object()
        .into_iter()
        .flatten();
    let mut own_addresses = own_addresses.flat_map(|(_, endpoint)| {
        [
            text(endpoint, "IPAddress"),
            text(endpoint, "GlobalIPv6Address"),
        ]
    });
    if let Some(address) = address {
        if own_addresses.any(|own| own.parse() == Ok(address)) {
            return true;
        }
    } else if container_names(entry).any(|name| name == host) {
        return true;
    }
    // A published port of any address is taken: which of them `host` is cannot be told for a name, and
    // one container too many that is not frozen costs a level, one too few costs the machine.
    entry["Ports"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|published| published["PublicPort"].as_u64() == Some(u64::from(port)))
}

/// Names by which containers on its networks reach it.
fn container_names(entry: &Value) -> impl Iterator<Item = &str> {
    let names = entry["Names"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let service = text(&entry["Labels"], "com.docker.compose.service");
    names
        .map(|name| name.trim_start_matches('/'))
        .chain(Some(service).filter(|service| !service.is_empty()))
}

/// Host and ports of the server of the network file system that holds `path`.
fn file_server(path: &Path, mountinfo: &str) -> Option<(String, &'static [u16])> {
    let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?;
        let mut right = right.split(' ');
        Some((point, right.next()?, right.next()?))
    });
    let holding = mounts
        .filter(|(point, _, _)| path.starts_with(point))
        .max_by_key(|(point, _, _)| point.len())?;
    let (_, kind, source) = holding;
    let (_, ports) = FILE_SERVERS.iter().find(|(name, _)| *name == kind)?;
    let server = match source.strip_prefix("//") {
        Some(share) => share.split('/').next(),
        None => source.rsplit_once(":/").map(|(server, _)| server),
    }?;
    Some((server.trim_matches(['[', ']']).to_owned(), *ports))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_the_container_from_cgroup_lines() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(id_in(&format!("4:freezer:/docker/{id}")), Some(id.clone()));
        assert_eq!(
            id_in(&format!("0::/system.slice/docker-{id}.scope")),
            Some(id.clone())
        );
        assert_eq!(id_in("0::/user.slice/session-3.scope"), None);
        assert_eq!(id_in(&format!("0::/{id}0")), None);
    }

    #[test]
    fn knows_who_serves_an_address() {
        let entry = json!({
            "Names": ["/proxy"], "Labels": {"com.docker.compose.service": "socket-proxy"},
            "Ports": [{"PrivatePort": 2375, "PublicPort": 12375, "Type": "tcp"}],
            "NetworkSettings": {"Networks": {"n": {"IPAddress": "172.18.0.9", "GlobalIPv6Address": ""}}},
        });
        assert!(serves(&entry, "127.0.0.1", 12375));
        assert!(serves(&entry, "172.18.0.9", 2375));
        assert!(serves(&entry, "socket-proxy", 2375));
        assert!(!serves(&entry, "127.0.0.1", 2375));
    }

    #[test]
    fn knows_the_server_of_a_mount() {
        let mounts = "1 0 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / /mnt/v rw - nfs4 127.0.0.1:/export rw\n3 1 0:3 / /mnt/w rw - cifs //nas/share rw\n";
        assert_eq!(
            file_server(Path::new("/mnt/v/x"), mounts),
            Some(("127.0.0.1".to_owned(), &[2049_u16][..]))
        );
        assert_eq!(
            file_server(Path::new("/mnt/w"), mounts),
            Some(("nas".to_owned(), &[445_u16][..]))
        );
        assert_eq!(file_server(Path::new("/srv"), mounts), None);
    }
}
