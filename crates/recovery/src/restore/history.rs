//! How long restores took on this host, so that a plan can say how long one will take.
//!
//! `history.json` in the state directory: the last `MOST` whole runs. It can be lost, and what cannot be
//! read counts as lost: then there is no estimate, never an invented one. Large amounts are told by the
//! rate of large ones, small ones by small ones, a start by the starts of the same app.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::report::{RestorePlan, Restored};
use crate::{Context, Places};

/// Runs that are kept.
const MOST: usize = 50;
/// Runs that an estimate is made from, the last ones.
const LAST: usize = 10;
/// From here on it is the rate that counts, not what it takes to begin.
const LARGE: u64 = 8 << 20;

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
    images: Moved,
    data: Moved,
    /// From the first container made to the last one up.
    start: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct History {
    runs: Vec<Run>,
}

/// How long a part of a restore will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `images`, `data`, `start`.
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
    /// Says how long its steps will take.
    pub(super) fn estimated(mut self, ctx: &Context) -> Self {
        let (images, data) = amounts(&self);
        let history = load(&ctx.places);
        self.estimate = Some(history.estimate(&vault(ctx), &self.app, images, data));
        self
    }
}

/// Remembers a run. One that went on after an interruption, or is incomplete, tells nothing.
pub(super) fn remember(ctx: &Context, plan: &RestorePlan, done: &Restored) {
    if plan.continues || !done.incomplete.is_empty() {
        return;
    }
    let (images, _) = amounts(plan);
    let took = |names: &[&str]| -> f64 {
        let all = done
            .segments
            .iter()
            .filter(|s| names.contains(&s.name.as_str()));
        all.map(|s| s.seconds).sum()
    };
    let run = Run {
        vault: vault(ctx),
        app: done.app.clone(),
        images: Moved {
            bytes: images,
            seconds: took(&["images"]),
        },
        data: Moved {
            bytes: done.bytes,
            seconds: took(&["data"]),
        },
        start: took(&["containers", "start", "validate"]),
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

/// Bytes of images to load, and of data to write.
fn amounts(plan: &RestorePlan) -> (u64, u64) {
    let sum = |kinds: &[&str]| {
        let steps = plan.steps.iter();
        steps
            .filter(|s| kinds.contains(&s.kind.as_str()) && s.action != "is there already")
            .filter_map(|s| s.bytes)
            .sum()
    };
    (sum(&["image"]), sum(&["volume", "bind"]))
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

impl History {
    fn estimate(&self, vault: &str, app: &str, images: u64, data: u64) -> Estimate {
        let runs: Vec<&Run> = self
            .runs
            .iter()
            .rev()
            .filter(|r| r.vault == vault)
            .collect();
        let moved = |name, bytes, pick: fn(&Run) -> Moved| {
            let samples: Vec<Moved> = runs.iter().map(|r| pick(r)).collect();
            let (seconds, runs) = amount(bytes, &samples);
            Part {
                name,
                seconds,
                bytes,
                runs,
            }
        };
        let starts = runs.iter().filter(|r| r.app == app).map(|r| r.start);
        let starts: Vec<f64> = starts.take(LAST).collect();
        let parts = vec![
            moved("images", images, |r| r.images),
            moved("data", data, |r| r.data),
            Part {
                name: "start",
                seconds: median(&starts),
                bytes: 0,
                runs: starts.len(),
            },
        ];
        Estimate {
            seconds: parts.iter().map(|p| p.seconds).sum(),
            parts,
        }
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
    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(app: &str, images: (u64, f64), data: (u64, f64), start: f64) -> Run {
        let moved = |(bytes, seconds)| Moved { bytes, seconds };
        Run {
            vault: "v".to_owned(),
            app: app.to_owned(),
            images: moved(images),
            data: moved(data),
            start,
        }
    }

    #[test]
    fn nothing_is_invented() {
        let mut history = History::default();
        let told = history.estimate("v", "shop", 100 * MIB, 100 * MIB);
        assert_eq!(told.seconds, None);
        assert_eq!(told.runs(), 0);
        // Another app's start tells nothing of this one's, another vault's rate neither; a small amount
        // tells nothing of a large one.
        history.runs = vec![
            run("other", (100 * MIB, 10.0), (MIB, 0.5), 3.0),
            Run {
                vault: "w".to_owned(),
                ..run("shop", (100 * MIB, 1.0), (100 * MIB, 1.0), 1.0)
            },
        ];
        let told = history.estimate("v", "shop", 50 * MIB, 100 * MIB);
        let seconds: Vec<Option<f64>> = told.parts.iter().map(|p| p.seconds).collect();
        assert_eq!(seconds, [Some(5.0), None, None]);
        assert_eq!(told.seconds, None);
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
        let told = history.estimate("v", "shop", 200 * MIB, 200 * MIB);
        assert_eq!(told.seconds, Some(20.0 + 4.0 + 5.0));
        assert_eq!(told.runs(), 1);
        let told = history.estimate("v", "shop", 0, 2 * MIB);
        assert_eq!(told.seconds, Some(0.2 + 5.0));
    }
}
