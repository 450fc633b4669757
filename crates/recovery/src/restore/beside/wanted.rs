//! What a person asked for with `--as`, and what of the host the copy may reach.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{RecoveryError, Result, restore::maps::Maps};

/// The longest name of a copy: names of containers begin with it, and a name in a network has at most
/// 63 characters.
const LONGEST: usize = 48;

/// What begins the mappings in a line of options; nothing that is allowed holds it.
const MAPS: &str = "maps=";

/// Something of the host, or of others, that a copy gets only when it is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allow {
    /// A network that the app does not own.
    Network(String),
    /// A path of the host that is not in the point, mounted read-only.
    Bind(String),
    /// A volume whose data is not in the point: an empty one in its place.
    Volume(String),
    /// The host's network.
    HostNetwork,
    /// The host's processes.
    HostPid,
    /// The host's shared memory.
    HostIpc,
    /// The host's name.
    HostUts,
    /// Devices.
    Devices,
    /// Privileged containers.
    Privileged,
    /// The engine's socket.
    EngineSocket,
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network:{name}"),
            Self::Bind(path) => write!(f, "bind:{path}"),
            Self::Volume(name) => write!(f, "volume:{name}"),
            Self::HostNetwork => f.write_str("host-network"),
            Self::HostPid => f.write_str("host-pid"),
            Self::HostIpc => f.write_str("host-ipc"),
            Self::HostUts => f.write_str("host-uts"),
            Self::Devices => f.write_str("devices"),
            Self::Privileged => f.write_str("privileged"),
            Self::EngineSocket => f.write_str("engine-socket"),
        }
    }
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let found = match text.split_once(':') {
            Some(("network", name)) => named(name).map(Self::Network),
            Some(("volume", name)) => named(name).map(Self::Volume),
            Some(("bind", path)) => lifeboat_plan::path::clean(path).map(Self::Bind),
            Some(_) => None,
            None => match text {
                "host-network" => Some(Self::HostNetwork),
                "host-pid" => Some(Self::HostPid),
                "host-ipc" => Some(Self::HostIpc),
                "host-uts" => Some(Self::HostUts),
                "devices" => Some(Self::Devices),
                "privileged" => Some(Self::Privileged),
                "engine-socket" => Some(Self::EngineSocket),
                _ => None,
            },
        };
        found.ok_or_else(|| {
            "it is one of network:NAME, bind:PATH, volume:NAME, host-network, host-pid, host-ipc, host-uts, devices, privileged, engine-socket".to_owned()
        })
    }
}

/// How a copy is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Its name: the Compose project's, and the beginning of every name in it.
    pub name: String,
    /// Networks with a way out, and ports published on free ports of 127.0.0.1.
    pub network_access: bool,
    /// What it may have of the host and of others.
    pub allow: BTreeSet<Allow>,
    /// What is to be otherwise than at the point, and how new things are to be called.
    pub maps: Maps,
}

impl Wanted {
    /// Refuses what can be no name of a project.
    pub fn check_name(&self) -> Result<()> {
        check_name(&self.name)
    }

    /// One line that tells two sets of options apart, for the journal.
    pub(super) fn options(&self) -> String {
        let access = self.network_access.then(|| "network-access".to_owned());
        let allowed = self.allow.iter().map(ToString::to_string);
        access
            .into_iter()
            .chain(allowed)
            .chain((!self.maps.is_empty()).then(|| format!("{MAPS}{}", self.maps.journaled())))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// From the line in the journal.
    pub(crate) fn from_options(name: &str, options: &str) -> Self {
        let (options, maps) = options.split_once(MAPS).unwrap_or((options, ""));
        let words = || options.split(' ').filter(|word| !word.is_empty());
        Self {
            name: name.to_owned(),
            network_access: words().any(|word| word == "network-access"),
            allow: words().filter_map(|word| word.parse().ok()).collect(),
            maps: Maps::from_journal(maps).unwrap_or_default(),
        }
    }

    pub(super) fn allows(&self, what: &Allow) -> bool {
        self.allow.contains(what)
    }
}

/// Compose's grammar for names of projects, with a length that leaves room for what follows.
pub fn check_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let first = name.bytes().next().unwrap_or_default();
    if (2..=LONGEST).contains(&name.len())
        && name.bytes().all(good)
        && first.is_ascii_alphanumeric()
    {
        return Ok(());
    }
    Err(RecoveryError::Refused(format!(
        "`{}` cannot be the name of a copy: it has 2 to {LONGEST} lower-case letters, digits, `-` and `_`, and begins with a letter or a digit",
        name.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_projects() {
        for good in ["shop-try", "s2", "9_lives"] {
            check_name(good).unwrap();
        }
        let long = "x".repeat(49);
        for bad in ["", "x", "-x", "Shop", "a b", "../x", "a/b", "ä1", &long] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_allowed_is_written_as_it_is_read() {
        for text in [
            "network:proxy",
            "bind:/srv/films",
            "volume:nas",
            "host-network",
            "host-pid",
            "host-ipc",
            "host-uts",
            "devices",
            "privileged",
            "engine-socket",
        ] {
            assert_eq!(text.parse::<Allow>().unwrap().to_string(), text);
        }
        for bad in ["", "network:", "bind:x", "bind:/a/../b", "all", "port:80"] {
            bad.parse::<Allow>().unwrap_err();
        }
    }
}
