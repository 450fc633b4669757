//! Reports of restores, kept in the state directory: the last [`MOST`], each a JSON file named by its time.
//! They hold no secrets. Losing them loses nothing else.

use serde::Serialize;

use crate::Context;

/// Reports that are kept.
const MOST: usize = 50;

/// Keeps a report. That it cannot be kept fails no restore.
pub(super) fn keep(ctx: &Context, app: &str, report: &impl Serialize) {
    if let Err(why) = write(ctx, app, report) {
        tracing::warn!(%why, "the report is not kept");
    }
}

fn write(ctx: &Context, app: &str, report: &impl Serialize) -> crate::Result<()> {
    let folder = ctx.places.reports();
    let text = serde_json::to_vec_pretty(report).map_err(std::io::Error::other)?;
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
    let name = format!("{now}-{}.json", lifeboat_plan::name::escape(app));
    crate::setup::write_private(&folder.join(name), &text, true)?;
    let mut all: Vec<_> = fs_err::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    all.sort();
    let old = all.len().saturating_sub(MOST);
    for path in all.drain(..old) {
        fs_err::remove_file(path)?;
    }
    Ok(())
}
