//! Policies with care: see the [module](super) for what is kept beside what the rules keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::{Kept, Moment, Policy, Rule, policy};
use crate::identity::AppIdentity;

/// A point's own time may be so far ahead of the store's: clocks differ, and an hour is a usual mistake.
const AHEAD: SignedDuration = SignedDuration::from_hours(2);
/// A point is stored so long after its capture began, at most.
const LATE: SignedDuration = SignedDuration::from_hours(24);
/// An app whose newest point is older than those of others by less than this is never gone.
const GONE_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Else it is gone when it missed so many of its usual intervals.
const INTERVALS: i32 = 3;
/// Its usual interval is the middle one of its last ones.
const LOOKED_AT: usize = 11;

/// A recovery point, or a plain snapshot.
#[derive(Debug, Clone)]
pub struct Point {
    /// Snapshot id, 64 hex digits.
    pub id: String,
    /// When its capture began, as it says itself. `None`: it cannot be read.
    pub moment: Option<Moment>,
    /// When the store got it, by the store's clock, where that is known.
    pub stored: Option<Timestamp>,
    /// Host name.
    pub host: String,
    /// Paths.
    pub paths: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// It lacks something.
    pub partial: bool,
    /// Why no command forgets it.
    pub protected: Option<String>,
}

impl Point {
    /// The app that it is of, or the host and the paths.
    #[must_use]
    pub fn line(&self) -> String {
        match AppIdentity::from_snapshot_paths(&self.paths) {
            Some(app) => app.to_string(),
            None => format!("{}:{}", self.host, self.paths.join(",")),
        }
    }

    fn is_app(&self) -> bool {
        AppIdentity::from_snapshot_paths(&self.paths).is_some()
    }

    /// Whether it is a definition alone, and no point.
    #[must_use]
    pub fn is_definition(&self) -> bool {
        AppIdentity::from_definition_paths(&self.paths).is_some()
    }
}

/// What points have in common that compete for the same places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The app; host and paths where there is none.
    pub app: bool,
    /// The host.
    pub host: bool,
    /// The paths.
    pub paths: bool,
    /// The tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self {
            app: true,
            host: false,
            paths: false,
            tags: false,
        }
    }
}

impl FromStr for GroupBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut by = Self {
            app: false,
            host: false,
            paths: false,
            tags: false,
        };
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                "app" | "apps" => by.app = true,
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                _ => {
                    return Err(format!(
                        "`{word}` is nothing to group by: app, host, paths, tags"
                    ));
                }
            }
        }
        Ok(by)
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.app, "app"),
            (self.host, "host"),
            (self.paths, "paths"),
            (self.tags, "tags"),
        ];
        let words = words.into_iter().filter(|(by, _)| *by);
        let words: Vec<&str> = words.map(|(_, word)| word).collect();
        f.write_str(&words.join(","))
    }
}

impl GroupBy {
    fn key(self, point: &Point) -> Vec<String> {
        // Definitions compete with each other, whatever the points of their apps are grouped by.
        let mut key = vec![String::new(); 4];
        if point.is_definition() {
            key.push(point.paths.join("\0"));
        }
        if self.app {
            key[0] = point.line();
        }
        if self.host {
            key[1].clone_from(&point.host);
        }
        if self.paths {
            let paths: BTreeSet<&str> = point.paths.iter().map(String::as_str).collect();
            key[2] = paths.into_iter().collect::<Vec<_>>().join("\0");
        }
        if self.tags {
            let tags: BTreeSet<&str> = point.tags.iter().map(String::as_str).collect();
            key[3] = tags.into_iter().collect::<Vec<_>>().join("\0");
        }
        key
    }
}

/// How points are judged.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who competes with whom.
    pub group_by: GroupBy,
    /// Now.
    pub now: Timestamp,
    /// Believes a point's own time, whatever the store says.
    pub trust_times: bool,
    /// Judges apps that are gone as well.
    pub gone_too: bool,
}

/// Why a point stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// By a rule.
    Rule(Rule),
    /// Protected, and why.
    Protected(String),
    /// The newest complete one of its line.
    NewestComplete,
    /// Its app is gone; the time of its newest point, and of the newest of any other.
    Gone(Timestamp, Timestamp),
    /// It claims to be from later than the store got it, or from the future.
    Ahead,
    /// Its time cannot be read.
    NoTime,
    /// No policy is in force for it.
    NoPolicy,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Protected(why) => f.write_str(why),
            Self::NewestComplete => f.write_str("newest complete"),
            Self::Gone(newest, other) => {
                let day = |time: &Timestamp| time.strftime("%Y-%m-%d").to_string();
                let (newest, other) = (day(newest), day(other));
                write!(
                    f,
                    "the app is gone: its last is of {newest}, others go on until {other}"
                )
            }
            Self::Ahead => f.write_str("its time lies ahead of the store's clock"),
            Self::NoTime => f.write_str("its time cannot be read"),
            Self::NoPolicy => f.write_str("no policy for it"),
        }
    }
}

/// What becomes of a point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Why it stays; none: it may be forgotten.
    pub reasons: Vec<Reason>,
    /// It was stored much later than it says that it was made (copied, or a wrong clock): it competed only with others
    /// of its kind.
    pub late: bool,
}

impl Verdict {
    /// Whether it stays.
    #[must_use]
    pub fn stays(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// The verdicts, in the order of the points.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// One for each point.
    pub verdicts: Vec<Verdict>,
}

/// What a point's time is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    Plain,
    Late,
    Ahead,
}

fn trust(point: &Point, moment: &Moment, options: &Options) -> Trust {
    if options.trust_times {
        return Trust::Plain;
    }
    let bound = |time: Timestamp, by| time.checked_add(by).unwrap_or(Timestamp::MAX);
    let claimed = moment.instant;
    match point.stored {
        Some(stored) if claimed > bound(stored, AHEAD) => Trust::Ahead,
        Some(stored) if stored > bound(claimed, LATE) => Trust::Late,
        None if claimed > bound(options.now, AHEAD) => Trust::Ahead,
        _ => Trust::Plain,
    }
}

/// Judges points. `policy_of` says which policy is in force for a point; all of a group must have the same. A point that
/// has none stays and competes with nobody; but whether an app is gone, and which its newest complete point is, hangs on
/// all points of the vault, so all are to be given.
#[must_use]
pub fn judge<'p>(
    points: &[Point],
    policy_of: impl Fn(&Point) -> Option<&'p Policy>,
    options: &Options,
) -> Judged {
    let mut verdicts = vec![Verdict::default(); points.len()];
    let mut groups: BTreeMap<(Trust, Vec<String>), Vec<usize>> = BTreeMap::new();
    let mut lines: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, point) in points.iter().enumerate() {
        let verdict = &mut verdicts[place];
        if let Some(why) = &point.protected {
            verdict.reasons.push(Reason::Protected(why.clone()));
        }
        let Some(moment) = &point.moment else {
            verdict.reasons.push(Reason::NoTime);
            continue;
        };
        let trust = trust(point, moment, options);
        if trust == Trust::Ahead {
            verdict.reasons.push(Reason::Ahead);
            continue;
        }
        verdict.late = trust == Trust::Late;
        match policy_of(point).filter(|policy| !policy.is_empty()) {
            Some(_) => {
                let group = groups.entry((trust, options.group_by.key(point)));
                group.or_default().push(place);
            }
            None => verdict.reasons.push(Reason::NoPolicy),
        }
        lines.entry(point.line()).or_default().push(place);
    }
    for line in lines.values() {
        keep_newest_complete(points, line, &mut verdicts);
    }
    if !options.gone_too {
        keep_what_is_gone(points, &lines, &mut verdicts);
    }
    for mut group in groups.into_values() {
        group.sort_by(|a, b| newer(&points[*b], &points[*a]));
        if let Some(policy) = group.first().and_then(|first| policy_of(&points[*first])) {
            keep_by_policy(points, &group, policy, options.now, &mut verdicts);
        }
    }
    Judged { verdicts }
}

/// By time, then by id, so that the order is always the same.
fn newer(a: &Point, b: &Point) -> std::cmp::Ordering {
    let instant = |point: &Point| point.moment.map(|moment| moment.instant);
    instant(a).cmp(&instant(b)).then_with(|| a.id.cmp(&b.id))
}

/// Of those whose time is as it should be, if there is one.
fn keep_newest_complete(points: &[Point], line: &[usize], verdicts: &mut [Verdict]) {
    let complete = |late: bool| {
        let of_kind = line
            .iter()
            .copied()
            .filter(|place| verdicts[*place].late == late);
        of_kind
            .filter(|place| !points[*place].partial)
            .max_by(|a, b| newer(&points[*a], &points[*b]))
    };
    if let Some(newest) = complete(false).or_else(|| complete(true)) {
        verdicts[newest].reasons.push(Reason::NewestComplete);
    }
}

fn keep_what_is_gone(
    points: &[Point],
    lines: &BTreeMap<String, Vec<usize>>,
    verdicts: &mut [Verdict],
) {
    let apps = || lines.values().filter(|line| points[line[0]].is_app());
    let instants = |line: &[usize]| {
        let mut all: Vec<Timestamp> = line
            .iter()
            .filter_map(|place| points[*place].moment.map(|moment| moment.instant))
            .collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    };
    // What was copied says nothing of who is at work now.
    let at_work = |line: &&Vec<usize>| line.iter().any(|place| !verdicts[*place].late);
    let newest = apps()
        .filter(at_work)
        .filter_map(|line| instants(line).first().copied());
    let Some(newest) = newest.max() else {
        return;
    };
    let mut gone = Vec::new();
    for line in apps() {
        let instants = instants(line);
        let Some(last) = instants.first() else {
            continue;
        };
        if newest.duration_since(*last) > patience(&instants) {
            gone.push((line, *last));
        }
    }
    for (line, last) in gone {
        for place in line {
            verdicts[*place].reasons.push(Reason::Gone(last, newest));
        }
    }
}

/// How long an app may be without a new point before it is gone. Its times come newest first.
fn patience(instants: &[Timestamp]) -> SignedDuration {
    let mut intervals: Vec<SignedDuration> = instants
        .windows(2)
        .take(LOOKED_AT)
        .map(|pair| pair[0].duration_since(pair[1]))
        .collect();
    intervals.sort_unstable();
    let usual = intervals.get(intervals.len() / 2).copied();
    let usual = usual.unwrap_or_default().saturating_mul(INTERVALS);
    usual.max(GONE_AFTER)
}

/// What the policy keeps of the complete ones, and what it keeps of all: so no incomplete one takes a complete one's
/// place, and where there is nothing better it stays.
fn keep_by_policy(
    points: &[Point],
    group: &[usize],
    policy: &Policy,
    now: Timestamp,
    verdicts: &mut [Verdict],
) {
    let complete: Vec<usize> = group
        .iter()
        .copied()
        .filter(|place| !points[*place].partial)
        .collect();
    for members in [complete.as_slice(), group] {
        let looked_at: Vec<Kept<'_>> = members
            .iter()
            .filter_map(|place| {
                let point = &points[*place];
                let moment = point.moment?;
                let tags = &point.tags;
                Some(Kept { moment, tags })
            })
            .collect();
        let rules = policy::apply(policy, &looked_at, now);
        for (place, rules) in members.iter().zip(rules) {
            let reasons = &mut verdicts[*place].reasons;
            for rule in rules.into_iter().map(Reason::Rule) {
                if !reasons.contains(&rule) {
                    reasons.push(rule);
                }
            }
        }
        if complete.len() == group.len() {
            break;
        }
    }
}
