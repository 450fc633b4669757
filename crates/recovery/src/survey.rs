//! `apps`: what runs here, where each byte of it lies, what would be saved and what would be missed.
//! Needs no vault.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_capture::SkipSet;
use lifeboat_engine::{Engine, OwnPathQuery};
use lifeboat_plan::{
    app::{App, AppKind},
    bind::{BindPolicy, Decision},
    coverage::{Weight, coverage},
    discover::discover,
    freeze::{Captured, plan},
    inventory::Inventory,
    manifest::LeftOutKind,
};
use serde::Serialize;

use crate::{
    Result,
    near::refuse_far,
    project,
    selection::{Selection, Size, select},
};

/// One place with data of an app.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// `volume`, `bind`, `project`, `image`.
    pub kind: String,
    /// Volume name, bind path, folder or image.
    pub name: String,
    /// Where it lies on the engine's host.
    pub path: Option<String>,
    /// Bytes; `None` where it could not be told.
    pub bytes: Option<u64>,
    /// Files; `None` where it could not be told.
    pub files: Option<u64>,
    /// `captured`, `within`, `left out`, `system`.
    pub decision: String,
    /// Why, where it is not simply captured.
    pub reason: Option<String>,
}

/// One app.
#[derive(Debug, Clone, Serialize)]
pub struct AppReport {
    /// Name, as `backup` and `restore` take it.
    pub name: String,
    /// `compose`, `stack`, `label`, `container`, `volume`.
    pub kind: String,
    /// Containers: name and state.
    pub containers: Vec<(String, String)>,
    /// Where its data lies.
    pub places: Vec<Place>,
    /// Databases recognised, e.g. `PostgreSQL in shop-db-1`.
    pub databases: Vec<String>,
    /// Consistency that a backup would reach now: `crash` or `live`.
    pub level: String,
    /// Why not better, if so.
    pub level_reason: Option<String>,
    /// What a backup would not cover, one sentence each.
    pub uncovered: Vec<String>,
    /// Other things worth knowing, one sentence each.
    pub notes: Vec<String>,
    /// What holds for every app of its kind, one sentence each; nobody has to act.
    pub limits: Vec<String>,
    /// Bytes that a first backup reads, images aside.
    pub bytes: u64,
}

/// All apps of an engine.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// Engine and version, e.g. `docker 20.10.24`.
    pub engine: String,
    /// Host name as the engine has it.
    pub hostname: String,
    /// Apps by name.
    pub apps: Vec<AppReport>,
    /// What concerns the engine as a whole.
    pub notes: Vec<String>,
}

/// Looks at everything; `free_space` of the vault if one is there (it bounds binds).
pub fn survey(engine: &Arc<dyn Engine>, free_space: Option<u64>, skip: &SkipSet) -> Result<Survey> {
    refuse_far(engine.as_ref(), "`apps`")?;
    let inventory = engine.inventory()?;
    let found = discover(&inventory);
    let own: BTreeMap<String, String> = engine
        .own_path(&OwnPathQuery::default())?
        .into_iter()
        .map(|own| (own.id, "lifeboat runs through it".to_owned()))
        .collect();
    let policy = BindPolicy::for_free_space(free_space);
    let report = |app: &App| report(app, &inventory, &policy, skip, &own);
    Ok(Survey {
        engine: format!("{} {}", inventory.engine.kind, inventory.engine.version),
        hostname: inventory.engine.hostname.clone(),
        apps: found.apps.iter().map(report).collect(),
        notes: found.notes.iter().map(|note| note.text.clone()).collect(),
    })
}

fn report(
    app: &App,
    inventory: &Inventory,
    policy: &BindPolicy,
    skip: &SkipSet,
    own: &BTreeMap<String, String>,
) -> AppReport {
    let mut selection = select(app, policy, skip);
    if let Some(choice) = &mut selection.project {
        choice.facts.drift = project::drift(app, inventory, choice);
    }
    let freezing = plan(app, inventory, &captured(app, &selection), own);
    let facts = selection.project.as_ref().map(|p| &p.facts);
    let findings = coverage(app, inventory, facts);
    let mut uncovered: Vec<String> = selection
        .left_out
        .iter()
        .filter(|l| !l.decided)
        .map(|l| format!("{}: {}", l.what, l.reason))
        .collect();
    // A gap that the selection has named already needs no second sentence.
    let named = |finding: &lifeboat_plan::coverage::Finding| {
        finding.subjects.iter().any(|s| {
            selection
                .left_out
                .iter()
                .any(|l| !l.decided && &l.what == s)
        })
    };
    let said = |weight: Weight| {
        findings
            .iter()
            .filter(move |f| f.weight() == weight)
            .map(|f| match f.subjects.as_slice() {
                [] => f.text.clone(),
                // One thing can be named where it stands; many would hide the sentence.
                [one] if !f.text.contains(one) => format!("{one}: {}", f.text),
                _ => f.text.clone(),
            })
    };
    uncovered.extend(
        findings
            .iter()
            .filter(|f| f.weight() == Weight::Gap && !named(f))
            .map(|f| f.text.clone()),
    );
    let mut notes: Vec<String> = app.notes.iter().map(|note| note.text.clone()).collect();
    notes.extend(said(Weight::Note));
    if let Some(project) = &selection.project {
        notes.extend(project.notes.iter().cloned());
    }
    // What the project can do without: decided, but worth a word.
    notes.extend(
        selection
            .left_out
            .iter()
            .filter(|l| l.decided && l.kind == LeftOutKind::ProjectFile && l.what != "-")
            .map(|l| format!("{}: {}", l.what, l.reason)),
    );
    let places = places(app, &selection);
    AppReport {
        name: app.name.to_string(),
        kind: kind(app.kind).to_owned(),
        containers: app
            .containers
            .iter()
            .map(|c| (c.name.clone(), format!("{:?}", c.state).to_lowercase()))
            .collect(),
        bytes: places
            .iter()
            .filter(|p| p.decision == "captured" && p.kind != "image")
            .filter_map(|p| p.bytes)
            .sum(),
        places,
        databases: app
            .databases
            .iter()
            .map(|d| format!("{} in {}", d.kind.name(), d.container_name))
            .collect(),
        level: freezing.level.to_string(),
        level_reason: Some(freezing.reason).filter(|reason| !reason.is_empty()),
        uncovered,
        notes,
        limits: said(Weight::Limit).collect(),
    }
}

fn captured(app: &App, selection: &Selection) -> Captured {
    Captured {
        volumes: selection
            .volumes
            .iter()
            .filter(|v| v.left_out.is_none())
            .map(|v| v.volume.name.clone())
            .collect(),
        paths: selection
            .binds
            .iter()
            .filter(|b| b.decision.is_captured())
            .map(|b| b.bind.source.clone())
            .collect(),
        layers: app.container_ids().map(str::to_owned).collect(),
    }
}

fn kind(kind: AppKind) -> &'static str {
    match kind {
        AppKind::Compose => "compose",
        AppKind::SwarmStack => "stack",
        AppKind::Labelled => "label",
        AppKind::Container => "container",
        AppKind::Volume => "volume",
        AppKind::Copy => "copy",
    }
}

fn places(app: &App, selection: &Selection) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |kind: &str,
                   name: &str,
                   path: Option<&str>,
                   size: Option<Size>,
                   decision: &str,
                   reason: Option<String>| {
        places.push(Place {
            kind: kind.to_owned(),
            name: name.to_owned(),
            path: path.map(str::to_owned),
            bytes: size.map(|s| s.bytes),
            files: size.map(|s| s.files),
            decision: decision.to_owned(),
            reason,
        });
    };
    for choice in &selection.volumes {
        let decision = if choice.left_out.is_none() {
            "captured"
        } else {
            "left out"
        };
        let size = choice.left_out.is_none().then_some(choice.size);
        let volume = &choice.volume;
        add(
            "volume",
            &volume.name,
            Some(&volume.mountpoint),
            size,
            decision,
            choice.left_out.clone(),
        );
    }
    for choice in &selection.binds {
        let (decision, reason) = match &choice.decision {
            Decision::Captured => ("captured", None),
            Decision::Within { path } => ("within", Some(format!("captured with {path}"))),
            Decision::LeftOut { reason, .. } => ("left out", Some(reason.clone())),
            Decision::SystemPath { what } => ("system", Some(what.clone())),
        };
        let source = &choice.bind.source;
        add("bind", source, Some(source), choice.size, decision, reason);
    }
    if let Some(project) = &selection.project {
        for root in &project.roots {
            let size = project.sizes.get(root).copied();
            let root = root.display().to_string();
            add("project", &root, Some(&root), size, "captured", None);
        }
    }
    for image in &app.images {
        let name = image
            .references
            .first()
            .or(image.tags.first())
            .unwrap_or(&image.id);
        let size = Some(Size {
            bytes: image.size,
            files: 0,
        });
        let decision = if image.missing {
            "left out"
        } else {
            "captured"
        };
        let reason = image
            .missing
            .then(|| "the engine has this image no more".to_owned());
        add("image", name, None, size, decision, reason);
    }
    places
}
