//! `diff`: written as it is found.

use lifeboat_recovery::{
    inspect::{self, AppChange, ChangeKind},
    points,
};
use lifeboat_vault::{
    Snapshot, SnapshotId, VaultError,
    diff::{self, DiffSide, DiffStats},
};
use serde::Serialize;

use super::ls::PIECE;
use crate::{
    args::DiffArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
};

/// One path, as `-o json` says it. `path_hex` stands beside `path` where that is not UTF-8.
#[derive(Serialize)]
struct JsonChange {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    change: &'static str,
}

/// The figures at the end.
#[derive(Serialize)]
struct JsonStats {
    changed_files: u64,
    added: JsonSide,
    removed: JsonSide,
}

#[derive(Serialize)]
struct JsonSide {
    files: u64,
    dirs: u64,
    others: u64,
    data_blobs: u64,
    tree_blobs: u64,
    bytes: u64,
}

impl From<&DiffSide> for JsonSide {
    fn from(side: &DiffSide) -> Self {
        Self {
            files: side.files,
            dirs: side.dirs,
            others: side.others,
            data_blobs: side.data_blobs,
            tree_blobs: side.tree_blobs,
            bytes: side.bytes,
        }
    }
}

/// Compares two points.
pub fn run(session: &Session, args: &DiffArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let before = points::resolve(&ctx.vault, &args.before)?;
    let after = points::resolve(&ctx.vault, &args.after)?;
    let reader = ctx.vault.reader()?;
    let app = inspect::app_changes(&reader, &before.1, &after.1)?;
    let roots = (root(&before)?, root(&after)?);
    let mut text = beginning(session.out.is_json(), &before, &after, app.as_deref())?;
    let mut first = true;
    let mut failed = None;
    let compared = diff::diff(
        &reader,
        roots.0,
        roots.1,
        args.metadata,
        &mut |path, change| {
            let letters = change.letters();
            if session.out.is_json() {
                if !std::mem::take(&mut first) {
                    text.push(b',');
                }
                let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
                let json = JsonChange {
                    path: String::from_utf8_lossy(path).into_owned(),
                    path_hex: std::str::from_utf8(path).is_err().then(|| hex(path)),
                    change: letters,
                };
                text.extend_from_slice(serde_json::to_string(&json).unwrap_or_default().as_bytes());
            } else {
                text.extend_from_slice(format!("{letters:<5}").as_bytes());
                match session.out.is_terminal() {
                    true => text.extend_from_slice(human::escape(path).as_bytes()),
                    false => text.extend_from_slice(path),
                }
                text.push(b'\n');
            }
            if text.len() >= PIECE {
                failed = session.out.bytes(&text).err();
                text.clear();
            }
            if failed.is_some() || ctx.cancel.is_cancelled() || session.out.is_closed() {
                return Err(VaultError::Interrupted("the comparison".to_owned()));
            }
            Ok(())
        },
    );
    session.reporter.finish();
    if let Some(failure) = failed {
        return Err(failure);
    }
    if session.out.is_closed() {
        return Ok(Exit::Done);
    }
    if ctx.cancel.is_cancelled() {
        return Err(Failure::interrupted());
    }
    let stats = compared?;
    if session.out.is_json() {
        let json = JsonStats {
            changed_files: stats.changed_files,
            added: (&stats.added).into(),
            removed: (&stats.removed).into(),
        };
        let json = serde_json::to_string(&json).unwrap_or_default();
        text.extend_from_slice(format!("],\"statistics\":{json}}}\n").as_bytes());
    } else {
        text.extend_from_slice(summary(&stats).as_bytes());
    }
    session.out.bytes(&text)?;
    Ok(Exit::Done)
}

fn root((id, snapshot): &(SnapshotId, Snapshot)) -> Result<lifeboat_vault::BlobId> {
    snapshot
        .tree
        .ok_or_else(|| Failure::new(format!("point {} names no tree: it is damaged", id.short())))
}

fn beginning(
    json: bool,
    before: &(SnapshotId, Snapshot),
    after: &(SnapshotId, Snapshot),
    app: Option<&[AppChange]>,
) -> Result<Vec<u8>> {
    if json {
        let app = serde_json::to_string(&app)
            .map_err(|e| Failure::new(format!("the result cannot be written as JSON: {e}")))?;
        let text = format!(
            "{{\"before\":\"{}\",\"after\":\"{}\",\"app\":{app},\"changes\":[",
            before.0, after.0
        );
        return Ok(text.into_bytes());
    }
    let of = |(id, snapshot): &(SnapshotId, Snapshot)| {
        format!("{} ({})", id.short(), human::local_time(&snapshot.time))
    };
    let mut text = format!("comparing point {} with {}\n\n", of(before), of(after));
    if let Some(app) = app {
        text.push_str(&render_app(app));
        text.push_str("files:\n");
    }
    Ok(text.into_bytes())
}

fn render_app(app: &[AppChange]) -> String {
    if app.is_empty() {
        return "app: the same containers, images, volumes and definitions\n\n".to_owned();
    }
    let mut text = "app:\n".to_owned();
    for change in app {
        let letter = match change.change {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => 'M',
        };
        let name = human::escape(change.name.as_bytes());
        text.push_str(&format!("  {letter}  {} {name}", change.kind));
        if !change.details.is_empty() {
            let details = human::escape(change.details.join("; ").as_bytes());
            text.push_str(&format!(": {details}"));
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn summary(stats: &DiffStats) -> String {
    let (new, gone) = (&stats.added, &stats.removed);
    let count = human::count;
    format!(
        "
Files:      {:>7} new, {:>7} removed, {:>7} changed
Dirs:       {:>7} new, {:>7} removed
Others:     {:>7} new, {:>7} removed
Data Blobs: {:>7} new, {:>7} removed
Tree Blobs: {:>7} new, {:>7} removed
  Added:   {}
  Removed: {}
",
        count(new.files),
        count(gone.files),
        count(stats.changed_files),
        count(new.dirs),
        count(gone.dirs),
        count(new.others),
        count(gone.others),
        count(new.data_blobs),
        count(gone.data_blobs),
        count(new.tree_blobs),
        count(gone.tree_blobs),
        human::size(new.bytes),
        human::size(gone.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_changed() {
        let change = |name: &str, change, details: &[&str]| AppChange {
            kind: "container",
            name: name.to_owned(),
            change,
            details: details.iter().map(|d| (*d).to_owned()).collect(),
        };
        let app = [
            change("new", ChangeKind::Added, &[]),
            change(
                "web",
                ChangeKind::Changed,
                &["image a -> b", "Config.Env: PASSWORD"],
            ),
        ];
        insta::assert_snapshot!(render_app(&app), @r"
        app:
          +  container new
          M  container web: image a -> b; Config.Env: PASSWORD
        ");
    }
}
