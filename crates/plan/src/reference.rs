//! From what a person types to exactly one recovery point: `[[SITE/]HOST/]APP[@POINT]`, an id
//! prefix, or `latest`.
//!
//! An exact app name wins over an id. An app alone is its newest complete point, and the newest only
//! where none is complete. An id has at least eight hex digits. `POINT` is `latest` (the newest, complete
//! or not) or an id. What fits more than one is listed and refused, never guessed: the newest of two apps is
//! nobody's wish. Plain snapshots (`backup --path`, or another program's) have no identity; they
//! are found by id or by `latest`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::identity::{AppIdentity, TAG_PARTIAL, TAG_SAFETY};
use crate::suggest;

/// The shortest id prefix.
pub const MIN_ID: usize = 8;
/// The most candidates that an error lists.
const MOST_LISTED: usize = 10;

/// What is known of a recovery point without reading its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointSummary {
    /// Snapshot id, 64 hex digits.
    pub id: String,
    /// Whose it is; `None` for a plain snapshot.
    pub identity: Option<AppIdentity>,
    /// When it was taken.
    pub time: Timestamp,
    /// The snapshot's host name.
    pub hostname: String,
    /// The snapshot's paths.
    pub paths: Vec<String>,
    /// The snapshot's tags.
    pub tags: Vec<String>,
}

impl PointSummary {
    /// Of a snapshot's own fields; the identity is read from the path.
    #[must_use]
    pub fn new(
        id: String,
        time: Timestamp,
        hostname: String,
        paths: Vec<String>,
        tags: Vec<String>,
    ) -> Self {
        let identity = AppIdentity::from_snapshot_paths(&paths);
        Self {
            id,
            identity,
            time,
            hostname,
            paths,
            tags,
        }
    }

    /// The id as it is shown: its first eight digits.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..MIN_ID).unwrap_or(&self.id)
    }

    /// `true` if it lacks something that it should hold.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.tags.iter().any(|tag| tag == TAG_PARTIAL)
    }

    /// `true` if it was made right before its app was replaced: the state that somebody chose to
    /// leave. It is found by its id, and is the newest only where there is no other.
    #[must_use]
    pub fn is_safety(&self) -> bool {
        self.tags.iter().any(|tag| tag == TAG_SAFETY)
    }

    /// `true` if it is a definition alone, which nothing can be brought back from by itself: found by its id only.
    #[must_use]
    pub fn is_definition(&self) -> bool {
        AppIdentity::from_definition_paths(&self.paths).is_some()
    }

    /// What the point belongs to, for people: the app's identity, or host and paths.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.identity {
            Some(identity) => identity.to_string(),
            None => format!("{}:{}", self.hostname, self.paths.join(",")),
        }
    }

    fn line(&self) -> String {
        format!("{} ({} of {})", self.short_id(), self.subject(), self.time)
    }
}

/// A reference as typed, parts apart, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The site, if named.
    pub site: Option<String>,
    /// The host, if named.
    pub host: Option<String>,
    /// App name, id prefix or `latest`.
    pub name: String,
    /// Which point of the app, if named; else the newest complete one.
    pub point: Option<PointRef>,
}

/// Which point of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointRef {
    /// The newest, though it be incomplete.
    Latest,
    /// The one whose id begins so: at least eight hex digits, lower case.
    Id(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.site, &self.host].into_iter().flatten() {
            write!(f, "{part}/")?;
        }
        f.write_str(&self.name)?;
        match &self.point {
            None => Ok(()),
            Some(PointRef::Latest) => f.write_str("@latest"),
            Some(PointRef::Id(id)) => write!(f, "@{id}"),
        }
    }
}

/// Why a reference leads nowhere, or to more than one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not of the form.
    #[error(
        "`{reference}` is no reference: write `[[SITE/]HOST/]APP[@POINT]`, an id of at least 8 digits, or `latest`"
    )]
    Syntax {
        /// What was typed.
        reference: String,
    },
    /// The point part is neither `latest` nor an id.
    #[error(
        "`{point}` in `{reference}` names no point: write `latest`, or at least 8 hex digits of an id that `lifeboat points` shows"
    )]
    Point {
        /// What was typed.
        reference: String,
        /// The part behind the `@`.
        point: String,
    },
    /// Hex digits, but too few to be an id, and no app of that name.
    #[error("`{reference}` is no app here and too short for an id: give at least 8 digits of it")]
    ShortId {
        /// What was typed.
        reference: String,
    },
    /// There is nothing in the vault.
    #[error("the vault holds no recovery point yet: make one with `lifeboat backup`")]
    Empty,
    /// Nothing fits.
    #[error(
        "no recovery point of `{reference}` in the vault{}; `lifeboat points` lists what there is",
        suggest::sentence(suggestions)
    )]
    NotFound {
        /// What was typed.
        reference: String,
        /// Names that are near.
        suggestions: Vec<String>,
    },
    /// The app is there, the point is not.
    #[error("`{app}` has no point whose id begins with `{id}`; `lifeboat points {app}` lists them")]
    NoSuchPoint {
        /// The app.
        app: String,
        /// The id prefix.
        id: String,
    },
    /// More than one fits.
    #[error(
        "`{reference}` fits more than one: {}; name one of them",
        list(candidates)
    )]
    Ambiguous {
        /// What was typed.
        reference: String,
        /// What fits: references of apps, or points.
        candidates: Vec<String>,
    },
}

impl ReferenceError {
    /// `true` if what was typed could never lead anywhere (a usage error).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Syntax { .. } | Self::Point { .. })
    }
}

fn list(candidates: &[String]) -> String {
    let mut text = candidates
        .iter()
        .take(MOST_LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if candidates.len() > MOST_LISTED {
        text.push_str(&format!(" and {} more", candidates.len() - MOST_LISTED));
    }
    text
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let syntax = || ReferenceError::Syntax {
            reference: text.to_owned(),
        };
        let (app, point) = match text.rsplit_once('@') {
            None => (text, None),
            Some((app, point)) => (app, Some(parse_point(text, point)?)),
        };
        let mut parts: Vec<&str> = app.split('/').collect();
        if parts.len() > 3
            || parts.iter().any(|p| p.is_empty() || p.contains('@'))
            || text.contains(char::is_control)
        {
            return Err(syntax());
        }
        let name = parts.pop().ok_or_else(syntax)?.to_owned();
        let host = parts.pop().map(str::to_owned);
        let site = parts.pop().map(str::to_owned);
        Ok(Self {
            site,
            host,
            name,
            point,
        })
    }
}

fn parse_point(reference: &str, point: &str) -> Result<PointRef, ReferenceError> {
    if point == "latest" {
        return Ok(PointRef::Latest);
    }
    if is_hex(point) && point.len() >= MIN_ID {
        return Ok(PointRef::Id(point.to_ascii_lowercase()));
    }
    Err(ReferenceError::Point {
        reference: reference.to_owned(),
        point: point.to_owned(),
    })
}

/// Finds the one recovery point that `reference` means.
///
/// # Errors
/// [`ReferenceError`] if it means none, or more than one.
pub fn resolve<'a>(
    reference: &Reference,
    points: &'a [PointSummary],
) -> Result<&'a PointSummary, ReferenceError> {
    if points.is_empty() {
        return Err(ReferenceError::Empty);
    }
    let apps = matching_apps(reference, points);
    match apps.len() {
        0 => by_id_or_latest(reference, points),
        1 => of_app(reference, points, &apps),
        _ => {
            let ambiguous = |candidates| ReferenceError::Ambiguous {
                reference: reference.to_string(),
                candidates,
            };
            // An id names one point even where the app's name is of several hosts.
            if matches!(reference.point, Some(PointRef::Id(_))) {
                return of_app(reference, points, &apps);
            }
            Err(ambiguous(apps.iter().map(ToString::to_string).collect()))
        }
    }
}

/// Parses and resolves in one go.
///
/// # Errors
/// See [`resolve`].
pub fn find<'a>(
    text: &str,
    points: &'a [PointSummary],
) -> Result<&'a PointSummary, ReferenceError> {
    resolve(&text.parse()?, points)
}

/// Where `reference` is an app alone and `taken` what it leads to: the app's newest point if that is incomplete. It is
/// another one than `taken`, or the same where no point of the app is complete.
#[must_use]
pub fn newest_incomplete<'a>(
    reference: &Reference,
    taken: &PointSummary,
    points: &'a [PointSummary],
) -> Option<&'a PointSummary> {
    if reference.point.is_some() {
        return None;
    }
    let of_it = points_of(reference, points);
    // An id alone looks like a name.
    of_it.iter().find(|point| point.id == taken.id)?;
    of_it.first().copied().filter(|point| point.is_partial())
}

/// All points of the apps that `reference` names (its `@POINT` aside), newest first.
#[must_use]
pub fn points_of<'a>(reference: &Reference, points: &'a [PointSummary]) -> Vec<&'a PointSummary> {
    let apps = matching_apps(reference, points);
    let mut found: Vec<&PointSummary> = points
        .iter()
        .filter(|p| p.identity.as_ref().is_some_and(|i| apps.contains(i)))
        .collect();
    found.sort_by(|a, b| newest_last(b, a));
    found
}

fn matching_apps(reference: &Reference, points: &[PointSummary]) -> BTreeSet<AppIdentity> {
    let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
    points
        .iter()
        .filter_map(|p| p.identity.as_ref())
        .filter(|i| {
            i.name.as_str() == reference.name
                && fits(&reference.host, i.host.as_str())
                && fits(&reference.site, i.site.as_str())
        })
        .cloned()
        .collect()
}

/// Safety points first, then by time; the id breaks ties, so that two runs agree.
fn newest_last(a: &PointSummary, b: &PointSummary) -> std::cmp::Ordering {
    (!a.is_safety(), a.time, &a.id).cmp(&(!b.is_safety(), b.time, &b.id))
}

/// Safety points first, then incomplete ones, then by time.
fn preferred_last(a: &PointSummary, b: &PointSummary) -> std::cmp::Ordering {
    let worth = |p: &PointSummary| (!p.is_safety(), !p.is_partial());
    worth(a).cmp(&worth(b)).then_with(|| newest_last(a, b))
}

fn of_app<'a>(
    reference: &Reference,
    points: &'a [PointSummary],
    apps: &BTreeSet<AppIdentity>,
) -> Result<&'a PointSummary, ReferenceError> {
    let mine = points
        .iter()
        .filter(|p| p.identity.as_ref().is_some_and(|i| apps.contains(i)));
    let not_found = || ReferenceError::NotFound {
        reference: reference.to_string(),
        suggestions: Vec::new(),
    };
    match &reference.point {
        None => mine
            .max_by(|a, b| preferred_last(a, b))
            .ok_or_else(not_found),
        Some(PointRef::Latest) => mine.max_by(|a, b| newest_last(a, b)).ok_or_else(not_found),
        Some(PointRef::Id(id)) => {
            let fitting: Vec<&PointSummary> =
                mine.filter(|p| p.id.starts_with(id.as_str())).collect();
            only_one(reference, fitting)?.ok_or_else(|| ReferenceError::NoSuchPoint {
                app: Reference {
                    point: None,
                    ..reference.clone()
                }
                .to_string(),
                id: id.clone(),
            })
        }
    }
}

fn only_one<'a>(
    reference: &Reference,
    fitting: Vec<&'a PointSummary>,
) -> Result<Option<&'a PointSummary>, ReferenceError> {
    match fitting.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        many => Err(ReferenceError::Ambiguous {
            reference: reference.to_string(),
            candidates: many.iter().map(|p| p.line()).collect(),
        }),
    }
}

fn by_id_or_latest<'a>(
    reference: &Reference,
    points: &'a [PointSummary],
) -> Result<&'a PointSummary, ReferenceError> {
    let bare = reference.site.is_none() && reference.host.is_none() && reference.point.is_none();
    let name = reference.name.as_str();
    if bare && name == "latest" {
        return latest(reference, points);
    }
    if bare && is_hex(name) {
        if name.len() < MIN_ID {
            let suggestions = near(reference, points);
            if suggestions.is_empty() {
                return Err(ReferenceError::ShortId {
                    reference: reference.to_string(),
                });
            }
            return Err(ReferenceError::NotFound {
                reference: reference.to_string(),
                suggestions,
            });
        }
        let wanted = name.to_ascii_lowercase();
        let fitting: Vec<&PointSummary> = points
            .iter()
            .filter(|p| p.id.starts_with(&wanted))
            .collect();
        if let Some(point) = only_one(reference, fitting)? {
            return Ok(point);
        }
    }
    Err(ReferenceError::NotFound {
        reference: reference.to_string(),
        suggestions: near(reference, points),
    })
}

/// The newest of all, as long as all belong to one app, or none to any.
fn latest<'a>(
    reference: &Reference,
    points: &'a [PointSummary],
) -> Result<&'a PointSummary, ReferenceError> {
    let points = || points.iter().filter(|p| !p.is_definition());
    let apps: BTreeSet<Option<&AppIdentity>> = points().map(|p| p.identity.as_ref()).collect();
    if apps.len() > 1 {
        let candidates = apps
            .iter()
            .map(|app| {
                app.map_or_else(|| "plain snapshots (by id)".to_owned(), ToString::to_string)
            })
            .collect();
        return Err(ReferenceError::Ambiguous {
            reference: reference.to_string(),
            candidates,
        });
    }
    points()
        .max_by(|a, b| newest_last(a, b))
        .ok_or(ReferenceError::Empty)
}

fn near(reference: &Reference, points: &[PointSummary]) -> Vec<String> {
    let apps: BTreeSet<&AppIdentity> = points.iter().filter_map(|p| p.identity.as_ref()).collect();
    // The right app under another host or site is the nearest there is.
    let elsewhere: Vec<String> = apps
        .iter()
        .filter(|i| i.name.as_str() == reference.name)
        .map(ToString::to_string)
        .take(suggest::MOST)
        .collect();
    if !elsewhere.is_empty() {
        return elsewhere;
    }
    suggest::suggest(&reference.name, apps.iter().map(|i| i.name.as_str()))
}

#[cfg(test)]
mod tests;
