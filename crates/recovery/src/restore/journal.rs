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
    /// This volume is filled and checked.
    VolumeFilled(String),
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
    /// Only this part of the point is restored, as it was said on the command line.
    Part(String),
    /// This container is stopped and started again once the part is there.
    Around(String),
    /// These mappings are put on: going on with others would mix two.
    Mapped(String),
    /// The steps of the plan that is carried out.
    Steps(String),
}

/// What a restore is of: the app itself, or a copy beside it.
#[derive(Debug, Clone)]
pub struct Subject {
    app: String,
    /// `--as`.
    copy: Option<String>,
    /// Address of an engine whose files are not ours.
    at: Option<String>,
    /// A part of it alone.
    part: bool,
}

impl Subject {
    /// The app itself.
    pub fn app(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            copy: None,
            at: None,
            part: false,
        }
    }

    /// A part of the app alone.
    pub fn part(app: &str) -> Self {
        Self {
            part: true,
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
            part: false,
        }
    }

    /// Name of the journal. A copy is taken away without its vault.
    fn journal(&self, ctx: &Context) -> String {
        match &self.copy {
            None if self.part => format!(
                "part-{}-{}",
                &ctx.vault.id().get(..8).unwrap_or(""),
                file_name(&self.app)
            ),
            Some(name) => copy_journal(name),
            None => app_journal(ctx.vault.id(), &self.app, self.at.as_deref()),
        }
    }

    fn finish_first(&self, other: SnapshotId) -> String {
        let (app, other) = (&self.app, other.short());
        let at = self
            .at
            .as_deref()
            .map_or(String::new(), |at| format!(" on the same engine ({at})"));
        match &self.copy {
            Some(name) => format!(
                "the restore of another point ({other}) as {name} was interrupted here; finish it with `lifeboat restore {other} --as {name}`, or take it away with `lifeboat rm {name}`"
            ),
            None => format!(
                "a restore of another point of {app} ({other}) was interrupted here; finish it first with `lifeboat restore --continue`, or take it back with `lifeboat restore --undo`{at}"
            ),
        }
    }
}

/// Name of the journal of the copy `name`.
pub fn copy_journal(name: &str) -> String {
    format!("copy-{}", file_name(name))
}

/// Name of the journal of an app's restore from the vault `vault`, on this engine or at an address.
fn app_journal(vault: &str, app: &str, at: Option<&str>) -> String {
    let at = at.map(|at| format!("-at-{}", file_name(at)));
    format!(
        "restore-{}-{}{}",
        short(vault),
        file_name(app),
        at.unwrap_or_default()
    )
}

fn short(vault: &str) -> &str {
    vault.get(..8).unwrap_or("")
}

/// An app's journal from its file's name: the beginning of the vault's id, the app, and the address of
/// another engine.
pub fn parse_app_journal(name: &str) -> Option<(String, String, Option<String>)> {
    let (vault, rest) = name.strip_prefix("restore-")?.split_once('-')?;
    let plain = lifeboat_plan::name::unescape;
    // The address of an engine is a URL, which no app's name looks like.
    let parts = rest
        .rsplit_once("-at-")
        .filter(|(_, at)| at.contains("%3A"));
    let (app, at) = match parts {
        Some((app, at)) => (app, Some(plain(at)?)),
        None => (rest, None),
    };
    Some((vault.to_owned(), plain(app)?, at))
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

/// What stands in the way where a restore of another point of the app was interrupted: what it left is
/// nothing for a person to move away.
pub fn of_another_point(ctx: &Context, subject: &Subject, point: SnapshotId) -> Option<String> {
    let other = point_of(&read(ctx, subject)).filter(|other| *other != point);
    other.map(|other| subject.finish_first(other))
}

/// What stands in the way where a restore of another kind was interrupted: over the app that runs, or
/// onto free names.
pub fn of_another_kind(ctx: &Context, subject: &Subject, replace: bool) -> Option<String> {
    let before = read(ctx, subject);
    let is_other = !before.is_empty() && replace_of(&before).is_some() != replace;
    is_other.then(|| {
        format!(
            "a restore of {} {} was interrupted here; finish it first with `lifeboat restore --continue`, or take it back with `lifeboat restore --undo`",
            subject.app,
            if replace { "onto free names" } else { "with --replace" }
        )
    })
}

/// The point and the options of a part whose restore was interrupted.
pub fn interrupted_part(ctx: &Context, subject: &Subject) -> Option<(SnapshotId, String)> {
    let records = read(ctx, subject);
    let point = records.iter().find_map(|intent| match intent {
        Intent::Begin(point) => Some(*point),
        _ => None,
    })?;
    let options = records.into_iter().find_map(|intent| match intent {
        Intent::Part(options) => Some(options),
        _ => None,
    })?;
    Some((point, options))
}

/// `true` if a restore of it was interrupted.
pub fn has_begun(ctx: &Context, subject: &Subject) -> bool {
    let records = read(ctx, subject);
    records.iter().any(|i| matches!(i, Intent::Begin(_)))
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
