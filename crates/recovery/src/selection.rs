//! What of an app is taken, from where, and what is left out and why. Shared by `apps` and `backup`,
//! so that what the first shows is what the second does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lifeboat_capture::{SkipSet, estimate};
use lifeboat_plan::{
    app::{App, AppBind, AppVolume, BindClass, VolumeBacking},
    bind::{BindPolicy, BindSize, Decision, decide},
    coverage::ProjectFacts,
    manifest::{BindContent, LeftOut, LeftOutKind, PathKind},
};

use crate::project;

/// Bytes and files below a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// One volume, and whether its data is taken.
#[derive(Debug, Clone)]
pub struct VolumeChoice {
    /// The volume.
    pub volume: AppVolume,
    /// Why its data is not taken; `None`: it is.
    pub left_out: Option<String>,
    /// Somebody, or a rule that loses nothing, decided so.
    pub decided: bool,
    /// How much it holds, if taken.
    pub size: Size,
}

/// One bind source, and what becomes of it.
#[derive(Debug, Clone)]
pub struct BindChoice {
    /// The bind.
    pub bind: AppBind,
    /// What becomes of it.
    pub decision: Decision,
    /// What it is.
    pub kind: Option<PathKind>,
    /// Whether something is there.
    pub content: BindContent,
    /// How much it holds, if counted.
    pub size: Option<Size>,
}

/// The Compose project's files.
#[derive(Debug, Clone, Default)]
pub struct ProjectChoice {
    /// Folders and files to take, none within another.
    pub roots: Vec<PathBuf>,
    /// Paths below them that are taken elsewhere, or left out.
    pub without: Vec<PathBuf>,
    /// Compose files that are there.
    pub config_files: Vec<String>,
    /// Env files that are there.
    pub environment_files: Vec<String>,
    /// How much they hold.
    pub size: Size,
    /// How much each root holds.
    pub sizes: BTreeMap<PathBuf, Size>,
    /// The folder that their paths are relative to.
    pub folder: Option<String>,
    /// All of them could be read, and none is taken from another machine.
    pub complete: bool,
    /// What reading them told.
    pub facts: ProjectFacts,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Volumes.
    pub volumes: Vec<VolumeChoice>,
    /// Binds.
    pub binds: Vec<BindChoice>,
    /// Project files, for a Compose project.
    pub project: Option<ProjectChoice>,
    /// What is not taken.
    pub left_out: Vec<LeftOut>,
}

/// Decides about everything that an app has on this host.
pub fn select(app: &App, policy: &BindPolicy, skip: &SkipSet) -> Selection {
    let mut selection = Selection::default();
    for volume in &app.volumes {
        selection.volumes.push(choose_volume(volume, skip));
    }
    for choice in &selection.volumes {
        if let Some(reason) = &choice.left_out {
            selection.left_out.push(LeftOut {
                kind: LeftOutKind::Volume,
                what: choice.volume.name.clone(),
                reason: reason.clone(),
                bytes: None,
                decided: choice.decided,
            });
        }
    }
    choose_binds(app, policy, skip, &mut selection);
    selection.project = project::choose(app, &selection.binds, skip, &mut selection.left_out);
    selection
}

fn choose_volume(volume: &AppVolume, skip: &SkipSet) -> VolumeChoice {
    let at = Path::new(&volume.mountpoint);
    let (left_out, decided) = match volume.backing {
        VolumeBacking::Directory if at.is_dir() => (None, true),
        VolumeBacking::Directory => {
            (Some(format!("its folder {} cannot be read from here", volume.mountpoint)), false)
        }
        VolumeBacking::Memory => (Some("it is memory and gone with its container".to_owned()), true),
        VolumeBacking::LocalBind => {
            (Some("its data lies in a folder elsewhere (driver option o=bind), which is not covered yet".to_owned()), false)
        }
        VolumeBacking::Remote => {
            (Some("its data lies on another machine (NFS, CIFS); protect it there".to_owned()), false)
        }
        VolumeBacking::OtherMount => {
            (Some("it is mounted with driver options, which is not covered yet".to_owned()), false)
        }
        VolumeBacking::Plugin => {
            (Some(format!("driver {} keeps its data where the engine does not say", volume.driver)), false)
        }
        VolumeBacking::Missing => (Some("a container mounts it, but the engine has no such volume".to_owned()), false),
    };
    let size = if left_out.is_none() {
        measure(at, skip).unwrap_or_default()
    } else {
        Size::default()
    };
    VolumeChoice {
        volume: volume.clone(),
        left_out,
        decided,
        size,
    }
}

fn choose_binds(app: &App, policy: &BindPolicy, skip: &SkipSet, selection: &mut Selection) {
    let volumes: Vec<String> = selection
        .volumes
        .iter()
        .filter(|v| v.left_out.is_none())
        .map(|v| v.volume.mountpoint.clone())
        .collect();
    let mut sizes = BTreeMap::new();
    let decisions = decide(&app.binds, policy, &volumes, |source| {
        let size = real(source).and_then(|at| measure(&at, skip));
        if let Some(size) = size {
            sizes.insert(source.to_owned(), size);
        }
        match size {
            Some(size) => BindSize::Exactly(size.bytes),
            // What is not there has nothing to be left out.
            None if real(source).is_none() => BindSize::Exactly(0),
            None => BindSize::Unknown,
        }
    });
    for (bind, decision) in app.binds.iter().zip(decisions) {
        let (kind, content) = look(&bind.source);
        let mut decision = decision;
        if decision == Decision::Captured && content == BindContent::Absent {
            decision = Decision::LeftOut {
                reason: "it is not there".to_owned(),
                decided: true,
            };
        }
        if decision == Decision::Captured && kind == Some(PathKind::Special) {
            decision = Decision::LeftOut {
                reason: "it is a socket, pipe or device".to_owned(),
                decided: true,
            };
        }
        let size = sizes.get(&bind.source).copied();
        if let Decision::LeftOut { reason, decided } = &decision {
            selection.left_out.push(LeftOut {
                kind: LeftOutKind::Bind,
                what: bind.source.clone(),
                reason: reason.clone(),
                bytes: size.map(|s| s.bytes),
                decided: *decided,
            });
        }
        selection.binds.push(BindChoice {
            bind: bind.clone(),
            decision,
            kind,
            content,
            size,
        });
    }
}

/// What is at a bind source, symbolic links followed as the engine follows them.
fn look(source: &str) -> (Option<PathKind>, BindContent) {
    let Ok(meta) = fs_err::metadata(source) else {
        return (None, BindContent::Absent);
    };
    if meta.is_dir() {
        let empty = fs_err::read_dir(source).is_ok_and(|mut entries| entries.next().is_none());
        (
            Some(PathKind::Dir),
            if empty {
                BindContent::Empty
            } else {
                BindContent::Present
            },
        )
    } else if meta.is_file() {
        (
            Some(PathKind::File),
            if meta.len() == 0 {
                BindContent::Empty
            } else {
                BindContent::Present
            },
        )
    } else {
        (Some(PathKind::Special), BindContent::Present)
    }
}

/// The path that a bind source leads to; `None` if nothing is there.
pub fn real(source: &str) -> Option<PathBuf> {
    fs_err::canonicalize(source).ok()
}

fn measure(at: &Path, skip: &SkipSet) -> Option<Size> {
    estimate(at, skip).ok().map(|size| Size {
        bytes: size.bytes,
        files: size.files,
    })
}

/// `true` for a bind that belongs to the project folder.
pub fn is_project_bind(bind: &AppBind) -> bool {
    matches!(bind.class, BindClass::Project { .. })
}
