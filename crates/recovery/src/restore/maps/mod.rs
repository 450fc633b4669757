//! Mappings for the target: what is to be called, published, placed or set otherwise than at the point.
//!
//! A person gives them as flags or in a file ([`Given`]); `apply` rewrites an open point with them,
//! before anything is planned, so that plan, obstacles, restore and undo know the new names alone.
//! Pure but for reading the file: neither engine nor disk is changed.
//!
//! Wrong ones are refused all at once: what cannot be read before the vault is opened, what fits nothing
//! in the point together with everything else that stands in the way. A value of a variable is never
//! shown: it may be a password.

mod apply;
mod container;
mod image;
mod names;
mod parse;
mod paths;
mod subnet;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::journal::Intent;

pub use self::parse::Given;
pub(super) use self::subnet::Subnet;
pub(super) use self::{
    apply::{COMPOSE_FILES, Scope, apply},
    container::{Published, published},
    names::{fixed, overlap},
};

/// One thing that is otherwise than at the point because somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// `port`, `bind`, `project`, `network`, `subnet`, `volume`, `image`, `variable`.
    pub kind: &'static str,
    /// The container, where it is a container's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// At the point. Of a variable: its name.
    pub old: String,
    /// Here. Of a variable: that it is another value, never which.
    pub new: String,
}

/// What mapping a point did.
#[derive(Debug, Default, Clone)]
pub struct Applied {
    /// The mappings that took effect.
    pub mapped: Vec<Mapped>,
    /// What follows from them and a person should know.
    pub warnings: Vec<String>,
    /// What is wrong with them, each with a way out. Not empty: refused.
    pub problems: Vec<String>,
}

/// All mappings, read and sound in themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maps {
    ports: Vec<PortMap>,
    binds: BTreeMap<String, String>,
    networks: BTreeMap<String, String>,
    subnets: Vec<(Subnet, Option<Subnet>)>,
    volumes: BTreeMap<String, String>,
    images: Vec<ImageMap>,
    variables: Vec<Variable>,
}

impl Maps {
    /// Nothing is mapped.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of them for a journal, which is for root alone: an interrupted restore goes on with them.
    pub(super) fn journaled(&self) -> String {
        // Plain values with names for keys: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The reverse of [`Maps::journaled`].
    pub(super) fn from_journal(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Those of an interrupted restore of an app.
    pub(super) fn of_journal(intents: &BTreeSet<Intent>) -> Option<Self> {
        intents.iter().find_map(|intent| match intent {
            Intent::Mapped(text) => Self::from_journal(text),
            _ => None,
        })
    }

    /// What a copy beside the original calls this volume or network.
    pub(super) fn name_of(&self, kind: &str, old: &str) -> Option<&str> {
        let pairs = match kind {
            "volume" => &self.volumes,
            "network" => &self.networks,
            _ => return None,
        };
        pairs.get(old).map(String::as_str)
    }

    /// The port of 127.0.0.1 that a copy beside the original has instead of this published one.
    pub(super) fn local_port(&self, published: u16, protocol: &str) -> Option<u16> {
        let map = self.ports.iter().find(|m| m.fits(published, protocol))?;
        (map.new != 0).then_some(map.new)
    }

    /// What makes no sense where a point takes the place of the app that is here.
    pub(super) fn refused_over(&self) -> Vec<String> {
        let other = |flag: &str, what: &str| {
            format!(
                "{flag} is not for --replace, where the {what} of the app that is here are what is replaced; leave it out, or take the app down and restore without --replace"
            )
        };
        let flags = [
            ("--map-bind", "bind sources", self.binds.is_empty()),
            ("--map-volume", "volumes", self.volumes.is_empty()),
            ("--map-subnet", "networks", self.subnets.is_empty()),
        ];
        let given = flags.iter().filter(|(_, _, empty)| !empty);
        given.map(|(flag, what, _)| other(flag, what)).collect()
    }

    /// Why it cannot go on with these what was begun with others.
    pub(super) fn begun_with_others(&self, ours: &BTreeSet<Intent>) -> Option<String> {
        let begun = |i: &Intent| !matches!(i, Intent::Begin(_) | Intent::Engine(_));
        let differs = ours.iter().any(begun) && Self::of_journal(ours).unwrap_or_default() != *self;
        differs.then(|| {
            "the restore that was interrupted had other mappings; run it again with those, or with `lifeboat restore --continue`".to_owned()
        })
    }

    /// What makes no sense for a copy beside the original.
    pub(super) fn refused_beside(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.binds.is_empty() {
            found.push(
                "--map-bind is not for a copy: its bind sources lie in a folder of its own, which goes with it"
                    .to_owned(),
            );
        }
        if !self.subnets.is_empty() {
            found.push(
                "--map-subnet is not for a copy: the engine chooses the subnets of its networks"
                    .to_owned(),
            );
        }
        let addressed = |m: &&PortMap| m.address.is_some_and(|a| !a.is_loopback());
        found.extend(self.ports.iter().filter(addressed).map(|m| {
            format!("--map-port {m} is not for a copy: its ports are on 127.0.0.1 alone")
        }));
        found
    }
}

/// A published port, and where it is published here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PortMap {
    old: u16,
    /// `tcp`, `udp`, `sctp`; any without it.
    protocol: Option<String>,
    /// As at the point without it.
    address: Option<IpAddr>,
    /// 0: a free one.
    new: u16,
}

impl PortMap {
    fn fits(&self, port: u16, protocol: &str) -> bool {
        self.old == port && self.protocol.as_deref().is_none_or(|p| p == protocol)
    }
}

impl fmt::Display for PortMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.old)?;
        if let Some(protocol) = &self.protocol {
            write!(f, "/{protocol}")?;
        }
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, ":[{address}]:{}", self.new),
            Some(address) => write!(f, ":{address}:{}", self.new),
            None => write!(f, ":{}", self.new),
        }
    }
}

/// An image, and the one to use in its place. References hold colons, so that only the point can tell
/// where the old one ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ImageMap {
    given: String,
    splits: Vec<(String, String)>,
}

/// A variable of a container's environment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Variable {
    /// Service or container; all that have the variable without it.
    service: Option<String>,
    key: String,
    value: String,
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{service}:{}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// Without the value.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable({self})")
    }
}
