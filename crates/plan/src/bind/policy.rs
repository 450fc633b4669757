//! The bound above which a bind is not taken without a decision.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::app::{AppBind, BindClass};
use crate::path;

/// The bound where the vault's free space is not known, and never more: 10 GB.
pub const MAX_DEFAULT: u64 = 10_000_000_000;
/// The reason of [`Decision::LeftOut`] where a person said `--exclude-bind`.
pub const EXCLUDED_BY_HAND: &str = "excluded by hand";

/// What may be captured without asking, and what somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindPolicy {
    /// The most bytes of one bind source that are taken without a decision.
    pub max_bytes: u64,
    /// Sources (or paths above them) that are taken whatever their size; system paths never.
    pub include: BTreeSet<String>,
    /// Sources (or paths above them) that are left out.
    pub exclude: BTreeSet<String>,
}

impl Default for BindPolicy {
    fn default() -> Self {
        Self {
            max_bytes: MAX_DEFAULT,
            include: BTreeSet::new(),
            exclude: BTreeSet::new(),
        }
    }
}

impl BindPolicy {
    /// The bound of 10 GB, or a tenth of the vault's free space where that is less.
    #[must_use]
    pub fn for_free_space(free: Option<u64>) -> Self {
        Self {
            max_bytes: free.map_or(MAX_DEFAULT, |free| (free / 10).min(MAX_DEFAULT)),
            ..Self::default()
        }
    }
}

/// How big a bind source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindSize {
    /// So many bytes, counted to the end.
    Exactly(u64),
    /// Counting was given up here: at least so many.
    AtLeast(u64),
    /// It could not be counted.
    Unknown,
}

/// What becomes of a bind source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Its data is captured.
    Captured,
    /// Its data is captured within another path.
    Within {
        /// That path.
        path: String,
    },
    /// Its data is left out.
    LeftOut {
        /// Why, one clause.
        reason: String,
        /// Somebody decided so; `false`: listed as unprotected, exit 3.
        decided: bool,
    },
    /// The host's own: recorded, never captured.
    SystemPath {
        /// What it is.
        what: String,
    },
}

impl Decision {
    /// `true` if its data will be in the point.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        matches!(self, Self::Captured | Self::Within { .. })
    }
}

/// Decides about every bind of an app, in the order given.
///
/// `size` is asked only for what a bound applies to. `captured` are clean paths that are captured
/// anyway (the mountpoints of captured volumes; not the project folder, which leaves its binds to
/// this decision): what lies in one is not captured twice. A source in another source follows the outer one, unless that is left
/// out; then it is decided by itself.
pub fn decide(
    binds: &[AppBind],
    policy: &BindPolicy,
    captured: &[String],
    mut size: impl FnMut(&str) -> BindSize,
) -> Vec<Decision> {
    // Outer sources first, so that an inner one knows what became of the outer.
    let mut order: Vec<usize> = (0..binds.len()).collect();
    order.sort_by(|a, b| {
        (binds[*a].source.len(), &binds[*a].source)
            .cmp(&(binds[*b].source.len(), &binds[*b].source))
    });
    let mut taken: Vec<String> = captured.to_vec();
    let mut decisions: Vec<Option<Decision>> = vec![None; binds.len()];
    for at in order {
        let bind = &binds[at];
        let decision = one(bind, policy, &taken, &mut size);
        if decision == Decision::Captured {
            taken.push(bind.source.clone());
        }
        decisions[at] = Some(decision);
    }
    decisions.into_iter().flatten().collect()
}

fn one(
    bind: &AppBind,
    policy: &BindPolicy,
    taken: &[String],
    size: &mut impl FnMut(&str) -> BindSize,
) -> Decision {
    let source = bind.source.as_str();
    if let BindClass::System { what } = &bind.class {
        return Decision::SystemPath { what: what.clone() };
    }
    // The most specific of what somebody said counts; on a tie leaving out is the safer wish to honour.
    let longest = |set: &BTreeSet<String>| {
        set.iter()
            .filter_map(|p| path::clean(p))
            .filter(|p| path::is_within(source, p))
            .map(|p| p.len())
            .max()
    };
    let (include, exclude) = (longest(&policy.include), longest(&policy.exclude));
    if exclude.is_some() && exclude >= include {
        return Decision::LeftOut {
            reason: EXCLUDED_BY_HAND.to_owned(),
            decided: true,
        };
    }
    if let Some(outer) = taken.iter().find(|outer| path::is_within(source, outer)) {
        return Decision::Within {
            path: outer.clone(),
        };
    }
    if include.is_some() {
        return Decision::Captured;
    }
    let bound = policy.max_bytes;
    let left_out = |reason: String| Decision::LeftOut {
        reason,
        decided: false,
    };
    match size(source) {
        BindSize::Exactly(bytes) if bytes <= bound => Decision::Captured,
        BindSize::Exactly(bytes) => left_out(format!(
            "{} is more than the {} that are taken without a decision: say `--include-bind {source}` or `--exclude-bind {source}`",
            bytes_text(bytes),
            bytes_text(bound)
        )),
        BindSize::AtLeast(bytes) if bytes <= bound => left_out(format!(
            "its size could not be counted to the end: say `--include-bind {source}` or `--exclude-bind {source}`"
        )),
        BindSize::AtLeast(_) => left_out(format!(
            "more than the {} that are taken without a decision: say `--include-bind {source}` or `--exclude-bind {source}`",
            bytes_text(bound)
        )),
        BindSize::Unknown => left_out("its size could not be read".to_owned()),
    }
}

/// Bytes for people, in powers of ten.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    for (unit, one) in UNITS {
        if bytes >= one {
            return format!("{}.{} {unit}", bytes / one, (bytes % one) * 10 / one);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str) -> AppBind {
        AppBind {
            source: source.into(),
            class: crate::bind::classify(source, None, "/var/lib/docker"),
            nested_in: None,
            shared_with: Vec::new(),
            uses: Vec::new(),
        }
    }

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn the_bound_follows_the_free_space() {
        assert_eq!(BindPolicy::for_free_space(None).max_bytes, MAX_DEFAULT);
        assert_eq!(
            BindPolicy::for_free_space(Some(1_000_000_000)).max_bytes,
            100_000_000
        );
        assert_eq!(
            BindPolicy::for_free_space(Some(u64::MAX)).max_bytes,
            MAX_DEFAULT
        );
    }

    #[test]
    fn big_binds_wait_for_a_decision() {
        let binds = [
            bind("/srv/small"),
            bind("/srv/films"),
            bind("/proc"),
            bind("/srv/huge"),
            bind("/srv/odd"),
        ];
        let size = |p: &str| match p {
            "/srv/small" => BindSize::Exactly(10_000_000_000),
            "/srv/films" => BindSize::Exactly(10_000_000_001),
            "/srv/huge" => BindSize::AtLeast(20_000_000_000),
            _ => BindSize::Unknown,
        };
        let found = decide(&binds, &BindPolicy::default(), &[], size);
        assert_eq!(found[0], Decision::Captured);
        let Decision::LeftOut {
            reason,
            decided: false,
        } = &found[1]
        else {
            panic!("{:?}", found[1])
        };
        assert!(
            reason.contains("10.0 GB") && reason.contains("--include-bind /srv/films"),
            "{reason}"
        );
        assert!(matches!(found[2], Decision::SystemPath { .. }));
        assert!(matches!(found[3], Decision::LeftOut { decided: false, .. }));
        assert!(matches!(found[4], Decision::LeftOut { decided: false, .. }));
    }

    #[test]
    fn what_somebody_decided_counts_but_for_system_paths() {
        let binds = [bind("/srv/films"), bind("/srv/small"), bind("/proc")];
        let policy = BindPolicy {
            include: set(&["/srv/films/", "/proc"]),
            exclude: set(&["/srv/small"]),
            ..BindPolicy::default()
        };
        let found = decide(&binds, &policy, &[], |_| BindSize::AtLeast(u64::MAX));
        assert_eq!(found[0], Decision::Captured);
        assert!(matches!(found[1], Decision::LeftOut { decided: true, .. }));
        assert!(matches!(found[2], Decision::SystemPath { .. }));
    }

    #[test]
    fn the_more_specific_wish_wins() {
        let binds = [bind("/srv/a"), bind("/srv/b")];
        let policy = BindPolicy {
            include: set(&["/srv/a"]),
            exclude: set(&["/srv"]),
            ..BindPolicy::default()
        };
        let found = decide(&binds, &policy, &[], |_| BindSize::Exactly(1));
        assert_eq!(found[0], Decision::Captured);
        assert!(matches!(found[1], Decision::LeftOut { decided: true, .. }));
    }

    #[test]
    fn nested_sources_are_captured_once() {
        let binds = [bind("/srv/a/b"), bind("/srv/a"), bind("/srv/shop/html")];
        let found = decide(
            &binds,
            &BindPolicy::default(),
            &["/srv/shop".into()],
            |_| BindSize::Exactly(1),
        );
        assert_eq!(
            found[0],
            Decision::Within {
                path: "/srv/a".into()
            }
        );
        assert_eq!(found[1], Decision::Captured);
        assert_eq!(
            found[2],
            Decision::Within {
                path: "/srv/shop".into()
            }
        );
    }

    #[test]
    fn the_inner_is_captured_where_the_outer_is_left_out() {
        let binds = [bind("/srv"), bind("/srv/config")];
        let size = |p: &str| BindSize::Exactly(if p == "/srv" { u64::MAX } else { 1 });
        let found = decide(&binds, &BindPolicy::default(), &[], size);
        assert!(matches!(found[0], Decision::LeftOut { .. }));
        assert_eq!(found[1], Decision::Captured);
    }
}
