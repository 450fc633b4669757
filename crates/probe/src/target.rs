//! A running container, as far as asking it needs.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use lifeboat_engine::NetworkNamespace;
use lifeboat_plan::inventory::{Container, ContainerState};
use serde_json::{Value, json};

/// One run of one container.
pub(crate) struct Target {
    pub id: String,
    pub name: String,
    /// When it started, in the engine's words: tells one run from the next.
    pub run: String,
    pub pid: u32,
    pub addresses: Vec<IpAddr>,
    /// It has the network of the engine's host.
    pub host_network: bool,
    /// As it was made. Holds secrets.
    env: Vec<String>,
    /// What [`NetworkNamespace::of_container`] needs of its inspect.
    raw: Value,
    namespace: OnceLock<Result<NetworkNamespace, String>>,
    /// The way that worked last.
    pub way: AtomicUsize,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

impl Target {
    /// `None` if it does not run. A paused one runs.
    pub fn of(container: &Container) -> Option<Self> {
        let runs = matches!(
            container.state,
            ContainerState::Running | ContainerState::Paused
        );
        if !runs || container.pid == 0 {
            return None;
        }
        let networks = &container.raw["NetworkSettings"]["Networks"];
        let endpoints = networks.as_object().into_iter().flatten();
        let found = endpoints.flat_map(|(_, endpoint)| {
            let at = |key: &str| endpoint[key].as_str().and_then(|text| text.parse().ok());
            [at("IPAddress"), at("GlobalIPv6Address")]
        });
        let addresses: Vec<IpAddr> = found.flatten().collect();
        Some(Self {
            raw: json!({
                "Id": container.id,
                "Name": container.name,
                "State": {"Pid": container.pid},
                "NetworkSettings": {"Networks": networks},
            }),
            id: container.id.clone(),
            name: container.name.clone(),
            run: run(container),
            pid: container.pid,
            addresses,
            host_network: container.network_mode == "host",
            env: container.env.clone(),
            namespace: OnceLock::new(),
            way: AtomicUsize::new(0),
        })
    }

    /// Its network namespace, opened when it is first needed; a phrase where that cannot be.
    pub fn namespace(&self) -> Result<&NetworkNamespace, &str> {
        let opened =
            self.namespace
                .get_or_init(|| match NetworkNamespace::of_container(&self.raw) {
                    Ok(Some(namespace)) => Ok(namespace),
                    Ok(None) => Err("it does not run".to_owned()),
                    Err(why) => Err(why.to_string()),
                });
        opened.as_ref().map_err(String::as_str)
    }

    /// A variable of the environment that it was made with.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = |entry: &'_ String| -> Option<usize> {
            entry.strip_prefix(name)?.strip_prefix('=').map(str::len)
        };
        self.env.iter().rev().find_map(|entry| {
            let length = value(entry)?;
            entry.get(entry.len() - length..)
        })
    }

    /// How long it has been running by the kernel's own count, which no clock that is set disturbs; nothing where its
    /// process cannot be seen.
    pub fn age(&self) -> Duration {
        self.kernel_age().unwrap_or_default()
    }

    fn kernel_age(&self) -> Option<Duration> {
        let up = fs_err::read_to_string("/proc/uptime").ok()?;
        let up: f64 = up.split(' ').next()?.parse().ok()?;
        let stat = fs_err::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name of a program may hold anything: what follows its last parenthesis is numbers.
        let (_, numbers) = stat.rsplit_once(") ")?;
        let began: f64 = numbers.split(' ').nth(19)?.parse().ok()?;
        let per_second = rustix::param::clock_ticks_per_second();
        let began = began / f64::from(u32::try_from(per_second).ok()?);
        Duration::try_from_secs_f64((up - began).max(0.0)).ok()
    }
}

/// When the container started, in the engine's words.
pub(crate) fn run(container: &Container) -> String {
    let started = &container.raw["State"]["StartedAt"];
    started.as_str().unwrap_or_default().to_owned()
}
