//! `forget`: which recovery points go, and why the others stay.
//!
//! The rules are [`lifeboat_plan::retention`]'s. Here the facts are gathered (snapshots, and when the store got them),
//! the policy of each app is found, and what was named by hand is held against the same rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicBool,
    time::Duration,
};

use lifeboat_plan::{
    identity::{AppIdentity, TAG_PARTIAL},
    reference::{self, PointSummary, Reference},
    retention::{GroupBy, Moment, Options, Point, Policy, Reason, judge},
};
use lifeboat_vault::{Snapshot, SnapshotId, Vault};
use serde::Serialize;

use crate::{RecoveryError, Result, inspect::PointFilter, points};

/// How the reason begins where the store lets nobody delete a point.
const LOCKED_UNTIL: &str = "the store keeps it until";

/// What is to be forgotten, or kept.
#[derive(Debug, Clone, Default)]
pub struct ForgetRequest {
    /// Points to forget; with a policy, apps that it is for.
    pub references: Vec<String>,
    /// Only points that these let pass compete.
    pub filter: PointFilter,
    /// The policy that was given. Empty: those of the settings.
    pub policy: Policy,
    /// Policies of the settings: by `[[SITE/]HOST/]APP`, or `*` for all other apps.
    pub policies: BTreeMap<String, Policy>,
    /// Who competes with whom.
    pub group_by: GroupBy,
    /// Believe what points say of their time.
    pub trust_times: bool,
    /// Apps that are gone as well.
    pub gone_too: bool,
    /// A point that is named is forgotten even if it is the newest complete one of its app.
    pub even_newest: bool,
}

/// A point and what becomes of it.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    /// The point.
    #[serde(flatten)]
    pub point: points::Point,
    /// Whether it stays.
    pub stays: bool,
    /// Why it stays; why it goes, if it was named.
    pub reasons: Vec<String>,
    /// It was stored much later than it says that it was made.
    pub late: bool,
}

/// What becomes of the points that were asked about: grouped by what they are of, each group by time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fates {
    /// The points.
    pub points: Vec<Fate>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Fates {
    /// Those that go.
    #[must_use]
    pub fn going(&self) -> Vec<SnapshotId> {
        let going = self.points.iter().filter(|fate| !fate.stays);
        going.map(|fate| fate.point.id).collect()
    }
}

/// The policies of the settings file.
pub fn policies(settings: &crate::Settings) -> Result<BTreeMap<String, Policy>> {
    let read = |(app, table): (&String, &toml::Table)| {
        let policy: Policy = table.clone().try_into().map_err(|e: toml::de::Error| {
            RecoveryError::Failed(format!(
                "the settings' [retention.\"{app}\"] cannot be read: {}",
                e.message()
            ))
        })?;
        if policy.is_empty() {
            return Err(RecoveryError::Failed(format!(
                "the settings' [retention.\"{app}\"] keeps nothing: say what stays, as in `keep-daily = 7`"
            )));
        }
        Ok((app.clone(), policy))
    };
    settings.retention.iter().map(read).collect()
}

/// Decides; changes nothing.
pub fn decide(vault: &Vault, request: &ForgetRequest) -> Result<Fates> {
    let snapshots = vault.snapshots()?;
    if let Some((_, error)) = snapshots.unreadable.into_iter().next() {
        return Err(RecoveryError::Refused(format!(
            "nothing was forgotten: {error}; whose point it is cannot be told, and it may be the one that keeps another"
        )));
    }
    let all = snapshots.found;
    let (named, apps) = sort_references(&all, request)?;
    let by_policy = !request.policy.is_empty();
    if !named.is_empty() && by_policy {
        return Err(RecoveryError::NotFound(
            "points and --keep-… do not go together: name points to forget just these, or apps to apply a policy to them"
                .to_owned(),
        ));
    }
    let filter = PointFilter {
        references: Vec::new(),
        apps: request.filter.apps.iter().cloned().chain(apps).collect(),
        ..request.filter.clone()
    };
    let chosen: BTreeSet<SnapshotId> = match named.is_empty() {
        true => filter.select(vault)?.found.into_iter().map(|(id, _)| id),
        false => return by_name(vault, &all, &named, request),
    }
    .collect();
    if !by_policy && request.policies.is_empty() {
        return Err(RecoveryError::NotFound(
            "nothing says what is to be kept: give --keep-daily 7 or the like, or a [retention] in the settings; or name the points that are to go"
                .to_owned(),
        ));
    }
    let points = points_of(vault, &all)?;
    let of_definitions = Policy::of_definitions();
    let policy_of = |point: &Point| {
        let chosen = point.id.parse().is_ok_and(|id| chosen.contains(&id));
        match (chosen, by_policy) {
            (false, _) => None,
            (true, _) if point.is_definition() => Some(&of_definitions),
            (true, true) => Some(&request.policy),
            (true, false) => of_settings(&request.policies, point),
        }
    };
    let judged = judge(&points, policy_of, &options(vault, request));
    let mut fates: Vec<(String, Fate)> = Vec::new();
    for ((point, verdict), (id, snapshot)) in points.iter().zip(judged.verdicts).zip(&all) {
        if !chosen.contains(id) {
            continue;
        }
        let fate = Fate {
            point: points::Point::new(*id, snapshot),
            stays: verdict.stays(),
            reasons: verdict.reasons.iter().map(Reason::to_string).collect(),
            late: verdict.late,
        };
        fates.push((point.line(), fate));
    }
    // They come by time; that order stays within a line.
    fates.sort_by(|a, b| a.0.cmp(&b.0));
    let mut fates = Fates {
        points: fates.into_iter().map(|(_, fate)| fate).collect(),
        notes: Vec::new(),
    };
    note_times(&mut fates);
    Ok(fates)
}

fn options(vault: &Vault, request: &ForgetRequest) -> Options {
    Options {
        group_by: request.group_by,
        now: now(vault),
        trust_times: request.trust_times,
        gone_too: request.gone_too,
    }
}

fn now(vault: &Vault) -> jiff::Timestamp {
    let now = vault.now();
    let nanos = i32::try_from(now.nanos).unwrap_or(0);
    jiff::Timestamp::new(now.secs, nanos).unwrap_or(jiff::Timestamp::MAX)
}

fn rfc3339(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).map_or_else(|_| secs.to_string(), |at| at.to_string())
}

/// Points that are named, and apps.
fn sort_references(
    all: &[(SnapshotId, Snapshot)],
    request: &ForgetRequest,
) -> Result<(Vec<SnapshotId>, Vec<String>)> {
    let summaries: Vec<PointSummary> = all
        .iter()
        .filter_map(|(id, snapshot)| points::summary(*id, snapshot))
        .collect();
    let (mut named, mut apps) = (Vec::new(), Vec::new());
    for text in &request.references {
        let failed = |e: reference::ReferenceError| RecoveryError::NotFound(e.to_string());
        let reference: Reference = text.parse().map_err(failed)?;
        let is_app =
            reference.point.is_none() && !reference::points_of(&reference, &summaries).is_empty();
        if !is_app {
            let point = reference::resolve(&reference, &summaries).map_err(failed)?;
            named.extend(point.id.parse::<SnapshotId>());
        } else if request.policy.is_empty() && request.policies.is_empty() {
            return Err(RecoveryError::NotFound(format!(
                "`{text}` is an app, not a point: say with --keep-… what of it is to stay, or name the point as `{text}@ID`"
            )));
        } else {
            apps.push(text.clone());
        }
    }
    named.sort_unstable();
    named.dedup();
    Ok((named, apps))
}

/// The policy of the settings for a point: the most exact name of its app wins.
fn of_settings<'p>(policies: &'p BTreeMap<String, Policy>, point: &Point) -> Option<&'p Policy> {
    let app = AppIdentity::from_snapshot_paths(&point.paths)?;
    let names = [
        app.to_string(),
        format!("{}/{}", app.host, app.name),
        app.name.to_string(),
        "*".to_owned(),
    ];
    names.iter().find_map(|name| policies.get(name))
}

/// The facts of all points.
fn points_of(vault: &Vault, all: &[(SnapshotId, Snapshot)]) -> Result<Vec<Point>> {
    let now = vault.now();
    let ids: Vec<SnapshotId> = all.iter().map(|(id, _)| *id).collect();
    let locked = vault.locked_points(&ids)?;
    let point = |(id, snapshot): &(SnapshotId, Snapshot)| {
        let stored = vault.stored_at(*id)?;
        Ok(Point {
            id: id.to_hex(),
            moment: Moment::parse(&snapshot.time),
            stored: stored.and_then(|secs| jiff::Timestamp::from_second(secs).ok()),
            host: snapshot.hostname.clone(),
            paths: snapshot.paths.clone(),
            tags: snapshot.tags.clone(),
            partial: snapshot.tags.iter().any(|tag| tag == TAG_PARTIAL),
            protected: match locked.get(id) {
                Some(until) => Some(format!("{LOCKED_UNTIL} {}", rfc3339(*until))),
                None => snapshot.protected(now),
            },
        })
    };
    all.iter().map(point).collect()
}

/// Points that were named go, unless one is the newest complete one of its app: then none goes.
fn by_name(
    vault: &Vault,
    all: &[(SnapshotId, Snapshot)],
    named: &[SnapshotId],
    request: &ForgetRequest,
) -> Result<Fates> {
    let points = points_of(vault, all)?;
    let judged = judge(&points, |_| None, &options(vault, request));
    let mut fates = Fates::default();
    for ((point, verdict), (id, snapshot)) in points.iter().zip(&judged.verdicts).zip(all) {
        if !named.contains(id) {
            continue;
        }
        let short = id.short();
        if let Some(why) = point
            .protected
            .as_ref()
            .filter(|why| why.starts_with(LOCKED_UNTIL))
        {
            return Err(RecoveryError::Refused(format!(
                "point {short} cannot be deleted yet, by nobody: {why}; nothing was forgotten"
            )));
        }
        if let Some(why) = &point.protected {
            return Err(RecoveryError::Refused(format!(
                "point {short} is not forgotten: {why}; `lifeboat unpin {short}` releases it; nothing was forgotten"
            )));
        }
        let newest = verdict.reasons.contains(&Reason::NewestComplete);
        if newest && !request.even_newest {
            return Err(RecoveryError::Refused(format!(
                "point {short} is the newest complete one of {}, which would have none (or only an older one) left; --even-newest forgets it all the same; nothing was forgotten",
                point.line()
            )));
        }
        fates.points.push(Fate {
            point: points::Point::new(*id, snapshot),
            stays: false,
            reasons: vec!["named".to_owned()],
            late: verdict.late,
        });
    }
    Ok(fates)
}

fn note_times(fates: &mut Fates) {
    let late = fates.points.iter().filter(|fate| fate.late).count();
    if late > 0 {
        fates.notes.push(format!(
            "{late} point(s) were stored more than a day after the time that they bear (copied here, or made under a wrong clock): they take no other point's place; --trust-times believes them"
        ));
    }
    let ahead = Reason::Ahead.to_string();
    let ahead = fates.points.iter().filter(|f| f.reasons.contains(&ahead));
    let ahead = ahead.count();
    if ahead > 0 {
        fates.notes.push(format!(
            "{ahead} point(s) bear a time ahead of the clock of the store: they stay, and take no other point's place; --trust-times believes them, or name them to forget them"
        ));
    }
}

/// Forgets what was decided.
pub fn forget(
    vault: &Vault,
    fates: &Fates,
    retry_lock: Duration,
    stop: &AtomicBool,
) -> Result<Vec<SnapshotId>> {
    Ok(vault.forget(&fates.going(), retry_lock, stop)?)
}
