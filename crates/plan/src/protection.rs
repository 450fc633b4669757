//! What of an app is protected and what is not, and why: the summary that `lifeboat apps` shows
//! before anything is saved.

use serde::{Deserialize, Serialize};

use crate::app::{App, VolumeBacking};
use crate::bind::Decision;
use crate::coverage::{Finding, Row, Status};

/// Is an app protected?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it comes back.
    Protected,
    /// Something does not come back, named below.
    Partly,
    /// A label opts it out.
    OptedOut,
}

/// What kind of thing an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A volume's data.
    Volume,
    /// A bind's data.
    Bind,
    /// Anything else that a coverage row names.
    Other,
}

/// Something that is protected, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What kind of thing.
    pub kind: ItemKind,
    /// Its name or path.
    pub what: String,
    /// It will be in the point.
    pub protected: bool,
    /// Left out by a decision or a fixed rule: not a gap, but said.
    pub decided: bool,
    /// Why not; empty if protected.
    pub why: String,
}

/// What is protected and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// In one word.
    pub verdict: Verdict,
    /// Volumes and binds first, then what else has a gap.
    pub items: Vec<Item>,
}

impl Protection {
    /// Only what is not protected.
    pub fn unprotected(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|i| !i.protected)
    }
}

/// Sums up. `decisions` are those about `app.binds`, in the same order; `findings` the app's coverage.
#[must_use]
pub fn protection(app: &App, decisions: &[Decision], findings: &[Finding]) -> Protection {
    let mut items = Vec::new();
    for v in &app.volumes {
        let protected = v.backing.is_readable() && app.enabled;
        let why = if protected {
            String::new()
        } else {
            volume_reason(v.backing, app.enabled).to_owned()
        };
        let decided = !app.enabled || v.backing == VolumeBacking::Memory;
        items.push(Item {
            kind: ItemKind::Volume,
            what: v.name.clone(),
            protected,
            decided,
            why,
        });
    }
    for (at, b) in app.binds.iter().enumerate() {
        items.push(bind_item(app, &b.source, decisions.get(at)));
    }
    for finding in findings
        .iter()
        .filter(|f| f.status == Status::NotCovered && !is_data(f.row))
    {
        let why = finding.text.clone();
        // Knowing less about the app is no loss of the app.
        let decided = finding.row == Row::Drift;
        items.push(Item {
            kind: ItemKind::Other,
            what: finding.subjects.join(", "),
            protected: false,
            decided,
            why,
        });
    }
    let verdict = if !app.enabled {
        Verdict::OptedOut
    } else if items.iter().any(|i| !i.protected && !i.decided) {
        Verdict::Partly
    } else {
        Verdict::Protected
    };
    Protection { verdict, items }
}

/// Rows whose subjects are items of their own already.
fn is_data(row: Row) -> bool {
    matches!(
        row,
        Row::Volumes | Row::AnonymousVolumes | Row::VolumeOptions | Row::VolumeDrivers | Row::Binds
    )
}

fn volume_reason(backing: VolumeBacking, enabled: bool) -> &'static str {
    if !enabled {
        return "a label opts the app out";
    }
    match backing {
        VolumeBacking::Directory => "",
        VolumeBacking::LocalBind => {
            "its data lies in another folder (`o=bind`), which is not captured yet"
        }
        VolumeBacking::Remote => "its data lies on another machine",
        VolumeBacking::Memory => "it lies in memory",
        VolumeBacking::OtherMount => {
            "its data lies on a device of its own, which is not captured yet"
        }
        VolumeBacking::Plugin => "its data belongs to a volume driver",
        VolumeBacking::Missing => "the engine does not list it",
    }
}

fn bind_item(app: &App, source: &str, decision: Option<&Decision>) -> Item {
    let item = |protected, decided, why: String| Item {
        kind: ItemKind::Bind,
        what: source.to_owned(),
        protected,
        decided,
        why,
    };
    if !app.enabled {
        return item(false, true, "a label opts the app out".to_owned());
    }
    match decision {
        Some(Decision::Captured | Decision::Within { .. }) => item(true, false, String::new()),
        Some(Decision::LeftOut { reason, decided }) => item(false, *decided, reason.clone()),
        Some(Decision::SystemPath { what }) => {
            item(false, true, format!("{what}: recorded, not captured"))
        }
        None => item(false, false, "nothing was decided about it".to_owned()),
    }
}
