//! What containers, networks and volumes were made from, as it was seen last: so that what is gone can be made again.
//!
//! One file a name under `definitions/`, mode 0600 (environments hold secrets); the one before lies beside it as `NAME.1`.
//! What is missing here is brought from the vault by whoever helps the agent.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use lifeboat_engine::Engine;
use lifeboat_plan::{label, supervise::Moment};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

/// What is in a definition and changes by itself.
const MOMENTARY: [&str; 8] = [
    "State",
    "RestartCount",
    "ResolvConfPath",
    "HostnamePath",
    "HostsPath",
    "LogPath",
    "ExecIDs",
    "NetworkSettings",
];

/// What a definition is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container, by name.
    Container,
    /// A network, by name.
    Network,
    /// A volume, by name.
    Volume,
    /// An image, by id.
    Image,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Container => "containers",
            Self::Network => "networks",
            Self::Volume => "volumes",
            Self::Image => "images",
        }
    }
}

/// The folder of definitions.
#[derive(Debug, Clone)]
pub struct Definitions(PathBuf, Arc<Mutex<()>>);

impl Definitions {
    /// Those of an agent whose own things lie in this folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.join("definitions"), Arc::default())
    }

    fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.0.join(kind).join(in_file(name))
    }

    /// Keeps a container's definition, and those of its image, networks and named volumes where they are new. `true` if
    /// it is another one than before.
    pub(crate) fn keep(&self, engine: &dyn Engine, raw: &Value) -> bool {
        self.try_keep(engine, raw).unwrap_or_else(|error| {
            tracing::warn!(%error, "a definition cannot be kept; what it defines could be made again from the vault alone");
            true
        })
    }

    fn try_keep(&self, engine: &dyn Engine, raw: &Value) -> std::io::Result<bool> {
        let name = raw["Name"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches('/');
        if name.is_empty() {
            return Ok(false);
        }
        let before = self.container(name);
        if before.as_ref().is_some_and(|old| same(old, raw)) {
            return Ok(false);
        }
        self.write("containers", name, raw)?;
        for (kind, name) in Self::stands_on(raw) {
            let raw = match kind {
                Kind::Network => engine.inspect_network(&name),
                Kind::Volume => engine.inspect_volume(&name),
                Kind::Image if self.image(&name).is_none() => engine.inspect_image(&name),
                Kind::Image | Kind::Container => continue,
            };
            if let Ok(raw) = raw {
                self.write(kind.folder(), &name, &raw)?;
            }
        }
        Ok(true)
    }

    /// What a container's definition is nothing without: networks that are somebody's, volumes, the image.
    pub(crate) fn stands_on(raw: &Value) -> Vec<(Kind, String)> {
        let networks = raw["NetworkSettings"]["Networks"].as_object();
        let networks = networks
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        let networks = networks.filter(|name| !["bridge", "host", "none"].contains(name));
        let image = raw["Image"].as_str().filter(|image| !image.is_empty());
        let networks = networks.map(|name| (Kind::Network, name));
        let volumes = named_volumes(raw).map(|name| (Kind::Volume, name));
        let all = networks.chain(volumes);
        all.chain(image.map(|id| (Kind::Image, id)))
            .map(|(kind, name)| (kind, name.to_owned()))
            .collect()
    }

    /// Takes over what was found elsewhere, where nothing is known here.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn add(&self, kind: Kind, name: &str, raw: &Value) -> std::io::Result<()> {
        match self.path(kind.folder(), name).exists() {
            true => Ok(()),
            false => self.write(kind.folder(), name, raw),
        }
    }

    /// Nobody writes while this is held.
    pub(crate) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.1.lock()
    }

    /// Names of all of a kind, in order, and when each was written or touched last.
    pub(crate) fn files(&self, kind: Kind) -> std::io::Result<Vec<(String, Moment)>> {
        let folder = self.0.join(kind.folder());
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A name that is no text is not the engine's.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let at = entry.metadata()?.modified()?;
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            all.insert(name, Moment(millis));
        }
        // The ones before, and what was not written to its end, belong to one that is there.
        let beside = |name: &str| {
            let of = [".1", ".new"].iter().find_map(|end| name.strip_suffix(end));
            of.is_some_and(|of| all.contains_key(of))
        };
        let own = all.iter().filter(|(name, _)| !beside(name));
        Ok(own.map(|(name, at)| (name.clone(), *at)).collect())
    }

    /// Says that it was there at this time.
    pub(crate) fn touch(&self, kind: Kind, name: &str, at: Moment) -> std::io::Result<()> {
        let file = fs::File::open(self.path(kind.folder(), name))?;
        let at = UNIX_EPOCH + Duration::from_millis(at.0);
        file.set_times(std::fs::FileTimes::new().set_modified(at))
    }

    /// Takes it away, and the one before it.
    pub(crate) fn remove(&self, kind: Kind, name: &str) -> std::io::Result<()> {
        let before = format!("{name}.1");
        let raw = self.read(kind.folder(), &before).unwrap_or_default();
        let says = raw["Name"].as_str().unwrap_or_default();
        // A container may be called so.
        let is_its_own = says.trim_start_matches('/') == before;
        let before = (!is_its_own).then_some(before);
        let all = before
            .into_iter()
            .chain([format!("{name}.new"), name.to_owned()]);
        for name in all {
            match fs::remove_file(self.path(kind.folder(), &name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it is made again whenever it is gone.
    pub(crate) fn is_kept(&self, name: &str) -> bool {
        let raw = self.container(name).unwrap_or_default();
        let labels = raw["Config"]["Labels"].as_object().into_iter().flatten();
        let labels =
            labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        label::flag(&labels.collect(), "lifeboat.keep") == Some(true)
    }

    fn write(&self, kind: &str, name: &str, raw: &Value) -> std::io::Result<()> {
        // Two hands may have looked at the same one.
        let _one = self.1.lock();
        let path = self.path(kind, name);
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        if path.exists() {
            fs::rename(&path, path.with_file_name(format!("{name}.1")))?;
        }
        let temporary = path.with_file_name(format!("{name}.new"));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(raw.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }

    fn read(&self, kind: &str, name: &str) -> Option<Value> {
        let text = fs::read(self.path(kind, name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// A container's, as it was seen last.
    pub(crate) fn container(&self, name: &str) -> Option<Value> {
        self.read("containers", name)
    }

    /// A network's.
    pub(crate) fn network(&self, name: &str) -> Option<Value> {
        self.read("networks", name)
    }

    /// A volume's.
    pub(crate) fn volume(&self, name: &str) -> Option<Value> {
        self.read("volumes", name)
    }

    /// An image's, by id.
    #[must_use]
    pub fn image(&self, id: &str) -> Option<Value> {
        self.read("images", id)
    }
}

/// A name as its file is called. Names are the engine's, and hold no slash; whatever else they are, they stay in the folder.
pub(crate) fn in_file(name: &str) -> String {
    name.replace('/', "_")
}

/// Names of all volumes that it mounts.
pub(crate) fn named_volumes(raw: &Value) -> impl Iterator<Item = &str> {
    let mounts = raw["Mounts"].as_array().into_iter().flatten();
    mounts
        .filter(|mount| mount["Type"] == "volume")
        .filter_map(|mount| mount["Name"].as_str())
}

/// Whether nothing but what changes by itself differs. Of the networks only which they are counts.
fn same(a: &Value, b: &Value) -> bool {
    let bare = |raw: &Value| {
        let mut map = raw.as_object().cloned().unwrap_or_default();
        for key in MOMENTARY {
            map.remove(key);
        }
        map
    };
    let networks = |raw: &Value| -> Vec<String> {
        let all = raw["NetworkSettings"]["Networks"]
            .as_object()
            .into_iter()
            .flatten();
        let mut names: Vec<String> = all.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    let mounts = |raw: &Value| {
        let mut all: Vec<String> = raw["Mounts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect();
        all.sort();
        all
    };
    let (mut x, mut y) = (bare(a), bare(b));
    x.remove("Mounts");
    y.remove("Mounts");
    x == y && networks(a) == networks(b) && mounts(a) == mounts(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_by_itself_is_no_change() {
        let a = json!({"Id": "1", "State": {"Pid": 1}, "Mounts": [{"Name": "a"}, {"Name": "b"}], "NetworkSettings": {"Networks": {"n": {"IPAddress": "1"}}}});
        let b = json!({"Id": "1", "State": {"Pid": 2}, "Mounts": [{"Name": "b"}, {"Name": "a"}], "NetworkSettings": {"Networks": {"n": {"IPAddress": "2"}}}});
        let c = json!({"Id": "1", "HostConfig": {"Memory": 1}, "Mounts": [], "NetworkSettings": {"Networks": {}}});
        assert!(same(&a, &b));
        assert!(!same(&a, &c));
    }

    #[test]
    fn written_and_read_with_the_one_before_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let definitions = Definitions::in_folder(dir.path());
        definitions
            .write("containers", "web", &json!({"a": 1}))
            .unwrap();
        definitions
            .write("containers", "web", &json!({"a": 2}))
            .unwrap();
        assert_eq!(definitions.container("web"), Some(json!({"a": 2})));
        assert_eq!(definitions.container("web.1"), Some(json!({"a": 1})));
        assert_eq!(definitions.container("../x"), None);
    }
}
