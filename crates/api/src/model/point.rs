//! Recovery points.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// Its id.
    pub id: String,
    /// When its capture began (RFC 3339).
    pub time: String,
    /// `site/host/app`; none for a registry's.
    pub app: Option<String>,
    /// The registry, for points of one.
    pub registry: Option<String>,
    /// Something could not be read when it was made.
    pub partial: bool,
    /// Files.
    pub files: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Bytes that it added to the vault.
    pub added: Option<u64>,
    /// Until when nobody can delete it, seconds since 1970.
    pub locked_until: Option<i64>,
}

/// Those of an answer of `lifeboat points`, the newest first. What is no point of an app or a registry is left out: its name is a
/// path.
#[must_use]
pub fn points(said: &Value) -> Vec<Point> {
    let all = said["points"].as_array().into_iter().flatten();
    let mut points: Vec<Point> = all.filter_map(point).collect();
    points.sort_by(|a, b| (&b.time, &b.id).cmp(&(&a.time, &a.id)));
    points
}

fn point(said: &Value) -> Option<Point> {
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    let registry = text("registry");
    let app = text("app").map(|app| {
        let (site, host) = (
            text("site").unwrap_or_default(),
            text("host").unwrap_or_default(),
        );
        format!("{site}/{host}/{app}")
    });
    if app.is_none() && registry.is_none() {
        return None;
    }
    // One time zone, so that texts sort as times do.
    let time: jiff::Timestamp = said["time"].as_str()?.parse().ok()?;
    Some(Point {
        id: text("id")?,
        time: format!("{time:.3}"),
        app,
        registry,
        partial: said["partial"].as_bool().unwrap_or(false),
        files: said["files"].as_u64(),
        bytes: said["bytes"].as_u64(),
        added: said["added"].as_u64(),
        locked_until: said["locked_until"].as_i64(),
    })
}
