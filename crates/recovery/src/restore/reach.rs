//! Whose file system the engine's is: decided once for a restore, before anything is looked at.
//!
//! Where the engine's files are ours too, data is written where the engine keeps it. Where they are not
//! (a remote engine, one in a virtual machine, we in a container without its folders), and where ids
//! differ between the point and the engine, data goes through the engine's archive (`far`), which
//! knows its own paths and maps its own ids.
//!
//! From inside a container of the engine a path of the host is ours only where it is mounted at the
//! same place, and not as the mount point itself: a copy beside it would be made in our own layer.

use std::collections::BTreeMap;

use lifeboat_engine::{Endpoint, Engine, HostPath, OwnPathQuery, OwnPathReason};
use lifeboat_plan::manifest::{BindContent, BindDecision, BindRecord, EngineRecord, Manifest};
use serde_json::Value;

use super::{
    ids::{Ids, Shift},
    obstacles::PathState,
};
use crate::Result;

/// How data gets to where the engine keeps it.
#[derive(Debug)]
pub struct Reach {
    /// Volumes can be written where they lie.
    volumes: bool,
    paths: Paths,
    shift: Shift,
    /// Address of an engine whose files are not ours.
    address: Option<String>,
}

/// Which paths of the engine's host are ours.
#[derive(Debug)]
enum Paths {
    All,
    None,
    /// Those below a folder that is mounted into our own container at its own place.
    Mounted(Vec<String>),
}

impl Reach {
    /// Asks the engine for the proof: a few objects are made and taken away again.
    pub fn prove(engine: &dyn Engine, manifest: &Manifest) -> Result<Self> {
        let ours = match engine.prove_local(None) {
            Ok(()) => true,
            Err(why @ lifeboat_engine::Error::NotOurFiles { .. }) => {
                tracing::info!(%why, "data goes through the engine");
                false
            }
            Err(e) => return Err(e.into()),
        };
        Self::of(engine, manifest, ours)
    }

    /// The same for a dry run: on a socket of this machine, with the data root in sight, no proof is
    /// made.
    pub fn presume(engine: &dyn Engine, manifest: &Manifest) -> Result<Self> {
        let socket = engine.endpoint().parse::<Endpoint>();
        let local = socket.is_ok_and(|at| at.socket().is_some());
        let root = engine.facts()?.data_root;
        if local && std::path::Path::new(&root).is_dir() {
            return Self::of(engine, manifest, true);
        }
        Self::prove(engine, manifest)
    }

    fn of(engine: &dyn Engine, manifest: &Manifest, ours: bool) -> Result<Self> {
        let here = EngineRecord::from(&engine.facts()?);
        let shift = Ids::of(&manifest.engine).shift_to(&Ids::of(&here));
        let through_engine = !ours || shift.is_some();
        let paths = if through_engine {
            Paths::None
        } else {
            match own_mounts(engine)? {
                None => Paths::All,
                Some(mounts) => Paths::Mounted(mounts),
            }
        };
        Ok(Self {
            volumes: !through_engine,
            paths,
            shift: shift.unwrap_or_default(),
            address: (!ours).then(|| engine.endpoint()),
        })
    }

    /// Everything is written where the engine keeps it.
    #[cfg(test)]
    pub fn ours() -> Self {
        Self {
            volumes: true,
            paths: Paths::All,
            shift: Shift::default(),
            address: None,
        }
    }

    /// `true` if volumes are written where they lie.
    pub fn volumes(&self) -> bool {
        self.volumes
    }

    /// `true` if this path of the engine's host is that path here.
    pub fn path(&self, path: &str) -> bool {
        match &self.paths {
            Paths::All => true,
            Paths::None => false,
            Paths::Mounted(folders) => folders.iter().any(|folder| is_below(path, folder)),
        }
    }

    /// What is done to owners on the way.
    pub fn shift(&self) -> Shift {
        self.shift
    }

    /// The engine's address, where its files are not ours: what an interrupted restore has left there is
    /// nothing that another engine has.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// `true` if what is put into this folder of ours on the engine's host can be taken away from here.
    pub fn keeps(&self, folder: &str) -> bool {
        let mounted = matches!(self.paths, Paths::Mounted(_));
        self.address.is_none() && (!mounted || self.path(folder))
    }

    /// What stands at a path of the engine's host.
    pub fn state(&self, engine: &dyn Engine, path: &str) -> Result<PathState> {
        if self.path(path) {
            return Ok(PathState::of(std::path::Path::new(path)));
        }
        Ok(match engine.host_path(path)? {
            HostPath::Absent => PathState::Absent,
            HostPath::EmptyFolder => PathState::EmptyFolder,
            HostPath::Something => PathState::Something,
        })
    }

    /// What stands at the bind sources of a point.
    pub fn states(
        &self,
        engine: &dyn Engine,
        manifest: &Manifest,
    ) -> Result<BTreeMap<String, PathState>> {
        let looked_at = |b: &&BindRecord| match b.decision {
            BindDecision::Captured => true,
            BindDecision::Within => false,
            _ => b.content == BindContent::Present,
        };
        let binds = manifest.binds.iter().filter(looked_at);
        binds
            .map(|bind| Ok((bind.source.clone(), self.state(engine, &bind.source)?)))
            .collect()
    }
}

/// Folders of the engine's host that its container, if we run in one, has at their own places and may
/// write. `None` if we run in no container of it.
fn own_mounts(engine: &dyn Engine) -> Result<Option<Vec<String>>> {
    let own = engine.own_path(&OwnPathQuery::default())?;
    let own = own
        .iter()
        .find(|o| o.reason == OwnPathReason::Process(std::process::id()));
    let Some(own) = own else {
        return Ok(None);
    };
    let raw = engine.inspect_container(&own.id)?;
    Ok(Some(at_their_own_places(&raw)))
}

fn at_their_own_places(raw: &Value) -> Vec<String> {
    let mounts: Vec<&Value> = raw["Mounts"].as_array().into_iter().flatten().collect();
    let text = |mount: &Value, key: &str| mount[key].as_str().unwrap_or_default().to_owned();
    let destinations: Vec<String> = mounts.iter().map(|m| text(m, "Destination")).collect();
    let own_place = mounts
        .iter()
        .filter(|m| m["Type"] == "bind" && m["RW"] != false && m["Source"] == m["Destination"]);
    own_place
        .map(|m| text(m, "Source"))
        // Another mount below it hides a part of it: rare, and going through the engine is never wrong.
        .filter(|folder| !destinations.iter().any(|d| is_below(d, folder)))
        .collect()
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/'))
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn in_a_container_only_what_is_mounted_at_its_own_place_is_ours() {
        let raw = json!({"Mounts": [
            {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": true},
            {"Type": "bind", "Source": "/data", "Destination": "/mnt", "RW": true},
            {"Type": "bind", "Source": "/etc", "Destination": "/etc", "RW": false},
            {"Type": "bind", "Source": "/opt", "Destination": "/opt", "RW": true},
            {"Type": "volume", "Source": "/x/_data", "Destination": "/opt/cache", "RW": true},
        ]});
        let mut reach = Reach::ours();
        reach.paths = Paths::Mounted(at_their_own_places(&raw));
        assert!(reach.path("/srv/shop/uploads"));
        for other in [
            "/srv", "/srvx/a", "/data/a", "/mnt/a", "/etc/a", "/opt/a", "/",
        ] {
            assert!(!reach.path(other), "{other}");
        }
    }
}
