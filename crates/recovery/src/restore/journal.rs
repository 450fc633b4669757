//! What a restore writes down before it does it, so that an interrupted one can go on.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use lifeboat_vault::id::SnapshotId;
use serde::{Deserialize, Serialize};

use super::{
    exchange::Pair,
    over::{Cut, Replace},
    part::pieces::Pieces,
};
use crate::{Context, Places, RecoveryError, Result, journal::Journal};

/// One intent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// The restore of this point began.
    Begin(SnapshotId),
    /// Data root of the engine that it is on.
    Engine(String),
    /// This network is about to be created.
    Network(String),
    /// This volume is about to be created and filled.
    Volume(String),
    /// This volume was created by us; its folder is told by the second part.
    VolumeMade(String, String),
    /// This volume is filled and checked, on an engine whose files are not ours.
    VolumeFilled(String),
    /// The same of ours, and which folder it is: an engine that lost everything meanwhile gives a new one.
    VolumeFilledAt(String, String),
    /// A copy is about to be made beside this path of the host.
    Copying(String),
    /// The copy beside this path of the host (bind source, project folder) is whole and about to be
    /// renamed into place.
    Path(String),
    /// This network (by id) was created.
    NetworkMade(String),
    /// This path is in place, whole.
    PathPlaced(String),
    /// This container is about to be created.
    Container(String),
    /// This container (by id) was created.
    ContainerMade(String),
    /// All containers are created and complete; they are about to be started.
    Starting,
    /// This helper container (by name) is about to be created: data goes through it.
    Helper(String),
    /// This path of the engine's host, which is not this one, is about to be filled.
    FarPath(String),
    /// The engine took this stream of what is filled; the last is the path of its last entry, in hex.
    Sent(String, u64, String),
    /// A copy beside the app is made, with these options: going on with others would mix two.
    Beside(String),
    /// The app that is here is being replaced.
    Replace(Replace),
    /// The app as it was before is in this point.
    Safety(SnapshotId),
    /// What takes the first path's place is about to be made at the second.
    Staging(PathBuf, PathBuf),
    /// It is whole there.
    Staged(Pair),
    /// Of the project's folder at this place what differs is staged, file by file.
    Merged(PathBuf),
    /// The data of an old volume without a name steps aside for an empty folder.
    Emptied(Pair),
    /// This keeps the anonymous volumes of a container that the engine removes when it ends.
    Keeper(String),
    /// The old containers are about to be stopped.
    Cutting(Cut),
    /// Something that no point holds moves from the old folder into the new one.
    Carry(Pair),
    /// The new containers are up: the old ones go.
    Passed,
    /// The old ones come back, because of this.
    GoingBack(String),
    /// Only this part of the point is restored.
    Part(Pieces),
    /// This container is stopped and started again once the part is there.
    Around(String),
    /// These mappings are put on: going on with others would mix two.
    Mapped(String),
    /// The steps of the plan that is carried out.
    Steps(String),
}

/// What a restore is of: the app itself, a part of it, or a copy beside it.
#[derive(Debug, Clone)]
pub struct Subject {
    app: String,
    /// `--as`.
    copy: Option<String>,
    /// Address of an engine whose files are not ours.
    at: Option<String>,
    /// A part of it alone.
    part: Option<Pieces>,
}

impl Subject {
    /// The app itself.
    pub fn app(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            copy: None,
            at: None,
            part: None,
        }
    }

    /// A part of the app alone.
    pub fn part(app: &str, pieces: &Pieces) -> Self {
        Self {
            part: Some(pieces.clone()),
            ..Self::app(app)
        }
    }

    /// The same on another engine: what was begun there is no business of the engine here.
    pub fn at(self, address: Option<&str>) -> Self {
        Self {
            at: address.map(str::to_owned),
            ..self
        }
    }

    /// A copy of it under another name.
    pub fn copy(app: &str, name: &str) -> Self {
        Self {
            app: app.to_owned(),
            copy: Some(name.to_owned()),
            at: None,
            part: None,
        }
    }

    /// Name of the journal. A copy is taken away without its vault.
    fn journal(&self, ctx: &Context) -> String {
        match &self.copy {
            Some(name) => copy_journal(name),
            None => AppJournal {
                vault: ctx.vault.id().to_owned(),
                app: self.app.clone(),
                at: self.at.clone(),
                part: self.part.is_some(),
            }
            .name(),
        }
    }

    fn finish_first(&self, other: SnapshotId) -> String {
        let (app, other) = (&self.app, other.short());
        match &self.copy {
            Some(name) => format!(
                "the restore of another point ({other}) as {name} was interrupted here; finish it with `lifeboat restore {other} --as {name}`, or take it away with `lifeboat rm {name}`"
            ),
            None => format!(
                "a restore of another point of {app} ({other}) was interrupted here; {}",
                self.either_way()
            ),
        }
    }

    fn either_way(&self) -> String {
        let at = self
            .at
            .as_deref()
            .map_or(String::new(), |at| format!(" on the same engine ({at})"));
        format!(
            "finish it first with `lifeboat restore --continue`, or take it back with `lifeboat restore --undo`{at}"
        )
    }
}

/// Name of the journal of the copy `name`.
pub fn copy_journal(name: &str) -> String {
    format!("copy-{}", file_name(name))
}

fn short(vault: &str) -> &str {
    vault.get(..8).unwrap_or("")
}

/// What the name of an app's journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppJournal {
    /// The vault's id, or its beginning.
    pub vault: String,
    /// `site/host/app`.
    pub app: String,
    /// Address of an engine whose files are not ours.
    pub at: Option<String>,
    /// It is of a part of the app.
    pub part: bool,
}

impl AppJournal {
    fn name(&self) -> String {
        let at = self.at.as_deref();
        let at = at.map(|at| format!("-at-{}", file_name(at)));
        format!(
            "{}-{}-{}{}",
            if self.part { "part" } else { "restore" },
            short(&self.vault),
            file_name(&self.app),
            at.unwrap_or_default()
        )
    }

    /// From its file's name; `None` if it is another kind of journal.
    pub fn parse(name: &str) -> Option<Self> {
        let (part, rest) = match name.strip_prefix("part-") {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix("restore-")?),
        };
        let (vault, rest) = rest.split_once('-')?;
        let plain = lifeboat_plan::name::unescape;
        // The address of an engine is a URL, which no app's name looks like.
        let parts = rest
            .rsplit_once("-at-")
            .filter(|(_, at)| at.contains("%3A"));
        let (app, at) = match parts {
            Some((app, at)) => (app, Some(plain(at)?)),
            None => (rest, None),
        };
        Some(Self {
            vault: vault.to_owned(),
            app: plain(app)?,
            at,
            part,
        })
    }
}

/// `true` if the beginning of an id in a journal's name is of this vault.
pub fn is_of_vault(begins: &str, vault: &str) -> bool {
    short(vault) == begins
}

/// The journal of the restore of one app on this host.
pub struct RestoreJournal {
    journal: Journal,
    done: BTreeSet<Intent>,
}

impl RestoreJournal {
    /// Opens it for this app and point. An interrupted restore of *another* point of the app is an
    /// error: it has to be finished first, or half of two points would stand side by side.
    pub fn open(ctx: &Context, subject: &Subject, point: SnapshotId) -> Result<Self> {
        let name = subject.journal(ctx);
        let mut this = Self::resume(&ctx.places, &name)?;
        if let Some(other) = this.point().filter(|id| *id != point) {
            return Err(RecoveryError::Refused(subject.finish_first(other)));
        }
        this.intend(Intent::Begin(point))?;
        Ok(this)
    }

    /// Opens one that an interrupted restore left, by its name.
    pub fn resume(places: &Places, name: &str) -> Result<Self> {
        let (journal, records) = Journal::open::<Intent>(&places.journal(), name)?;
        Ok(Self {
            journal,
            done: records.into_iter().collect(),
        })
    }

    /// Writes an intent down, unless it stands there already.
    pub fn intend(&mut self, intent: Intent) -> Result<()> {
        if self.done.insert(intent.clone()) {
            self.journal.append(&intent)?;
        }
        Ok(())
    }

    /// `true` if the interrupted run had this intent: what stands there is ours.
    pub fn has(&self, intent: &Intent) -> bool {
        self.done.contains(intent)
    }

    /// Everything that was written down, by this run and by those before it.
    pub fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.done.iter()
    }

    /// The same, as a set.
    pub fn all(&self) -> &BTreeSet<Intent> {
        &self.done
    }

    /// The point that is restored.
    pub fn point(&self) -> Option<SnapshotId> {
        point_of(&self.done)
    }

    /// The restore is whole.
    pub fn finish(self) -> Result<()> {
        self.journal.finish()
    }
}

/// The point of a restore, from its intents.
pub fn point_of(intents: &BTreeSet<Intent>) -> Option<SnapshotId> {
    intents.iter().find_map(|intent| match intent {
        Intent::Begin(id) => Some(*id),
        _ => None,
    })
}

/// What is being replaced, from the intents.
pub fn replace_of(intents: &BTreeSet<Intent>) -> Option<&Replace> {
    intents.iter().find_map(|intent| match intent {
        Intent::Replace(replace) => Some(replace),
        _ => None,
    })
}

/// The intents of an interrupted restore, without locking or beginning one: for a dry run.
pub fn peek(ctx: &Context, subject: &Subject, point: SnapshotId) -> BTreeSet<Intent> {
    let records = read(ctx, subject);
    if records.contains(&Intent::Begin(point)) {
        records
    } else {
        BTreeSet::new()
    }
}

/// The part of a point that is restored, from the intents.
pub fn part_of(intents: &BTreeSet<Intent>) -> Option<&Pieces> {
    intents.iter().find_map(|intent| match intent {
        Intent::Part(pieces) => Some(pieces),
        _ => None,
    })
}

/// What another restore that was interrupted here leaves in the way of this one: of another point, of
/// another part or of the whole, over what is there (`replace`) or not. What it left is nothing for a
/// person to move away.
pub fn in_the_way(
    ctx: &Context,
    subject: &Subject,
    point: SnapshotId,
    replace: bool,
) -> Option<String> {
    let before = read(ctx, subject);
    let begun = point_of(&before);
    if let Some(pieces) = part_of(&before)
        && let Some(begun) = begun
    {
        let other = subject.part.as_ref().is_none_or(|p| !p.is_same(pieces))
            || replace != replace_of(&before).is_some();
        if other || begun != point {
            return Some(subject.part_first(begun, &before));
        }
    }
    if let Some(other) = begun.filter(|other| *other != point) {
        return Some(subject.finish_first(other));
    }
    if !before.is_empty() && replace_of(&before).is_some() != replace {
        let app = &subject.app;
        let kind = if replace {
            "onto free names"
        } else {
            "with --replace"
        };
        return Some(format!(
            "a restore of {app} {kind} was interrupted here; {}",
            subject.either_way()
        ));
    }
    if subject.copy.is_some() {
        return None;
    }
    let sibling = Subject {
        part: match subject.part {
            Some(_) => None,
            None => Some(Pieces::default()),
        },
        ..subject.clone()
    };
    let other = read(ctx, &sibling);
    let begun = point_of(&other)?;
    Some(match sibling.part {
        Some(_) => subject.part_first(begun, &other),
        None => format!(
            "a restore of the whole of {} was interrupted here; {}",
            subject.app,
            subject.either_way()
        ),
    })
}

impl Subject {
    /// The part of `point` that these are the intents of has to be finished first.
    fn part_first(&self, point: SnapshotId, intents: &BTreeSet<Intent>) -> String {
        let options = part_of(intents).map(Pieces::options).unwrap_or_default();
        let replace = replace_of(intents).map_or("", |_| " --replace");
        format!(
            "`lifeboat restore {}@{} {options}{replace}` was interrupted here; {}",
            self.app,
            point.short(),
            self.either_way()
        )
    }
}

/// Containers that are restarted around a part.
pub fn around<'i>(intents: impl Iterator<Item = &'i Intent>) -> Vec<String> {
    let name = |intent: &Intent| match intent {
        Intent::Around(name) => Some(name.clone()),
        _ => None,
    };
    intents.filter_map(name).collect()
}

/// The intents that an interrupted restore of this subject left.
pub fn read(ctx: &Context, subject: &Subject) -> BTreeSet<Intent> {
    read_file(
        &ctx.places
            .journal()
            .join(format!("{}.jsonl", subject.journal(ctx))),
    )
}

/// The intents in a journal's file. What cannot be read counts as nothing: opening it says why.
pub fn read_file(path: &Path) -> BTreeSet<Intent> {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// An app's identity as a file name.
fn file_name(app: &str) -> String {
    lifeboat_plan::name::escape(app)
}
