//! What a restore writes down before it does it, so that an interrupted one can go on.

use std::collections::BTreeSet;

use lifeboat_vault::id::SnapshotId;
use serde::{Deserialize, Serialize};

use crate::{Context, RecoveryError, Result, journal::Journal};

/// One intent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// The restore of this point began.
    Begin(SnapshotId),
    /// This network is about to be created.
    Network(String),
    /// This volume is about to be created and filled.
    Volume(String),
    /// This volume was created by us; its folder is told by the second part.
    VolumeMade(String, String),
    /// This volume is filled and checked.
    VolumeFilled(String),
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
}

/// What a restore is of: the app itself, or a copy beside it.
#[derive(Debug, Clone)]
pub struct Subject {
    app: String,
    /// `--as`.
    copy: Option<String>,
    /// Address of an engine whose files are not ours.
    at: Option<String>,
}

impl Subject {
    /// The app itself.
    pub fn app(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            copy: None,
            at: None,
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
        }
    }

    /// Name of the journal. A copy is taken away without its vault.
    fn journal(&self, ctx: &Context) -> String {
        match &self.copy {
            Some(name) => copy_journal(name),
            None => {
                let at = self
                    .at
                    .as_deref()
                    .map(|at| format!("-at-{}", file_name(at)));
                format!(
                    "restore-{}-{}{}",
                    &ctx.vault.id().get(..8).unwrap_or(""),
                    file_name(&self.app),
                    at.unwrap_or_default()
                )
            }
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
                "a restore of another point of {app} ({other}) was interrupted here; finish it first with `lifeboat restore {app}@{other}`{at}"
            ),
        }
    }
}

/// Name of the journal of the copy `name`.
pub fn copy_journal(name: &str) -> String {
    format!("copy-{}", file_name(name))
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
        let (journal, records) = Journal::open::<Intent>(&ctx.places.journal(), &name)?;
        let begun = records.iter().find_map(|r| match r {
            Intent::Begin(id) => Some(*id),
            _ => None,
        });
        if let Some(other) = begun.filter(|id| *id != point) {
            return Err(RecoveryError::Refused(subject.finish_first(other)));
        }
        let mut this = Self {
            journal,
            done: records.into_iter().collect(),
        };
        this.intend(Intent::Begin(point))?;
        Ok(this)
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

    /// The restore is whole.
    pub fn finish(self) -> Result<()> {
        self.journal.finish()
    }
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
    read(ctx, subject)
        .into_iter()
        .find_map(|intent| match intent {
            Intent::Begin(other) if other != point => Some(subject.finish_first(other)),
            _ => None,
        })
}

fn read(ctx: &Context, subject: &Subject) -> BTreeSet<Intent> {
    let name = format!("{}.jsonl", subject.journal(ctx));
    let Ok(text) = fs_err::read_to_string(ctx.places.journal().join(name)) else {
        return BTreeSet::new();
    };
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// An app's identity as a file name.
fn file_name(app: &str) -> String {
    lifeboat_plan::name::escape(app)
}
