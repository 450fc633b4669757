//! `stats`.

use std::collections::BTreeMap;

use lifeboat_plan::identity::AppIdentity;
use lifeboat_store::LockPolicy;
use lifeboat_vault::{
    BlobId, Snapshot, Snapshots,
    stats::{GroupStats, VaultStats},
};
use serde::Serialize;

use crate::{
    args::StatsArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report {
    location: String,
    apps: Vec<Group>,
    total: Group,
    packs: u64,
    pack_bytes: u64,
    /// Bytes of blobs that no point needs; only where all points were looked at.
    unused_bytes: Option<u64>,
    /// How points are locked.
    object_lock: Option<LockPolicy>,
    /// Points that are locked now, of those that were looked at.
    locked_points: u64,
    /// Until when the last of them is, in seconds since 1970.
    locked_until: Option<i64>,
}

/// Figures of an app, or of plain snapshots of the same host and paths.
#[derive(Serialize)]
struct Group {
    name: String,
    site: Option<String>,
    host: Option<String>,
    app: Option<String>,
    points: u64,
    entries: u64,
    logical_bytes: u64,
    blobs: u64,
    unique_bytes: u64,
    stored_bytes: u64,
    own_stored_bytes: u64,
    deduplication: Option<f64>,
    compression: Option<f64>,
}

/// How a group is called.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Name {
    site: Option<String>,
    host: String,
    app: Option<String>,
    paths: Vec<String>,
}

/// Shows figures.
pub fn run(session: &Session, args: &StatsArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let filter = args.filter.filter(&args.points, &session.global);
    let Snapshots {
        found: points,
        unreadable,
    } = filter.select(&ctx.vault)?;
    for (_, error) in &unreadable {
        session.reporter.warn_once(&error.to_string());
    }
    let total = ctx.vault.snapshots()?.found.len();
    let mut groups: BTreeMap<Name, Vec<BlobId>> = BTreeMap::new();
    for (id, snapshot) in &points {
        let root = snapshot.tree.ok_or_else(|| {
            Failure::new(format!("point {} names no tree: it is damaged", id.short()))
        })?;
        groups.entry(name(snapshot)).or_default().push(root);
    }
    let (names, roots): (Vec<Name>, Vec<Vec<BlobId>>) = groups.into_iter().unzip();
    let stats = ctx.vault.stats(&roots, session.reporter.as_ref());
    session.reporter.finish();
    let stats = stats?;
    let mut report = report(ctx.vault.location(), &names, &stats, points.len() == total);
    let ids: Vec<_> = points.iter().map(|(id, _)| *id).collect();
    let locked = ctx.vault.locked_points(&ids)?;
    report.object_lock = ctx.vault.lock_policy();
    report.locked_points = locked.len() as u64;
    report.locked_until = locked.into_values().max();
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render(&report, session.out.width()))?;
    }
    Ok(if unreadable.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn name(snapshot: &Snapshot) -> Name {
    match AppIdentity::from_snapshot_paths(&snapshot.paths) {
        Some(identity) => Name {
            site: Some(identity.site.to_string()),
            host: identity.host.to_string(),
            app: Some(identity.name.to_string()),
            paths: Vec::new(),
        },
        None => Name {
            site: None,
            host: snapshot.hostname.clone(),
            app: None,
            paths: snapshot.paths.clone(),
        },
    }
}

fn report(location: String, names: &[Name], stats: &VaultStats, all: bool) -> Report {
    let apps = names.iter().zip(&stats.groups).map(|(name, stats)| {
        let shown = match (&name.site, &name.app) {
            (Some(site), Some(app)) if site != "default" => format!("{site}/{}/{app}", name.host),
            (_, Some(app)) => format!("{}/{app}", name.host),
            _ => format!("{}:{}", name.host, name.paths.join(", ")),
        };
        Group {
            site: name.site.clone(),
            host: Some(name.host.clone()),
            app: name.app.clone(),
            ..group(shown, stats)
        }
    });
    Report {
        location,
        apps: apps.collect(),
        total: group("all".to_owned(), &stats.total),
        packs: stats.packs,
        pack_bytes: stats.pack_bytes,
        unused_bytes: all.then_some(stats.unused_bytes),
        object_lock: None,
        locked_points: 0,
        locked_until: None,
    }
}

fn group(name: String, stats: &GroupStats) -> Group {
    // Two digits are enough, and what nobody can divide is not there.
    let ratio = |a: u64, b: u64| (b > 0).then(|| (a as f64 / b as f64 * 100.0).round() / 100.0);
    Group {
        name,
        site: None,
        host: None,
        app: None,
        points: stats.points,
        entries: stats.entries,
        logical_bytes: stats.logical_bytes,
        blobs: stats.blobs,
        unique_bytes: stats.plain_bytes,
        stored_bytes: stats.stored_bytes,
        own_stored_bytes: stats.own_stored_bytes,
        deduplication: ratio(stats.logical_bytes, stats.plain_bytes),
        compression: ratio(stats.plain_bytes, stats.stored_bytes),
    }
}

fn render(report: &Report, width: Option<u16>) -> String {
    let columns = [
        ("APP", Align::Left),
        ("POINTS", Align::Right),
        ("LOGICAL", Align::Right),
        ("UNIQUE", Align::Right),
        ("STORED", Align::Right),
        ("OWN", Align::Right),
        ("DEDUP", Align::Right),
        ("COMPR", Align::Right),
    ];
    let mut table = Table::new(&columns, width);
    let total = (report.apps.len() > 1).then_some(&report.total);
    for group in report.apps.iter().chain(total) {
        let ratio = |ratio: Option<f64>| ratio.map(|r| format!("{r:.2}x")).unwrap_or_default();
        table.row([
            human::escape(group.name.as_bytes()),
            human::count(group.points),
            human::size(group.logical_bytes),
            human::size(group.unique_bytes),
            human::size(group.stored_bytes),
            human::size(group.own_stored_bytes),
            ratio(group.deduplication),
            ratio(group.compression),
        ]);
    }
    let mut text = table.render();
    text.push_str(&format!(
        "the vault at {} has {}: {}",
        report.location,
        human::plural(report.packs, "pack"),
        human::size(report.pack_bytes)
    ));
    if let Some(unused) = report.unused_bytes {
        text.push_str(&format!(
            ", of which no point needs {}",
            human::size(unused)
        ));
    }
    text.push('\n');
    if let Some(lock) = report.object_lock {
        text.push_str(&format!(
            "points are locked for {} ({}); {} now{}\n",
            human::period(lock.seconds),
            lock.mode.as_str(),
            human::plural(report.locked_points, "point"),
            match report.locked_until {
                Some(until) => format!(", the last until {}", human::local_seconds(until)),
                None => String::new(),
            }
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_app() {
        let stats = GroupStats {
            points: 3,
            entries: 30,
            logical_bytes: 3 << 20,
            blobs: 7,
            plain_bytes: 1 << 20,
            stored_bytes: 512 << 10,
            own_stored_bytes: 100,
        };
        let all = VaultStats {
            groups: vec![stats, GroupStats::default()],
            total: stats,
            packs: 2,
            pack_bytes: 1 << 20,
            unused_bytes: 12,
        };
        let app = Name {
            site: Some("default".to_owned()),
            host: "web1".to_owned(),
            app: Some("shop".to_owned()),
            paths: Vec::new(),
        };
        let plain = Name {
            site: None,
            app: None,
            paths: vec!["/etc".to_owned()],
            ..app.clone()
        };
        let report = report("/v".to_owned(), &[app, plain], &all, true);
        insta::assert_snapshot!(render(&report, None), @r"
        APP        POINTS  LOGICAL   UNIQUE     STORED    OWN  DEDUP  COMPR
        web1/shop       3  3.0 MiB  1.0 MiB  512.0 KiB  100 B  3.00x  2.00x
        web1:/etc       0      0 B      0 B        0 B    0 B      -      -
        all             3  3.0 MiB  1.0 MiB  512.0 KiB  100 B  3.00x  2.00x
        the vault at /v has 2 packs: 1.0 MiB, of which no point needs 12 B
        ");
    }
}
