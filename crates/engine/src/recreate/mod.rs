//! From what inspect told to what create takes: the faithful way back.
//!
//! A create body is the raw inspect's `Config` and `HostConfig`, verbatim and with every field that this
//! version does not know, less what must not be replayed. What is changed is listed here, and nothing
//! else is:
//!
//! | what | why |
//! | --- | --- |
//! | anonymous volumes pinned by name, or made anew for the caller to fill | made again naively they come back empty |
//! | host name that is the old short id, or borrowed from host or another container, dropped | it was not chosen by anybody |
//! | MAC address only where a person chose it, at the place that the API version wants | engines show made-up ones alike |
//! | addresses only from `IPAMConfig` | `IPAddress` is where it happened to be |
//! | aliases without the old short id; none on predefined networks | engines refuse, or answer to a stranger's name |
//! | one network at create, the others connected afterwards | older engines take one |
//! | links, `volumes-from`, `container:<id>` through an id map | the others have new ids |
//! | `com.docker.compose.image` follows the image's id; `com.docker.compose.replace` dropped | Compose would recreate everything |
//! | empty device permissions become `rwm` | Podman shows them empty |
//! | what Podman calls otherwise ([`in_dockers_words`], by the caller) | neither engine takes it back |
//!
//! Pure: no I/O, the engine is not asked.

mod container;
mod mounts;
mod network;
mod podman;
mod volume;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use container::{container_create_body, has_fixed_address};
pub use network::{Attachment, network_create_body, without_subnets};
pub use podman::in_dockers_words;
pub use volume::volume_create_body;

use crate::ApiVersion;

/// What is called otherwise on the engine where things are made again. Empty maps change nothing.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// API version of the engine that will get the body.
    pub api: ApiVersion,
    /// What `Config.Image` is to be, see `image_for_create`; as captured without it.
    pub image: Option<String>,
    /// Id of the image there, for Compose's label.
    pub image_id: Option<String>,
    /// Old container id or name to new id or name.
    pub containers: BTreeMap<String, String>,
    /// Old network id or name to new name.
    pub networks: BTreeMap<String, String>,
    /// Old volume name to new name.
    pub volumes: BTreeMap<String, String>,
    /// Anonymous volumes, by old name, that the engine makes anew and the caller fills: so they stay
    /// anonymous, and go with their container. All others are pinned by name.
    pub fresh: BTreeSet<String>,
    /// Old bind source to new; a directory stands for all below it, the longest one counts.
    pub binds: BTreeMap<String, String>,
    /// Host name of the engine that the definition came from, to tell a borrowed host name from a chosen one.
    pub source_hostname: Option<String>,
    /// The definition is changed on purpose (other names): hashes that Compose keeps of volumes and
    /// networks are dropped, because with a wrong one it removes what it finds.
    pub transformed: bool,
}

impl Mapping {
    /// Exact recovery on an engine that speaks `api`.
    #[must_use]
    pub fn exact(api: ApiVersion) -> Self {
        Self {
            api,
            image: None,
            image_id: None,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            fresh: BTreeSet::new(),
            binds: BTreeMap::new(),
            source_hostname: None,
            transformed: false,
        }
    }

    /// The new reference for a container that is named by name, id or the beginning of its id.
    fn container<'m>(&'m self, old: &'m str) -> &'m str {
        let by_prefix = || {
            let short_id = old.len() >= 12 && old.bytes().all(|byte| byte.is_ascii_hexdigit());
            short_id
                .then(|| {
                    self.containers
                        .iter()
                        .find(|(id, _)| id.starts_with(old))
                        .map(|(_, new)| new)
                })
                .flatten()
        };
        self.containers
            .get(old)
            .or_else(by_prefix)
            .map_or(old, String::as_str)
    }

    fn network<'m>(&'m self, name: &'m str, id: &str) -> &'m str {
        self.networks
            .get(id)
            .or_else(|| self.networks.get(name))
            .map_or(name, String::as_str)
    }

    fn volume<'m>(&'m self, old: &'m str) -> &'m str {
        self.volumes.get(old).map_or(old, String::as_str)
    }

    fn bind(&self, old: &str) -> String {
        let covers = |from: &str| {
            old == from
                || old
                    .strip_prefix(from)
                    .is_some_and(|rest| from.ends_with('/') || rest.starts_with('/'))
        };
        let longest = self
            .binds
            .iter()
            .filter(|(from, _)| covers(from))
            .max_by_key(|(from, _)| from.len());
        match longest {
            Some((from, to)) => format!("{to}{}", &old[from.len()..]),
            None => old.to_owned(),
        }
    }
}

/// How a container is made again: create, connect, disconnect, then put files in and start.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerPlan {
    /// Its name.
    pub name: String,
    /// The create body.
    pub body: Value,
    /// Networks to connect after create, in order.
    pub connect: Vec<Attachment>,
    /// Networks to disconnect after create: those that it was detached from although it was made with them.
    pub disconnect: Vec<String>,
    /// What could not be taken over as it was, for a person.
    pub notes: Vec<String>,
}

/// The object at `key`, or an empty one for null and absent.
fn object(value: &Value, key: &str) -> Map<String, Value> {
    value
        .get(key)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn text<'v>(map: &'v Map<String, Value>, key: &str) -> &'v str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Drops Compose's hash of a volume or network that is changed on purpose.
fn labels(raw: &Value, mapping: &Mapping) -> Value {
    let mut labels = object(raw, "Labels");
    if mapping.transformed {
        labels.remove("com.docker.compose.config-hash");
    }
    Value::Object(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bind_counts_and_names_are_whole() {
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        mapping.binds = [
            ("/srv".to_owned(), "/a".to_owned()),
            ("/srv/x".to_owned(), "/b".to_owned()),
        ]
        .into();
        assert_eq!(mapping.bind("/srv/x/y"), "/b/y");
        assert_eq!(mapping.bind("/srv/xy"), "/a/xy");
        assert_eq!(mapping.bind("/srvx"), "/srvx");
    }

    #[test]
    fn short_ids_find_their_container() {
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        mapping.containers = [("ab".repeat(32), "new".to_owned())].into();
        assert_eq!(mapping.container("abababababab"), "new");
        assert_eq!(mapping.container("abab"), "abab");
        assert_eq!(mapping.container("db"), "db");
    }
}
