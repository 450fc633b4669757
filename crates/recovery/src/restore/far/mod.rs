//! Data onto an engine whose files are not ours: as tar streams through its archive, into a helper
//! container that never runs and has the volume, or the folder above a path of the host, mounted.
//!
//! **Order.** Content first, in streams of some 64 MiB each; folders are ours alone (0700) until all of it
//! is there. Then one stream of folders with their owners, modes, attributes and times.
//!
//! **What a crash leaves, and running it again.** After each stream the path of its last entry is
//! journaled, and the next run goes on behind it. What an engine has acknowledged lies in its host's page
//! cache: of a power cut *there* nothing is known here. The helper stays until the restore has ended: the
//! engine removes no volume that it holds, so a volume that it still holds is the one that we made.
//!
//! **What cannot be done from here.** Taking away what was put at a path of the host, and emptying a
//! volume that the engine has filled from an image: both are said. Sockets are in no archive; holes come
//! back as zeros.
//!
//! Every byte was checked by the vault's reader before it is sent; small trees are read back and compared.

mod back;
mod decode;
mod encode;
mod stream;
mod walk;

use std::path::Path;

use lifeboat_engine::Engine;
use lifeboat_plan::manifest::VolumeRecord;
use lifeboat_vault::node::{Node, NodeKind};
use serde_json::{Value, json};

use self::{
    stream::{Pass, Sent, Stream},
    walk::Walk,
};
use super::{
    data::{Data, DataStage},
    journal::{Intent, RestoreJournal},
};
use crate::{RecoveryError, Result};

/// Where a helper has what it is for.
const MOUNT: &str = "/lifeboat-data";
/// Trees up to this size are read back and compared.
const READ_BACK: u64 = 64 << 20;
/// Zeros up to this are not worth a word.
const FEW_ZEROS: u64 = 1 << 20;
/// How [`Intent::VolumeMade`] says that a helper (by id) holds the volume.
const HELD: &str = "held by ";

/// A helper.
pub(super) struct Helper {
    name: String,
    id: String,
}

/// What is filled.
struct Target<'a> {
    /// For messages: `volume x`, `/srv/x`.
    what: String,
    /// For the journal; `None` where nothing is gone on with.
    key: Option<String>,
    helper: &'a Helper,
    /// Where the root goes.
    base: Vec<u8>,
    /// The root is there.
    root_is_there: bool,
    /// As counted at capture.
    files: u64,
    bytes: u64,
}

impl DataStage<'_> {
    /// Makes a volume, or takes the one that an interrupted run has made, and holds it.
    pub(super) fn far_volume(
        &self,
        volume: &VolumeRecord,
        there: bool,
        journal: &mut RestoreJournal,
    ) -> Result<Helper> {
        if !there {
            let body = self.definitions.volume_body(&volume.name)?;
            self.engine.create_volume(&body)?;
        }
        let key = volume_key(&volume.name);
        let helper = self.hold(&key, &volume_mount(&volume.name), journal)?;
        let made = Intent::VolumeMade(volume.name.clone(), format!("{HELD}{}", helper.id));
        if there && !journal.has(&made) && !self.names_in(&helper, MOUNT, 1)?.is_empty() {
            return Err(RecoveryError::Refused(format!(
                "volume {} was made by somebody else while this restore was interrupted and is not overwritten; save what is in it, remove it and run the restore again",
                volume.name
            )));
        }
        journal.intend(made)?;
        Ok(helper)
    }

    /// Fills a volume that is held.
    pub(super) fn far_fill(
        &self,
        volume: &VolumeRecord,
        node: &Node,
        helper: &Helper,
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        let target = Target {
            what: format!("volume {}", volume.name),
            key: Some(volume_key(&volume.name)),
            helper,
            base: base(None),
            root_is_there: true,
            files: volume.files,
            bytes: volume.bytes,
        };
        self.send(&target, node, journal, done)
    }

    /// Fills a volume that the engine has made anew with its container. The container may be made again,
    /// and the volume with it, so nothing of this is gone on with.
    pub(super) fn far_fresh(
        &self,
        volume: &VolumeRecord,
        name: &str,
        node: &Node,
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        let key = format!("fresh:{}", volume.name);
        self.engine.remove_helper(&self.helper_name(&key))?;
        let helper = self.hold(&key, &volume_mount(name), journal)?;
        let from_image = self.names_in(&helper, MOUNT, 1000)?;
        let target = Target {
            what: format!("volume {}", volume.name),
            key: None,
            helper: &helper,
            base: base(None),
            root_is_there: true,
            files: volume.files,
            bytes: volume.bytes,
        };
        self.send(&target, node, journal, done)?;
        if let NodeKind::Dir { subtree } = node.kind {
            let tree = self.reader.tree(subtree)?;
            let extra = from_image
                .iter()
                .filter(|name| tree.get(name).is_none())
                .map(|name| name.escape_ascii().to_string());
            let extra: Vec<String> = extra.collect();
            if !extra.is_empty() {
                done.warnings.push(format!(
                    "volume {} has what its image puts there and the point has not, and what lies on another host cannot be taken away from here: {}",
                    volume.name,
                    extra.join(", ")
                ));
            }
        }
        Ok(self.engine.remove_helper(&helper.name)?)
    }

    /// Says it where the engine has filled a volume that was empty at the point.
    pub(super) fn far_empty(
        &self,
        volume: &VolumeRecord,
        journal: &mut RestoreJournal,
    ) -> Result<Option<String>> {
        let helper = self.hold(
            &volume_key(&volume.name),
            &volume_mount(&volume.name),
            journal,
        )?;
        let names = self.names_in(&helper, MOUNT, 1)?;
        Ok((!names.is_empty()).then(|| {
            format!(
                "volume {} was empty at the point; the engine has filled it from the image, and it cannot be emptied from here",
                volume.name
            )
        }))
    }

    /// Puts a tree or file at a path of the engine's host where nothing is.
    pub(super) fn far_place(
        &self,
        node: &Node,
        path: &str,
        (files, bytes): (u64, u64),
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        if journal.has(&Intent::PathPlaced(path.to_owned())) {
            return Ok(());
        }
        let at = Path::new(path);
        let (Some(above), Some(name)) = (at.parent().and_then(Path::to_str), at.file_name()) else {
            return Err(RecoveryError::Refused(format!(
                "{path} is nothing that could be put on another host"
            )));
        };
        if above.contains(':') {
            return Err(RecoveryError::Refused(format!(
                "the engine takes no folder with a colon in its name from outside ({above}); recover on its own host, as root"
            )));
        }
        journal.intend(Intent::FarPath(path.to_owned()))?;
        let key = format!("path:{path}");
        let host = json!({"NetworkMode": "none", "Binds": [format!("{above}:{MOUNT}")]});
        let helper = self.hold(&key, &host, journal)?;
        let target = Target {
            what: path.to_owned(),
            key: Some(key),
            helper: &helper,
            base: base(Some(name.as_encoded_bytes())),
            root_is_there: false,
            files,
            bytes,
        };
        self.send(&target, node, journal, done)?;
        journal.intend(Intent::PathPlaced(path.to_owned()))
    }

    /// `true` if an interrupted run has put something at this path of the engine's host.
    pub(super) fn far_began(path: &str, journal: &RestoreJournal) -> bool {
        began(journal.intents(), path)
    }

    fn send(
        &self,
        target: &Target<'_>,
        node: &Node,
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        let mut sent = Sent::default();
        let is_dir = matches!(node.kind, NodeKind::Dir { .. });
        let mut walk = Walk::new(self.reader, node);
        let before = target
            .key
            .as_ref()
            .and_then(|key| last_sent(journal.intents(), key));
        let mut number = 0;
        self.ctx.progress.expect(target.files, target.bytes);
        if let Some((last, through)) = before {
            number = last + 1;
            walk.skip_through(&through)?;
        }
        loop {
            let pass = match (number, is_dir && !target.root_is_there) {
                (0, true) => Pass::Root,
                _ => Pass::Content {
                    root_is_there: target.root_is_there,
                },
            };
            let (last, all) = self.stream(target, &mut walk, pass, &mut sent)?;
            self.ctx.progress.step("far-sent");
            if let (Some(key), Some(last)) = (&target.key, last) {
                journal.intend(Intent::Sent(key.clone(), number, hex::encode(last)))?;
            }
            number += 1;
            if all {
                break;
            }
        }
        if is_dir {
            let mut folders = Walk::new(self.reader, node);
            self.stream(target, &mut folders, Pass::Folders, &mut sent)?;
        }
        done.bytes += sent.bytes;
        say(target, &sent, done);
        if target.bytes <= READ_BACK {
            self.read_back(target, node, done)
        } else {
            done.not_read_back.push(target.what.clone());
            Ok(())
        }
    }

    fn stream<'r>(
        &'r self,
        target: &Target<'_>,
        walk: &mut Walk<'r>,
        pass: Pass,
        sent: &mut Sent,
    ) -> Result<(Option<Vec<u8>>, bool)> {
        let shift = self.reach.shift();
        let mut stream = Stream::new(self.ctx, self.reader, walk, pass, &target.base, shift, sent);
        // From `/` on: an engine refuses links that lead out of the folder that it unpacks into.
        let outcome = self.engine.archive_put(&target.helper.id, "/", &mut stream);
        stream.end(outcome)
    }

    /// The helper for this purpose: made, or found again.
    fn hold(&self, key: &str, host: &Value, journal: &mut RestoreJournal) -> Result<Helper> {
        let name = self.helper_name(key);
        journal.intend(Intent::Helper(name.clone()))?;
        let image = self.manifest.images.first().map(|i| i.id.as_str());
        let id = match self.engine.inspect_container(&name) {
            Ok(raw) => raw["Id"].as_str().unwrap_or_default().to_owned(),
            Err(e) if e.is_not_found() => self.engine.create_helper(&name, image, host)?,
            Err(e) => return Err(e.into()),
        };
        Ok(Helper { name, id })
    }

    /// The same at each run of a restore, and another one for another restore.
    fn helper_name(&self, key: &str) -> String {
        let app = self.manifest.identity.to_string();
        let names = self.manifest.containers.iter().map(|c| c.name.as_str());
        let parts = [self.ctx.vault.id(), &app, key].into_iter().chain(names);
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in parts.flat_map(|part| part.bytes().chain([0])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("lifeboat-restore-{hash:016x}")
    }

    /// Names at the top of a folder in a helper, so many at most.
    fn names_in(&self, helper: &Helper, folder: &str, most: usize) -> Result<Vec<Vec<u8>>> {
        let mut archive = tar::Archive::new(self.engine.archive_get(&helper.id, folder)?);
        let mut names = Vec::new();
        let mut entries = archive.entries()?.raw(true);
        while let Some((member, _)) = decode::next(&mut entries)? {
            let mut parts = member
                .name
                .split(|b| *b == b'/')
                .filter(|part| !part.is_empty());
            if let (Some(_), Some(name), None) = (parts.next(), parts.next(), parts.next()) {
                names.push(name.to_vec());
            }
            if names.len() >= most {
                break;
            }
        }
        Ok(names)
    }
}

/// Takes away the helpers of a restore that needs them no more.
pub(super) fn let_go(engine: &dyn Engine, journal: &RestoreJournal) -> Result<()> {
    for intent in journal.intents() {
        if let Intent::Helper(name) = intent {
            engine.remove_helper(name)?;
        }
    }
    Ok(())
}

/// `true` if a volume that a helper held is still the one that it held. To be asked before the helper goes.
pub(super) fn still_held(engine: &dyn Engine, made: &str) -> Option<bool> {
    let id = made.strip_prefix(HELD)?;
    Some(engine.inspect_container(id).is_ok())
}

/// `true` if a helper, and no folder, tells whose the volume is.
pub(super) fn is_held(made: &str) -> bool {
    made.starts_with(HELD)
}

/// `true` if an interrupted run has put something at this path of the engine's host: not only meant to.
pub(super) fn began<'i>(intents: impl Iterator<Item = &'i Intent>, path: &str) -> bool {
    last_sent(intents, &format!("path:{path}")).is_some()
}

/// Number and path of the last stream that the engine took.
fn last_sent<'i>(intents: impl Iterator<Item = &'i Intent>, key: &str) -> Option<(u64, Vec<u8>)> {
    let of_key = intents.filter_map(|intent| match intent {
        Intent::Sent(k, number, through) if k == key => Some((*number, hex::decode(through).ok()?)),
        _ => None,
    });
    of_key.max()
}

fn volume_key(name: &str) -> String {
    format!("volume:{name}")
}

fn volume_mount(name: &str) -> Value {
    let mount = json!({"Type": "volume", "Source": name, "Target": MOUNT, "VolumeOptions": {"NoCopy": true}});
    json!({"NetworkMode": "none", "Mounts": [mount]})
}

fn base(name: Option<&[u8]>) -> Vec<u8> {
    let mut base = MOUNT.trim_start_matches('/').as_bytes().to_vec();
    if let Some(name) = name {
        base.push(b'/');
        base.extend_from_slice(name);
    }
    base
}

/// What does not survive the way is said.
fn say(target: &Target<'_>, sent: &Sent, done: &mut Data) {
    let what = &target.what;
    let mut warn = |text: String| done.warnings.push(format!("{what}: {text}"));
    if sent.sockets > 0 {
        warn(format!(
            "{} socket(s) did not come back, an engine's archive holds none; who listened there makes them again",
            sent.sockets
        ));
    }
    if sent.zeros > FEW_ZEROS {
        warn(format!(
            "{} MiB of zeros take up room on the engine's host, where holes may have been",
            sent.zeros >> 20
        ));
    }
    if sent.old > 0 {
        warn(format!(
            "{} file(s) with a time before 1970 have that of 1970 now",
            sent.old
        ));
    }
    if let Some(first) = sent.unsaid.first() {
        warn(format!(
            "{} extended attribute(s) did not come back, an archive cannot name them: {first}",
            sent.unsaid.len()
        ));
    }
}
