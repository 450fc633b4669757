//! From what was selected to what is read from where.

use std::{path::PathBuf, sync::Arc};

use lifeboat_capture::Excludes;
use lifeboat_plan::{
    bind::Decision,
    manifest::{LeftOutKind, layout},
};

use super::passes::DataSource;
use crate::selection::{Selection, real};

/// Volumes, binds and project files, in this order.
pub fn data_sources(selection: &Selection, excludes: &Excludes) -> Vec<DataSource> {
    let exclude = Arc::new(excludes.clone());
    let mut sources = Vec::new();
    for choice in selection.volumes.iter().filter(|v| v.left_out.is_none()) {
        sources.push(DataSource {
            place: layout::volume(&choice.volume.name),
            at: PathBuf::from(&choice.volume.mountpoint),
            exclude: Arc::clone(&exclude),
            without: Vec::new(),
            kind: LeftOutKind::Volume,
            name: choice.volume.name.clone(),
        });
    }
    for choice in selection
        .binds
        .iter()
        .filter(|b| b.decision == Decision::Captured)
    {
        let source = &choice.bind.source;
        // The engine follows a symbolic link at the end of a source, and so do we.
        let (Some(place), Some(at)) = (layout::bind(source), real(source)) else {
            continue;
        };
        let excluded = selection.binds.iter().filter(|other| {
            !other.decision.is_captured()
                && other.bind.source != *source
                && lifeboat_plan::path::is_within(&other.bind.source, source)
        });
        sources.push(DataSource {
            place,
            at,
            exclude: Arc::clone(&exclude),
            without: excluded
                .map(|other| PathBuf::from(&other.bind.source))
                .collect(),
            kind: LeftOutKind::Bind,
            name: source.clone(),
        });
    }
    for root in selection.project.iter().flat_map(|p| &p.roots) {
        let Some(place) = layout::project(&root.to_string_lossy()) else {
            continue;
        };
        sources.push(DataSource {
            place,
            at: root.clone(),
            exclude: Arc::clone(&exclude),
            without: selection
                .project
                .iter()
                .flat_map(|p| p.without.clone())
                .collect(),
            kind: LeftOutKind::ProjectFile,
            name: root.display().to_string(),
        });
    }
    sources
}
