//! What listens on the engine's host, and which addresses it has: read from `/proc` of the process that
//! listens on the engine's socket, so that an engine in a network namespace of its own is not taken
//! for one in ours. Of an engine that is not on a socket of this machine nothing is known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::DockerEngine;

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// `tcp`, `udp`.
    pub protocol: &'static str,
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    inode: u64,
}

impl Listening {
    /// One whose process cannot be seen.
    #[must_use]
    pub fn unseen(protocol: &'static str, address: IpAddr, port: u16) -> Self {
        Self {
            protocol,
            address,
            port,
            inode: 0,
        }
    }

    /// Name and id of a process that holds it, if it can be seen from here.
    #[must_use]
    pub fn process(&self) -> Option<(String, u32)> {
        let wanted = format!("socket:[{}]", self.inode);
        for entry in fs_err::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let Ok(files) = fs_err::read_dir(entry.path().join("fd")) else {
                continue;
            };
            let mut links = files.flatten().map(|file| fs_err::read_link(file.path()));
            if links.any(|link| link.is_ok_and(|l| l.as_os_str() == wanted.as_str())) {
                let name = fs_err::read_to_string(entry.path().join("comm")).ok()?;
                return Some((name.trim().to_owned(), pid));
            }
        }
        None
    }
}

/// The network of the engine's host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// What listens there.
    pub listening: Vec<Listening>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl DockerEngine {
    /// The network of the engine's host; `None` where it cannot be seen.
    #[must_use]
    pub fn host_network(&self) -> Option<HostNetwork> {
        let pid = self.http.peer_pid().filter(|pid| *pid != 0)?;
        let read = |name: &str| fs_err::read_to_string(format!("/proc/{pid}/net/{name}"));
        let mut found = HostNetwork::default();
        for (name, protocol) in [
            ("tcp", "tcp"),
            ("tcp6", "tcp"),
            ("udp", "udp"),
            ("udp6", "udp"),
        ] {
            let text = read(name).unwrap_or_default();
            found.listening.extend(listening(&text, protocol));
        }
        read("fib_trie").ok()?;
        found.addresses = addresses_of(pid.into());
        Some(found)
    }
}

/// The addresses of the network that a process is in.
pub(crate) fn addresses_of(pid: u64) -> Vec<IpAddr> {
    let read = |name: &str| fs_err::read_to_string(format!("/proc/{pid}/net/{name}"));
    let mut found = addresses(&read("fib_trie").unwrap_or_default());
    found.extend(addresses_v6(&read("if_inet6").unwrap_or_default()));
    found
}

/// Of `/proc/net/tcp` and the like: sockets that listen; of UDP those that are bound.
fn listening(table: &str, protocol: &'static str) -> Vec<Listening> {
    // TCP_LISTEN; of a socket of UDP that is not connected: TCP_CLOSE.
    let state = if protocol == "tcp" { "0A" } else { "07" };
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (address, port) = words.get(1)?.split_once(':')?;
            (*words.get(3)? == state).then_some(())?;
            Some(Listening {
                protocol,
                address: address_of(address)?,
                port: u16::from_str_radix(port, 16).ok()?,
                inode: words.get(9)?.parse().ok()?,
            })
        })
        .collect()
}

/// Words of 32 bits in the machine's own order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// Local addresses in `/proc/net/fib_trie`.
fn addresses(trie: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut last: Option<IpAddr> = None;
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("host LOCAL") {
            found.extend(last.filter(|a| !found.contains(a)));
        }
    }
    found
}

/// Addresses in `/proc/net/if_inet6`.
fn addresses_v6(table: &str) -> Vec<IpAddr> {
    let hex = table.lines().filter_map(|line| line.get(..32));
    hex.filter_map(|hex| u128::from_str_radix(hex, 16).ok())
        .map(|bits| IpAddr::V6(Ipv6Addr::from(bits)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn finds_what_listens_here_and_who() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp6 = TcpListener::bind("[::1]:0");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let of = |name: &str, protocol| {
            let text = fs_err::read_to_string(format!("/proc/self/net/{name}")).unwrap();
            listening(&text, protocol)
        };
        let at = |address: std::net::SocketAddr| {
            move |l: &&Listening| (l.address, l.port) == (address.ip(), address.port())
        };
        let all = of("tcp", "tcp");
        let found = all.iter().find(at(tcp.local_addr().unwrap())).unwrap();
        assert_eq!(found.process().unwrap().1, std::process::id());
        let all = of("udp", "udp");
        assert!(all.iter().any(|l| at(udp.local_addr().unwrap())(&l)));
        if let Ok(tcp6) = tcp6 {
            let all = of("tcp6", "tcp");
            assert!(all.iter().any(|l| at(tcp6.local_addr().unwrap())(&l)));
        }
        let trie = fs_err::read_to_string("/proc/self/net/fib_trie").unwrap();
        assert!(addresses(&trie).contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn what_is_connected_does_not_listen() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1\n   1: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 78 1\nrubbish\n";
        let found = listening(table, "tcp");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].port, found[0].inode), (8080, 77));
    }
}
