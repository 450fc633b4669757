//! The way to a port of a container.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::target::Target;

/// What is left for the ways that follow when one takes too long.
const SHARE: u32 = 2;

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// From where an address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From here.
    Here(IpAddr),
    /// From within the container's network.
    Inside(IpAddr),
}

impl Way {
    fn address(self) -> IpAddr {
        match self {
            Self::Here(address) | Self::Inside(address) => address,
        }
    }
}

/// A connection, and the address that it leads to.
pub(crate) struct Reached {
    pub stream: TcpStream,
    pub address: IpAddr,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// The container's side: nobody listens, or nobody takes it in time.
    Theirs(String),
    /// Ours: nothing is known about the container.
    Ours(String),
}

/// Makes connections to containers.
pub(crate) struct Reach {
    /// A container's address is its address for us too.
    network_is_ours: bool,
    enter: Entrance,
}

impl Reach {
    pub fn new(network_is_ours: bool) -> Self {
        Self {
            network_is_ours,
            enter: Entrance::default(),
        }
    }

    /// Connects before `end`: at first the way that worked last, then the others.
    pub async fn connect(
        &self,
        target: &Arc<Target>,
        port: u16,
        loopback_first: bool,
        end: Instant,
    ) -> Result<Reached, Unreached> {
        // From within the network only when it is needed: that takes a descriptor for each container.
        let here = self.ways_here(target);
        let (mut refused, mut silent, mut ours) = (false, false, None);
        let learned = target.way.load(Ordering::Relaxed);
        let mut ways: Vec<Way> = Vec::new();
        if !loopback_first && learned < here.len() {
            ways.push(here[learned]);
            ways.extend(here.iter().filter(|way| **way != here[learned]));
        } else {
            ways = self.ways_inside(target, &mut ours);
            ways.sort_by_key(|way| loopback_first && !way.address().is_loopback());
            if let Some(at) = learned
                .checked_sub(here.len())
                .filter(|at| *at < ways.len())
            {
                ways[..=at].rotate_right(usize::from(!loopback_first));
            }
        }
        let mut both = false;
        let mut at = 0;
        loop {
            if at == ways.len() {
                if std::mem::replace(&mut both, true) {
                    break;
                }
                let began_here = ways.first().is_some_and(|way| here.contains(way));
                ways.extend(if began_here {
                    self.ways_inside(target, &mut ours)
                } else {
                    here.clone()
                });
                continue;
            }
            let way = ways[at];
            at += 1;
            let now = Instant::now();
            let left = end.duration_since(now);
            let limit = if both && at == ways.len() {
                end
            } else {
                now + left / SHARE
            };
            match timeout_at(limit, self.one(target, way, port)).await {
                Ok(Ok(stream)) => {
                    if !loopback_first {
                        self.learn(target, &here, way);
                    }
                    let address = way.address();
                    return Ok(Reached { stream, address });
                }
                Ok(Err(Unreached::Theirs(_))) => refused = true,
                Ok(Err(Unreached::Ours(why))) => ours = Some(why),
                Err(_) => silent = true,
            }
        }
        Err(match ours {
            _ if silent => Unreached::Theirs(format!("port {port} takes no connection in time")),
            Some(why) if !refused => Unreached::Ours(why),
            _ if refused => Unreached::Theirs(format!("nobody listens on port {port}")),
            _ => Unreached::Ours("it has no network that could be reached".to_owned()),
        })
    }

    /// The way that worked is the first to be tried next.
    fn learn(&self, target: &Target, here: &[Way], way: Way) {
        let at = here.iter().position(|w| *w == way).or_else(|| {
            let inside = self.ways_inside(target, &mut None);
            let at = inside.iter().position(|w| *w == way)?;
            Some(here.len() + at)
        });
        target.way.store(at.unwrap_or_default(), Ordering::Relaxed);
    }

    fn ways_here(&self, target: &Target) -> Vec<Way> {
        let mut own = target.addresses.clone();
        if self.network_is_ours {
            if target.host_network {
                own.extend(LOOPBACK);
            }
        } else {
            // An engine on another machine, or in a network of its own: its addresses may lead to strangers. Only
            // where the container's own network cannot be entered, and only on links that we have a part in.
            own.retain(|address| target.namespace().is_err() && on_our_links(*address));
        }
        own.into_iter().map(Way::Here).collect()
    }

    #[allow(clippy::unused_self, reason = "the other half of ways_here")]
    fn ways_inside(&self, target: &Target, why: &mut Option<String>) -> Vec<Way> {
        match target.namespace() {
            Ok(namespace) => {
                let own = namespace.addresses().iter().copied();
                own.chain(LOOPBACK).map(Way::Inside).collect()
            }
            Err(unseen) => {
                *why = Some(unseen.to_owned());
                Vec::new()
            }
        }
    }

    async fn one(&self, target: &Arc<Target>, way: Way, port: u16) -> Result<TcpStream, Unreached> {
        let ours = |e: io::Error| Unreached::Ours(format!("no socket can be made: {e}"));
        let address = SocketAddr::new(way.address(), port);
        let socket = match way {
            Way::Here(IpAddr::V4(_)) => TcpSocket::new_v4().map_err(ours)?,
            Way::Here(IpAddr::V6(_)) => TcpSocket::new_v6().map_err(ours)?,
            Way::Inside(address) => {
                let made = self
                    .enter
                    .socket(Arc::clone(target), address.is_ipv6())
                    .await;
                let made = std::net::TcpStream::from(made.map_err(Unreached::Ours)?);
                TcpSocket::from_std_stream(made)
            }
        };
        socket
            .connect(address)
            .await
            .map_err(|e| Unreached::Theirs(e.kind().to_string()))
    }
}

/// Whether an address is in a network that one of our own links is in.
fn on_our_links(address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else {
        return false;
    };
    let routes = fs_err::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let wanted = u32::from_ne_bytes(address.octets());
    routes.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|w| u32::from_str_radix(w, 16).ok());
        let (Some(net), Some(gateway), Some(mask)) = (number(1), number(2), number(7)) else {
            return false;
        };
        gateway == 0 && mask != 0 && wanted & mask == net
    })
}

/// A thread that goes into networks to make sockets there.
#[derive(Default)]
struct Entrance {
    sender: Mutex<Option<crossbeam_channel::Sender<Order>>>,
}

struct Order {
    target: Arc<Target>,
    v6: bool,
    made: oneshot::Sender<Result<OwnedFd, String>>,
}

/// Making a socket takes microseconds; this is for a machine that stands still.
const ENTER_WITHIN: Duration = Duration::from_secs(5);

impl Entrance {
    async fn socket(&self, target: Arc<Target>, v6: bool) -> Result<OwnedFd, String> {
        let (made, answer) = oneshot::channel();
        self.order(Order { target, v6, made })?;
        match tokio::time::timeout(ENTER_WITHIN, answer).await {
            Ok(Ok(result)) => result,
            _ => Err("its network cannot be entered: the thread for that is gone".to_owned()),
        }
    }

    fn order(&self, order: Order) -> Result<(), String> {
        let mut sender = self.sender.lock();
        let order = match sender.as_ref() {
            Some(sender) => match sender.send(order) {
                Ok(()) => return Ok(()),
                // It could not come home from somewhere, and ended.
                Err(back) => back.0,
            },
            None => order,
        };
        let (new, orders) = crossbeam_channel::unbounded();
        start(orders)?;
        let sent = sender.insert(new).send(order);
        sent.map_err(|_| "the thread that enters networks is gone".to_owned())
    }
}

fn start(orders: crossbeam_channel::Receiver<Order>) -> Result<(), String> {
    let thread = std::thread::Builder::new().name("probe-enter".to_owned());
    let work = move || {
        let Ok(home) = fs_err::File::open("/proc/thread-self/ns/net") else {
            return;
        };
        for order in orders {
            let made = make(&order.target, order.v6);
            let is_home = enter(&home).is_ok();
            // Whoever asked may have given up.
            let _ = order.made.send(made);
            if !is_home {
                return;
            }
        }
    };
    let started = thread.stack_size(256 << 10).spawn(work);
    started
        .map(drop)
        .map_err(|e| format!("no thread can be started: {e}"))
}

fn make(target: &Target, v6: bool) -> Result<OwnedFd, String> {
    let namespace = target.namespace().map_err(str::to_owned)?;
    enter(namespace.file()).map_err(|e| {
        format!(
            "its network cannot be entered: {e}; lifeboat has to run as root on the engine's host"
        )
    })?;
    let family = if v6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::STREAM, flags, None)
        .map_err(|e| format!("no socket can be made in its network: {e}"))
}

fn enter(namespace: &fs_err::File) -> io::Result<()> {
    let kind = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(namespace.file().as_fd(), kind)?)
}
