//! What is here of the data that is to be replaced, and what stands in the way.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lifeboat_engine::Engine;
use lifeboat_plan::manifest::{BindDecision, Manifest, VolumeContent, layout};
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};

use super::{
    Options, in_the_way, names,
    users::{Users, users},
};
use crate::{
    Context, Result,
    restore::{
        RestorePlan, Step, Way, Work, exchange,
        journal::{self, Intent, Subject},
        obstacles::PathState,
        over::Old,
        part::{narrow::narrow, pieces::Pieces},
        planning::fill,
        point::OpenPoint,
        reach::Reach,
    },
};

/// Something that changes places with what is here.
pub struct Place {
    /// `volume` or `bind`.
    pub kind: &'static str,
    /// What a person calls it.
    pub name: String,
    /// Where the point has it.
    pub place: String,
    /// What is in use.
    pub target: PathBuf,
    /// Where the new one is made.
    pub aside: PathBuf,
    /// Bytes at the point.
    pub bytes: u64,
}

/// A part of a point, and what is here of it.
pub struct Scene {
    /// `site/host/app`.
    pub app: String,
    /// A few letters that stand in every name that the operation gives.
    pub id: String,
    /// The part.
    pub point: OpenPoint,
    /// What of it is not here.
    pub missing: Manifest,
    /// What changes places.
    pub swaps: Vec<Place>,
    /// What has to stand still.
    pub users: Users,
    /// Where the engine's files are.
    pub reach: Reach,
    /// Whose journal it is.
    pub subject: Subject,
    /// As it was said on the command line.
    pub options: String,
    /// What stands in the way.
    pub obstacles: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// It goes on with one that was interrupted.
    pub continues: bool,
}

/// Looks.
#[allow(
    clippy::too_many_arguments,
    reason = "one call for each of two callers"
)]
pub fn look(
    ctx: &Context,
    engine: &dyn Engine,
    reader: &Reader,
    id: SnapshotId,
    snapshot: &Snapshot,
    pieces: &Pieces,
    options: Options,
    run: bool,
) -> Result<Scene> {
    let point = OpenPoint::open(reader, id, snapshot, engine.api())?;
    let app = point.manifest.identity.to_string();
    let whole = point.manifest.clone();
    let here = engine.inventory()?;
    let narrowed = narrow(reader, point, &here, pieces)?;
    let reach = if run {
        Reach::prove(engine, &whole)?
    } else {
        Reach::presume(engine, &whole)?
    };
    let subject = Subject::part(&app);
    let said = format!("{} --replace", pieces.options());
    let before = journal::peek(ctx, &subject, id);
    let operation = journal::replace_of(&before).map_or_else(
        || format!("{:08x}", jiff::Timestamp::now().as_second()),
        |replace| replace.id.clone(),
    );
    let point = narrowed.point;
    let mut scene = Scene {
        missing: point.manifest.clone(),
        swaps: Vec::new(),
        users: Users::default(),
        obstacles: in_the_way(ctx, &app, &subject, &reach, id, &said)
            .into_iter()
            .collect(),
        warnings: narrowed.warnings,
        continues: before.contains(&Intent::Begin(id)),
        app,
        id: operation,
        point,
        reach,
        subject,
        options: said,
    };
    if !scene.obstacles.is_empty() {
        return Ok(scene);
    }
    scene.volumes(engine, &before)?;
    scene.binds(&before)?;
    let targets: Vec<PathBuf> = scene.swaps.iter().map(|s| s.target.clone()).collect();
    scene.users = users(&here, &whole, &targets);
    // From the first stop on there is only on or back.
    if before.iter().any(|i| matches!(i, Intent::Cutting(_))) {
        scene.obstacles.clear();
        return Ok(scene);
    }
    scene.obstacles.extend(scene.users.obstacles(options));
    scene.room();
    Ok(scene)
}

impl Scene {
    fn volumes(
        &mut self,
        engine: &dyn Engine,
        before: &std::collections::BTreeSet<Intent>,
    ) -> Result<()> {
        let mut absent = Vec::new();
        for record in std::mem::take(&mut self.missing.volumes) {
            let made = before.contains(&Intent::Volume(record.name.clone()));
            let raw = match engine.inspect_volume(&record.name) {
                Ok(raw) if !made => raw,
                Err(e) if !e.is_not_found() => return Err(e.into()),
                _ => {
                    absent.push(record);
                    continue;
                }
            };
            let name = record.name.clone();
            let mut refuse = |why: &str| {
                self.obstacles
                    .push(format!("volume {name} cannot be replaced: {why}"));
            };
            if record.content != VolumeContent::Data {
                refuse("the point holds its definition alone");
                continue;
            }
            let options = raw["Options"].as_object().is_some_and(|o| !o.is_empty());
            if raw["Driver"] != "local" || options {
                refuse(
                    "it has a driver or driver options of its own, and its data is not where the engine keeps volumes; restore its files with --target and copy them",
                );
                continue;
            }
            if !self.reach.volumes() {
                refuse("the engine's files are not ours here; run lifeboat on its host");
                continue;
            }
            let data = PathBuf::from(raw["Mountpoint"].as_str().unwrap_or_default());
            let aside = exchange::aside_of_volume(&data, &name, &self.id);
            self.add(
                "volume",
                record.name,
                layout::volume(&name),
                data,
                aside,
                record.bytes,
            )?;
        }
        self.missing.volumes = absent;
        Ok(())
    }

    fn binds(&mut self, before: &std::collections::BTreeSet<Intent>) -> Result<()> {
        let mut absent = Vec::new();
        for record in std::mem::take(&mut self.missing.binds) {
            let made = before.contains(&Intent::Path(record.source.clone()));
            let there = PathState::of(Path::new(&record.source)) == PathState::Something;
            if made || !there || record.decision != BindDecision::Captured {
                absent.push(record);
                continue;
            }
            let name = record.source.clone();
            if !self.reach.path(&name) {
                self.obstacles.push(format!(
                    "{name} cannot be replaced: it is not on this host; run lifeboat there"
                ));
                continue;
            }
            let target = fs_err::canonicalize(&name)?;
            let aside = exchange::aside(&target, &self.id);
            let Some(place) = layout::bind(&name) else {
                continue;
            };
            self.add("bind", name, place, target, aside, record.bytes)?;
        }
        self.missing.binds = absent;
        Ok(())
    }

    fn add(
        &mut self,
        kind: &'static str,
        name: String,
        place: String,
        target: PathBuf,
        aside: PathBuf,
        bytes: u64,
    ) -> Result<()> {
        if let Some(why) = exchange::obstacle(&target, &aside)? {
            self.obstacles
                .push(format!("{kind} {name} cannot be replaced: {why}"));
        }
        self.swaps.push(Place {
            kind,
            name,
            place,
            target,
            aside,
            bytes,
        });
        Ok(())
    }

    /// Room for the new one beside the old one.
    fn room(&mut self) {
        use std::os::unix::fs::MetadataExt;
        const SPARE: u64 = 16 << 20;
        if self.continues {
            return;
        }
        let mut needs: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
        for one in &self.swaps {
            if let Ok(meta) = fs_err::metadata(&one.target) {
                let need = needs.entry(meta.dev()).or_insert((one.target.clone(), 0));
                need.1 += one.bytes;
            }
        }
        for (path, bytes) in needs.into_values() {
            let Ok(fs) = rustix::fs::statvfs(&path) else {
                continue;
            };
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            if bytes > 0 && bytes.saturating_add(SPARE) > free {
                self.obstacles.push(format!(
                    "there is no room for the old data and the new beside each other: the file system of {} has {} MiB free, and {} MiB are needed; make room there first",
                    path.display(),
                    free >> 20,
                    (bytes + SPARE) >> 20
                ));
            }
        }
    }

    /// Who has to stand still, as it is now.
    pub fn users_now(&self, engine: &dyn Engine) -> Result<Vec<Old>> {
        let targets: Vec<PathBuf> = self.swaps.iter().map(|s| s.target.clone()).collect();
        let now = users(&engine.inventory()?, &self.users.app, &targets);
        let known = names(&self.users.old);
        if let Some(new) = now.old.iter().find(|o| !known.contains(o.name.as_str())) {
            return Err(crate::RecoveryError::Refused(format!(
                "{} was started in the middle of this and uses what is replaced; run the same command again",
                new.name
            )));
        }
        Ok(now.old)
    }

    /// As it is shown.
    pub fn plan(&self) -> RestorePlan {
        let mut steps = Vec::new();
        for volume in &self.missing.volumes {
            steps.push(fill(volume, &self.reach));
        }
        for bind in &self.missing.binds {
            if bind.decision == BindDecision::Captured {
                steps.push(Step::new(Work::Bind, &bind.source, "put back").bytes(bind.bytes));
            }
        }
        for one in &self.swaps {
            let action = "make beside it, then change places; the old one stays for a week";
            let kind = if one.kind == "volume" {
                Work::Volume
            } else {
                Work::Bind
            };
            steps.push(Step::new(kind, &one.name, action).bytes(one.bytes));
        }
        for user in &self.users.old {
            let action = "stop for the change, start after it";
            steps.push(Step::new(Work::Around, &user.name, action));
        }
        RestorePlan {
            app: self.app.clone(),
            way: Way::Part,
            id: self.point.id,
            time: self.point.time.clone(),
            steps,
            obstacles: self.obstacles.clone(),
            warnings: self.warnings.clone(),
            continues: self.continues,
            mappings: Vec::new(),
            estimate: None,
        }
    }
}
