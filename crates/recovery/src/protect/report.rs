//! How to protect, and what was protected.

use std::time::Instant;

use lifeboat_plan::{app::App, identity::AppIdentity, manifest::Level};
use lifeboat_vault::id::SnapshotId;
use serde::Serialize;

use crate::selection::Selection;

/// How to protect.
#[derive(Debug, Clone, Default)]
pub struct ProtectOptions {
    /// Exclude patterns as restic has them.
    pub excludes: Vec<String>,
    /// Stay on one file system below each source.
    pub one_file_system: bool,
    /// Threads that walk and read; 0 for as many as there are cores.
    pub read_concurrency: usize,
    /// More tags for the point.
    pub tags: Vec<String>,
    /// Look and count, but write nothing.
    pub dry_run: bool,
    /// Binds to take although they are above the bound.
    pub include_binds: Vec<String>,
    /// Binds to leave out.
    pub exclude_binds: Vec<String>,
    /// Continue the line of this app (`[SITE/]HOST/APP`) although the host's fingerprints contradict.
    pub take_over: Option<String>,
    /// Where images are looked for before the engine is asked for them; `None`: nowhere.
    pub registries: Option<super::Registries>,
    /// The level that is asked for; `None`: as good as it gets. At `live` nothing is frozen.
    pub consistency: Option<Level>,
    /// Wait so long for a vault that somebody else holds.
    pub retry_lock: std::time::Duration,
}

/// What was protected.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Protected {
    /// `site/host/app`.
    pub app: String,
    /// The new point; `None` for a dry run.
    pub id: Option<SnapshotId>,
    /// When the capture began, RFC 3339.
    pub time: String,
    /// `crash`, `live` (or `application`).
    pub level: String,
    /// Why not better, if so.
    pub level_reason: Option<String>,
    /// The level that was asked for; `None`: nobody asked.
    pub asked: Option<String>,
    /// A sentence where the point is less consistent than that. It means exit code 4, and the point counts as partial.
    pub less_consistent: Option<String>,
    /// How long the app could not write because of us, seconds; `None` if it was not frozen.
    pub stall_seconds: Option<f64>,
    /// Files seen.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes read from changed files.
    pub bytes_read: u64,
    /// Bytes that the vault grew by.
    pub added: u64,
    /// The whole run, seconds.
    pub seconds: f64,
    /// What is not in the point, one sentence each. Not empty means exit code 3.
    pub incomplete: Vec<String>,
    /// Other things worth knowing.
    pub warnings: Vec<String>,
}

/// What a backup would take.
pub fn dry_run(
    identity: &AppIdentity,
    app: &App,
    selection: &Selection,
    clock: Instant,
) -> Protected {
    let sizes = selection
        .volumes
        .iter()
        .map(|v| v.size)
        .chain(
            selection
                .binds
                .iter()
                .filter(|b| b.decision.is_captured())
                .filter_map(|b| b.size),
        )
        .chain(selection.project.iter().map(|p| p.size));
    let (files, bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + size.files, sum.1 + size.bytes));
    Protected {
        app: identity.to_string(),
        time: jiff::Timestamp::now().to_string(),
        level: "dry run".to_owned(),
        files,
        bytes,
        seconds: clock.elapsed().as_secs_f64(),
        incomplete: selection
            .left_out
            .iter()
            .filter(|l| !l.decided)
            .map(|l| format!("{} would be left out: {}", l.what, l.reason))
            .collect(),
        warnings: app.notes.iter().map(|note| note.text.clone()).collect(),
        ..Protected::default()
    }
}
