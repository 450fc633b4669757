//! How long restores took on this host, so that a plan can say how long one will take.
//!
//! `history.json` in the state directory: the last `MOST` whole runs. It can be lost, and what cannot be
//! read counts as lost: then there is no estimate, never an invented one. Large amounts are told by the
//! rate of large ones, small ones by small ones, a start by the starts of the same app.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    report::{RestorePlan, Restored, Segment, Way},
    step::{SEGMENTS, Step, StepState, Work},
};
use crate::{Context, Places};

/// Runs that are kept.
const MOST: usize = 50;
/// Runs that an estimate is made from, the last ones.
const LAST: usize = 10;
/// From here on it is the rate that counts, not what it takes to begin.
const LARGE: u64 = 8 << 20;
/// While these last, an app that is replaced is down.
const DOWN: [&str; 3] = ["stop", "exchange", "start"];

/// One amount, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Moved {
    bytes: u64,
    seconds: f64,
}

/// One restore that came to its end, complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Run {
    vault: String,
    app: String,
    way: Way,
    /// By segment, those that had something to do.
    segments: Vec<(String, Moved)>,
    /// Steps whose time does not go by size.
    steps: Vec<(Work, String, f64)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct History {
    runs: Vec<Run>,
}

/// How long a part of a restore will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The segment: `images`, `data`, `start` and so on.
    pub name: &'static str,
    /// Seconds; `None` where nothing like it was done here.
    pub seconds: Option<f64>,
    /// Bytes that it moves.
    pub bytes: u64,
    /// Runs that this is told from.
    pub runs: usize,
}

/// How long a restore will take, by what earlier ones took here.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Seconds; `None` where one part cannot be told.
    pub seconds: Option<f64>,
    /// How long an app that is replaced will be down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_seconds: Option<f64>,
    /// Parts.
    pub parts: Vec<Part>,
}

impl Estimate {
    /// The fewest runs that a part is told from.
    pub fn runs(&self) -> usize {
        let told = self
            .parts
            .iter()
            .filter(|p| p.seconds.is_some() && p.runs > 0);
        told.map(|p| p.runs).min().unwrap_or(0)
    }
}

impl RestorePlan {
    /// Says how long it and its steps will take.
    pub(super) fn estimated(mut self, ctx: &Context) -> Self {
        self.estimate = Some(estimate(ctx, &self.app, self.way, &mut self.steps));
        self
    }
}

/// Tells how long steps will take, in all and each by itself.
pub(super) fn estimate(ctx: &Context, app: &str, way: Way, steps: &mut [Step]) -> Estimate {
    load(&ctx.places).estimate(&vault(ctx), app, way, steps)
}

/// Remembers a run. One that went on after an interruption, or is incomplete, tells nothing.
pub(super) fn remember(ctx: &Context, plan: &RestorePlan, done: &Restored) {
    if !plan.continues && done.incomplete.is_empty() {
        remember_run(ctx, (&done.app, done.way), &done.steps, &done.segments);
    }
}

/// Remembers what came whole to its end, without an interruption.
pub(super) fn remember_run(
    ctx: &Context,
    (app, way): (&str, Way),
    steps: &[Step],
    measured: &[Segment],
) {
    let taken = |step: &&Step| step.state == StepState::Done;
    let mut segments = Vec::new();
    for name in SEGMENTS {
        let of = |s: &&Step| s.kind.segment() == name;
        if !steps.iter().filter(taken).any(|s| of(&s)) {
            continue;
        }
        let measured = measured.iter().filter(|s| s.name == name);
        let moved = Moved {
            bytes: bytes(steps.iter().filter(taken).filter(of)),
            seconds: measured.map(|s| s.seconds).sum(),
        };
        segments.push((name.to_owned(), moved));
    }
    let by_itself = steps.iter().filter(taken);
    let by_itself = by_itself.filter(|s| !goes_by_size(s.kind.segment()));
    let run = Run {
        vault: vault(ctx),
        app: app.to_owned(),
        way,
        segments,
        steps: by_itself
            .filter_map(|s| Some((s.kind, s.name.clone(), s.seconds?)))
            .collect(),
    };
    let mut history = load(&ctx.places);
    history.runs.push(run);
    let old = history.runs.len().saturating_sub(MOST);
    history.runs.drain(..old);
    let written = serde_json::to_vec(&history)
        .map_err(|e| e.to_string())
        .and_then(|text| {
            crate::setup::write_private(&path(&ctx.places), &text, true).map_err(|e| e.to_string())
        });
    if let Err(why) = written {
        tracing::warn!(%why, "how long this took is not remembered");
    }
}

fn goes_by_size(segment: &str) -> bool {
    matches!(
        segment,
        "images" | "data" | "files" | "read back" | "definition"
    )
}

fn bytes<'s>(steps: impl Iterator<Item = &'s Step>) -> u64 {
    steps.filter_map(|s| s.bytes).sum()
}

fn vault(ctx: &Context) -> String {
    ctx.vault.id().get(..8).unwrap_or_default().to_owned()
}

fn path(places: &Places) -> PathBuf {
    places.state.join("history.json")
}

fn load(places: &Places) -> History {
    let text = fs_err::read(path(places)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

impl Run {
    /// One part tells nothing of another one.
    fn is_like(&self, way: Way, steps: &[Step]) -> bool {
        let by_itself = steps.iter().filter(|s| s.state == StepState::Planned);
        let by_itself = by_itself.filter(|s| !goes_by_size(s.kind.segment()));
        let mut wanted: Vec<_> = by_itself.map(|s| (s.kind, s.name.as_str())).collect();
        let steps = self.steps.iter();
        let mut was: Vec<_> = steps
            .map(|(kind, name, _)| (*kind, name.as_str()))
            .collect();
        wanted.sort();
        was.sort();
        way != Way::Part || wanted == was
    }

    fn segment(&self, name: &str) -> Option<Moved> {
        let found = self.segments.iter().find(|(of, _)| of == name);
        found.map(|(_, moved)| *moved)
    }
}

impl History {
    fn estimate(&self, vault: &str, app: &str, way: Way, steps: &mut [Step]) -> Estimate {
        let newest_first = self.runs.iter().rev();
        let runs: Vec<&Run> = newest_first.filter(|r| r.vault == vault).collect();
        let own = |r: &&&Run| r.app == app && r.way == way && r.is_like(way, steps);
        let own: Vec<&Run> = runs.iter().filter(own).copied().collect();
        let mut parts = Vec::new();
        for name in SEGMENTS {
            let of = |s: &&mut Step| s.kind.segment() == name && s.state == StepState::Planned;
            let mut steps: Vec<&mut Step> = steps.iter_mut().filter(of).collect();
            if steps.is_empty() {
                continue;
            }
            let bytes = bytes(steps.iter().map(|s| &**s));
            let (seconds, runs) = if goes_by_size(name) {
                let samples = runs.iter().filter_map(|r| r.segment(name));
                amount(bytes, &samples.collect::<Vec<_>>())
            } else {
                let took = own.iter().filter_map(|r| Some(r.segment(name)?.seconds));
                let took: Vec<f64> = took.take(LAST).collect();
                (median(&took), took.len())
            };
            if let Some(seconds) = seconds {
                spread(seconds, bytes, &mut steps, &own);
            }
            parts.push(Part {
                name,
                seconds,
                bytes,
                runs,
            });
        }
        let down = |p: &&Part| DOWN.contains(&p.name);
        let downtime: Option<f64> = parts.iter().filter(down).map(|p| p.seconds).sum();
        Estimate {
            seconds: parts.iter().map(|p| p.seconds).sum(),
            downtime_seconds: downtime.filter(|_| way == Way::Replace),
            parts,
        }
    }
}

/// What a segment takes, told of its steps: by size, or as each took before; equal shares where that
/// is not known of all of them.
fn spread(seconds: f64, bytes: u64, steps: &mut [&mut Step], own: &[&Run]) {
    if bytes > 0 {
        for step in steps {
            let share = step.bytes.map(|b| seconds * b as f64 / bytes as f64);
            step.expected_seconds = share;
        }
        return;
    }
    let took = |step: &Step| {
        let steps = own.iter().flat_map(|run| &run.steps);
        let same = steps.filter(|(kind, name, _)| *kind == step.kind && *name == step.name);
        let same: Vec<f64> = same.map(|(.., seconds)| *seconds).take(LAST).collect();
        median(&same)
    };
    let share = seconds / steps.len() as f64;
    let known: Option<Vec<f64>> = steps.iter().map(|step| took(step)).collect();
    for (at, step) in steps.iter_mut().enumerate() {
        step.expected_seconds = Some(known.as_ref().map_or(share, |known| known[at]));
    }
}

/// How long an amount takes, and from how many runs that is told. `samples` are the newest first.
fn amount(bytes: u64, samples: &[Moved]) -> (Option<f64>, usize) {
    if bytes == 0 {
        return (Some(0.0), 0);
    }
    let of = |large: bool| -> Vec<Moved> {
        let fitting = samples.iter().filter(|m| m.bytes > 0);
        let fitting = fitting.filter(|m| (m.bytes >= LARGE) == large);
        fitting.take(LAST).copied().collect()
    };
    let small = of(false);
    if bytes < LARGE && !small.is_empty() {
        let seconds: Vec<f64> = small.iter().map(|m| m.seconds).collect();
        return (median(&seconds), small.len());
    }
    let large = of(true);
    let all: u64 = large.iter().map(|m| m.bytes).sum();
    let seconds: f64 = large.iter().map(|m| m.seconds).sum();
    if all == 0 {
        return (None, 0);
    }
    (Some(bytes as f64 * seconds / all as f64), large.len())
}

fn median(seconds: &[f64]) -> Option<f64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::SnapshotId;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(app: &str, images: (u64, f64), data: (u64, f64), start: f64) -> Run {
        let moved = |name: &str, (bytes, seconds)| (name.to_owned(), Moved { bytes, seconds });
        Run {
            vault: "v".to_owned(),
            app: app.to_owned(),
            way: Way::New,
            segments: vec![
                moved("images", images),
                moved("data", data),
                moved("start", (0, start)),
            ],
            steps: vec![
                (Work::Start, "db".to_owned(), start * 0.75),
                (Work::Start, "web".to_owned(), start * 0.25),
            ],
        }
    }

    fn plan(images: u64, data: u64) -> RestorePlan {
        RestorePlan {
            app: "shop".to_owned(),
            way: Way::New,
            id: SnapshotId([1; 32]),
            time: String::new(),
            steps: vec![
                Step::new(Work::Image, "old", "is there").bytes(MIB).there(),
                Step::new(Work::Image, "new", "load").bytes(images),
                Step::new(Work::Network, "net", "create"),
                Step::new(Work::Volume, "one", "fill").bytes(data / 4),
                Step::new(Work::Bind, "/two", "fill").bytes(data / 4 * 3),
                Step::new(Work::Start, "db", "start"),
                Step::new(Work::Start, "web", "start"),
            ],
            obstacles: Vec::new(),
            warnings: Vec::new(),
            mappings: Vec::new(),
            continues: false,
            estimate: None,
        }
    }

    fn told_of(history: &History, plan: &mut RestorePlan) -> Estimate {
        history.estimate("v", &plan.app, plan.way, &mut plan.steps)
    }

    fn told(history: &History, images: u64, data: u64) -> (Estimate, Vec<Option<f64>>) {
        let mut plan = plan(images, data);
        let estimate = told_of(history, &mut plan);
        let steps = plan.steps.iter().map(|s| s.expected_seconds).collect();
        (estimate, steps)
    }

    #[test]
    fn nothing_is_invented() {
        let mut history = History::default();
        let (estimate, steps) = told(&history, 100 * MIB, 100 * MIB);
        assert_eq!(estimate.seconds, None);
        assert_eq!(estimate.runs(), 0);
        assert_eq!(steps, [None; 7]);
        // Another app's start tells nothing of this one's, another vault's rate neither, nor a start of
        // another kind; a small amount tells nothing of a large one.
        history.runs = vec![
            run("other", (100 * MIB, 10.0), (MIB, 0.5), 3.0),
            Run {
                vault: "w".to_owned(),
                ..run("shop", (100 * MIB, 1.0), (100 * MIB, 1.0), 1.0)
            },
            Run {
                way: Way::Replace,
                segments: Vec::new(),
                ..run("shop", (0, 0.0), (0, 0.0), 2.0)
            },
        ];
        let (estimate, steps) = told(&history, 50 * MIB, 100 * MIB);
        let seconds: Vec<Option<f64>> = estimate.parts.iter().map(|p| p.seconds).collect();
        assert_eq!(seconds, [Some(5.0), None, None]);
        assert_eq!(estimate.seconds, None);
        assert_eq!(steps, [None, Some(5.0), None, None, None, None, None]);
    }

    #[test]
    fn what_was_measured_is_told_with_its_runs() {
        let history = History {
            runs: vec![
                run("shop", (0, 0.1), (100 * MIB, 2.0), 4.0),
                run("shop", (100 * MIB, 10.0), (300 * MIB, 6.0), 9.0),
                run("shop", (0, 0.1), (MIB, 0.2), 5.0),
            ],
        };
        let (estimate, steps) = told(&history, 200 * MIB, 200 * MIB);
        assert_eq!(estimate.seconds, Some(20.0 + 4.0 + 5.0));
        assert_eq!(estimate.downtime_seconds, None);
        assert_eq!(estimate.runs(), 1);
        let some = [20.0, 1.0, 3.0, 3.75, 1.25].map(Some);
        assert_eq!(
            steps,
            [None, some[0], None, some[1], some[2], some[3], some[4]]
        );
        let (estimate, _) = told(&history, 0, 2 * MIB);
        assert_eq!(estimate.seconds, Some(0.2 + 5.0));
    }

    #[test]
    fn a_replacement_says_how_long_the_app_will_be_down_and_a_part_how_long_that_part_takes() {
        let mut all = run("shop", (0, 0.0), (0, 0.0), 4.0);
        all.way = Way::Replace;
        for (name, seconds) in [("stop", 1.0), ("exchange", 0.5), ("validate", 2.0)] {
            let moved = Moved { bytes: 0, seconds };
            all.segments.push((name.to_owned(), moved));
        }
        let mut plan = plan(0, 0);
        plan.way = Way::Replace;
        plan.steps.push(Step::new(Work::Stop, "web", "stop"));
        plan.steps.push(Step::new(Work::Exchange, "one", "change"));
        plan.steps.push(Step::new(Work::Probe, "web", "wait"));
        let history = History {
            runs: vec![all.clone()],
        };
        let told = told_of(&history, &mut plan);
        assert_eq!(told.downtime_seconds, Some(5.5));
        assert_eq!(told.seconds, Some(7.5));
        // Of a part the same part tells, and no other one.
        plan.way = Way::Part;
        all.way = Way::Part;
        let other = History {
            runs: vec![all.clone()],
        };
        assert_eq!(told_of(&other, &mut plan).seconds, None);
        all.steps = plan.steps[5..]
            .iter()
            .map(|s| (s.kind, s.name.clone(), 1.0))
            .collect();
        let same = History { runs: vec![all] };
        assert_eq!(told_of(&same, &mut plan).seconds, Some(7.5));
    }
}
