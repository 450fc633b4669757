//! Copies that `restore --as` made: what is known of them, and taking them away.
//!
//! A copy's record is `copies/NAME.json` in the state directory, its bind sources and project files
//! lie in `copies/NAME/`. Invariant: what is removed carries the label of the copy **and** stands in
//! its record, or in the journal of its making; everything else stays and is named. The folder was
//! made by us, empty, and is removed as a whole, unless something is mounted in it.
//!
//! A removal that is interrupted is run again: the record goes last.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lifeboat_engine::Engine;
use lifeboat_plan::{label, manifest::EngineRecord};
use lifeboat_vault::id::SnapshotId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Places, RecoveryError, Result,
    forward::CopyPort,
    journal::Journal,
    passage,
    restore::{
        beside::check_name,
        journal::{Intent, copy_journal},
    },
};

/// What a copy is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// `site/host/app` of the original.
    pub of: String,
    /// The point.
    pub point: SnapshotId,
    /// When it was up.
    pub made: jiff::Timestamp,
    /// Data root of the engine that it is on.
    pub data_root: Option<String>,
    /// Its networks have a way out.
    pub network_access: bool,
    /// Containers: name and id.
    pub containers: BTreeMap<String, String>,
    /// Networks.
    pub networks: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Ports that the original publishes.
    #[serde(default)]
    pub ports: Vec<CopyPort>,
}

impl Record {
    /// Writes it, whole or not at all.
    pub(crate) fn save(&self, places: &Places) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| RecoveryError::Failed(format!("write a copy's record: {e}")))?;
        crate::setup::write_private(&record_path(places, &self.name), &text, true)
    }

    fn load(places: &Places, name: &str) -> Result<Option<Self>> {
        let path = record_path(places, name);
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            RecoveryError::Failed(format!(
                "{} cannot be read ({e}); without it nothing is taken away",
                path.display()
            ))
        })
    }
}

/// One thing that a copy consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `container`, `volume`, `network`, `folder`.
    pub kind: &'static str,
    /// Name or path.
    pub name: String,
}

/// What a removal will take away, or did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Removal {
    /// The copy's name.
    pub name: String,
    /// `site/host/app` of the original, if it is known.
    pub of: Option<String>,
    /// What is removed.
    pub items: Vec<Item>,
    /// What stays, and why. Not empty: exit code 3.
    pub stays: Vec<String>,
}

/// Names of all copies that are known here.
pub fn names(places: &Places) -> Vec<String> {
    let entries = fs_err::read_dir(places.copies()).into_iter().flatten();
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    let journals = fs_err::read_dir(places.journal()).into_iter().flatten();
    let of_journal = |name: &str| {
        Some(
            name.strip_suffix(".jsonl")?
                .strip_prefix("copy-")?
                .to_owned(),
        )
    };
    names.extend(
        journals
            .flatten()
            .filter_map(|e| of_journal(e.file_name().to_str()?)),
    );
    names.sort();
    names.dedup();
    names
}

/// The record of a copy; none: its restore was interrupted.
///
/// # Errors
/// It cannot be read.
pub fn recorded(places: &Places, name: &str) -> Result<Option<Record>> {
    let record = Record::load(places, name)?;
    // The name is a file's; what is in it says so too.
    Ok(record.filter(|record| record.name == name))
}

/// Looks what a removal would take away, and changes nothing.
pub fn look(engine: &dyn Engine, places: &Places, name: &str) -> Result<Removal> {
    Copy::find(places, name, &journaled(places, name))?.look(engine, places)
}

/// Takes a copy away.
pub fn remove(engine: &dyn Engine, places: &Places, name: &str) -> Result<Removal> {
    check_name(name).map_err(|_| unknown(places, name))?;
    if !is_recorded(places, name) && journaled(places, name).is_empty() {
        return Err(unknown(places, name));
    }
    // Held to the end: a restore of the same name waits, or is refused.
    let (journal, intents) = Journal::open::<Intent>(&places.journal(), &copy_journal(name))?;
    let looked =
        Copy::find(places, name, &intents).and_then(|copy| Ok((copy.look(engine, places)?, copy)));
    let (mut removal, copy) = match looked {
        Ok(found) => found,
        Err(e) => {
            if intents.is_empty() {
                journal.finish()?;
            }
            return Err(e);
        }
    };
    let mut removed = Vec::new();
    for item in std::mem::take(&mut removal.items) {
        let gone = match item.kind {
            "container" => {
                unless_missing(engine.remove_container(&copy.id_of(&item.name), true, true))
            }
            "volume" => unless_missing(engine.remove_volume(&item.name)),
            "network" => unless_missing(engine.remove_network(&item.name)),
            _ => remove_folder(Path::new(&item.name)),
        };
        match gone {
            Ok(()) => removed.push(item),
            Err(e) => removal
                .stays
                .push(format!("{} {}: {e}", item.kind, item.name)),
        }
    }
    removal.items = removed;
    if removal.stays.is_empty() {
        if is_recorded(places, name) {
            fs_err::remove_file(record_path(places, name))?;
        }
        journal.finish()?;
    } else if intents.is_empty() {
        journal.finish()?;
    }
    Ok(removal)
}

/// What is known of a copy, from its record and from the journal of its making.
struct Copy {
    name: String,
    of: Option<String>,
    data_root: Option<String>,
    /// Name, and id where it is known.
    containers: BTreeMap<String, Option<String>>,
    networks: Vec<String>,
    volumes: Vec<String>,
}

impl Copy {
    fn find(places: &Places, name: &str, intents: &[Intent]) -> Result<Self> {
        check_name(name).map_err(|_| unknown(places, name))?;
        let record = Record::load(places, name)?;
        if record.is_none() && intents.is_empty() {
            return Err(unknown(places, name));
        }
        let mut copy = Self {
            name: name.to_owned(),
            of: record.as_ref().map(|r| r.of.clone()),
            data_root: record.as_ref().and_then(|r| r.data_root.clone()),
            containers: BTreeMap::new(),
            networks: Vec::new(),
            volumes: Vec::new(),
        };
        for intent in intents {
            match intent {
                Intent::Container(name) => {
                    copy.containers.insert(name.clone(), None);
                }
                Intent::Network(name) => copy.networks.push(name.clone()),
                Intent::Volume(name) => copy.volumes.push(name.clone()),
                _ => {}
            }
        }
        if let Some(record) = record {
            let ids = record.containers.into_iter();
            copy.containers
                .extend(ids.map(|(name, id)| (name, Some(id))));
            copy.networks.extend(record.networks);
            copy.volumes.extend(record.volumes);
        }
        for list in [&mut copy.networks, &mut copy.volumes] {
            list.sort();
            list.dedup();
        }
        Ok(copy)
    }

    fn id_of(&self, container: &str) -> String {
        let id = self.containers.get(container).cloned().flatten();
        id.unwrap_or_else(|| container.to_owned())
    }

    fn look(&self, engine: &dyn Engine, places: &Places) -> Result<Removal> {
        if let (Some(was), Some(is)) = (&self.data_root, engine.fingerprints()?.data_root)
            && *was != is
        {
            return Err(RecoveryError::Refused(format!(
                "{} is on the engine with the data root {was}, and this one's is {is}; nothing was removed",
                self.name
            )));
        }
        let mut removal = Removal {
            name: self.name.clone(),
            of: self.of.clone(),
            ..Removal::default()
        };
        let mut add = |kind: &'static str,
                       name: &str,
                       id: Option<&str>,
                       found: lifeboat_engine::Result<Value>,
                       labels: &str| {
            let raw = match found {
                Err(e) if e.is_not_found() => return Ok(()),
                other => other?,
            };
            let ours = raw
                .pointer(labels)
                .is_some_and(|l| l[label::COPY] == self.name.as_str());
            let same = id.is_none_or(|id| raw["Id"] == id);
            if ours && same {
                removal.items.push(Item {
                    kind,
                    name: name.to_owned(),
                });
            } else {
                removal.stays.push(format!(
                    "{kind} {name} is not the one that `restore --as {}` made",
                    self.name
                ));
            }
            Ok::<(), RecoveryError>(())
        };
        // Containers hold volumes and networks, so they go first.
        for (name, id) in &self.containers {
            let found = engine.inspect_container(name);
            add("container", name, id.as_deref(), found, "/Config/Labels")?;
        }
        for name in &self.volumes {
            add("volume", name, None, engine.inspect_volume(name), "/Labels")?;
        }
        for name in &self.networks {
            add(
                "network",
                name,
                None,
                engine.inspect_network(name),
                "/Labels",
            )?;
        }
        let folder = places.copies().join(&self.name);
        if fs_err::symlink_metadata(&folder).is_ok() {
            match mounted_in(&folder)? {
                Some(mount) => removal.stays.push(format!(
                    "folder {}: something is mounted on {}; unmount it first",
                    folder.display(),
                    mount.display()
                )),
                None => removal.items.push(Item {
                    kind: "folder",
                    name: folder.display().to_string(),
                }),
            }
        }
        Ok(removal)
    }
}

/// The record of a copy that is whole.
pub(crate) fn record(places: &Places, name: &str) -> Result<Record> {
    check_name(name).map_err(|_| unknown(places, name))?;
    match Record::load(places, name)? {
        Some(record) => Ok(record),
        None if journaled(places, name).is_empty() => Err(unknown(places, name)),
        None => Err(RecoveryError::Refused(format!(
            "the restore as {name} was interrupted; run it again with the same options first, or take it away with `lifeboat rm {name}`"
        ))),
    }
}

/// `true` if there is a record of a copy of this name.
pub fn is_recorded(places: &Places, name: &str) -> bool {
    record_path(places, name).exists()
}

/// Makes the folder that holds the copies' folders: for root alone, since data of the apps lies in it.
/// Who is root in the engine's containers may pass through it, because binds of copies lie below.
pub(crate) fn make_folder(places: &Places, engine: &dyn Engine) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = places.copies();
    fs_err::create_dir_all(&folder)?;
    fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
    let root = passage::root_of(&EngineRecord::from(&engine.inventory()?.engine));
    for folder in [&places.state, &folder] {
        let is_shut = fs_err::metadata(folder)?.permissions().mode() & 0o001 == 0;
        let opened = is_shut.then(|| passage::open(folder, root));
        if let Some(Err(why)) = opened {
            tracing::warn!(%why, folder = %folder.display(), "the engine's containers may not get there");
        }
    }
    Ok(())
}

fn record_path(places: &Places, name: &str) -> PathBuf {
    places.copies().join(format!("{name}.json"))
}

/// What an interrupted restore of the copy wrote down; not locked, for a look.
fn journaled(places: &Places, name: &str) -> Vec<Intent> {
    let path = places
        .journal()
        .join(format!("{}.jsonl", copy_journal(name)));
    let text = fs_err::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn unknown(places: &Places, name: &str) -> RecoveryError {
    let known = names(places);
    let known = if known.is_empty() {
        "there are no copies here".to_owned()
    } else {
        format!("copies here: {}", known.join(", "))
    };
    RecoveryError::NotFound(format!(
        "`{}` is no copy that `restore --as` made, and nothing else is ever removed; {known}",
        name.escape_debug()
    ))
}

fn unless_missing(result: lifeboat_engine::Result<()>) -> Result<()> {
    match result {
        Err(e) if !e.is_not_found() => Err(e.into()),
        _ => Ok(()),
    }
}

/// Removes a folder with everything in it. A symbolic link in its place is removed itself.
fn remove_folder(folder: &Path) -> Result<()> {
    let removed = match fs_err::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => match mounted_in(folder)? {
            // Whatever was mounted since the look.
            Some(_) => Err(std::io::Error::from(std::io::ErrorKind::ResourceBusy)),
            None => fs_err::remove_dir_all(folder),
        },
        Ok(_) => fs_err::remove_file(folder),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// The first mount point in a folder, or the folder itself.
pub(crate) fn mounted_in(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(mounts_in(folder)?.into_iter().next())
}

/// All mount points in a folder, which may be one itself, by their real paths.
pub(crate) fn mounts_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = fs_err::canonicalize(folder)?;
    let table = fs_err::read_to_string("/proc/self/mountinfo")?;
    let mounts = table.lines().filter_map(|line| line.split(' ').nth(4));
    // Blanks and the like are written as octal numbers.
    let plain = |path: &str| path.replace("\\040", " ").replace("\\134", "\\");
    Ok(mounts
        .map(|at| PathBuf::from(plain(at)))
        .filter(|at| at.starts_with(&folder))
        .collect())
}
