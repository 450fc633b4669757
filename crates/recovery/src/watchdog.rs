//! The watchdog: a process of its own that thaws what we froze, whatever happens to us.
//!
//! It is started before the freeze, in a process group of its own, and talks over its standard
//! streams, a JSON line each way:
//!
//! - it reads its [`Orders`], finds the freezer cgroups, and answers `ready`;
//! - before a container is frozen it is told so, and how ([`Word::Freezing`], [`Word::Pausing`]); only these it will
//!   ever thaw;
//! - [`Word::Done`] ends it. The end of its input (we died), or the deadline, makes it thaw.
//!
//! Thawing: what was frozen by its cgroup is let go by it, at once and once: whoever freezes it later is another
//! backup. What the engine was asked to pause is brought back together with the kernel ([`reconcile`]); where that has
//! not worked after 500 ms, by the freezer cgroup; and then until it succeeds or a minute has passed the engine's own
//! state is mended, which still says "paused" for a container that was thawed behind its back.

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use lifeboat_engine::{
    DockerEngine, Endpoint,
    freezer::{Freezer, reconcile},
};
use serde::{Deserialize, Serialize};

/// How long the API is tried before the cgroup is written to.
const API_GRACE: Duration = Duration::from_millis(500);
/// How long the engine's own state is tried to be mended.
const RECONCILE_FOR: Duration = Duration::from_secs(60);
/// How long after the first success it is looked again.
const SETTLE: Duration = Duration::from_secs(3);

/// What may be frozen, where, and for how long at most.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// The engine's address.
    pub endpoint: String,
    /// Containers that may be frozen.
    pub targets: Vec<Target>,
    /// Thaw after so many milliseconds from the first pause, whatever happens.
    pub deadline_ms: u64,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Full id.
    pub id: String,
    /// Name, for messages.
    pub name: String,
    /// Its first process: tells the freezer cgroup.
    pub pid: u32,
}

/// What the watchdog is told after its orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// This container (by id) is about to be frozen by us, by its cgroup.
    Freezing(String),
    /// This container (by id) is about to be paused by the engine, because we ask for it.
    Pausing(String),
    /// It was not: somebody else had paused it.
    NotOurs(String),
    /// All is thawed; the work is done.
    Done,
}

/// Body of the hidden command `lifeboat __watchdog`: reads its orders from standard input, answers
/// on standard output, thaws when the input ends without `done` or the deadline passes. Returns the
/// process's exit code: 0 for nothing to do, 1 for bad orders, 4 where it had to thaw.
pub fn run() -> u8 {
    // Whoever started it may stand back; a thaw never does.
    let _ = lifeboat_capture::priority::lift();
    let mut lines = std::io::stdin().lock().lines();
    let Some(Ok(first)) = lines.next() else {
        return 1;
    };
    let Ok(orders) = serde_json::from_str::<Orders>(&first) else {
        return 1;
    };
    let Ok(endpoint) = orders.endpoint.parse::<Endpoint>() else {
        return 1;
    };
    // The freezer cgroups are found now: a dead engine or process table tells nothing later.
    let freezers: BTreeMap<&str, Freezer> = orders
        .targets
        .iter()
        .filter_map(|t| Some((t.id.as_str(), Freezer::of_container(t.pid, &t.id).ok()?)))
        .collect();
    let mut stdout = std::io::stdout();
    if writeln!(stdout, "ready")
        .and_then(|()| stdout.flush())
        .is_err()
    {
        return 1;
    }
    drop(lines);
    let still = match watch(read_words(), Duration::from_millis(orders.deadline_ms)) {
        Verdict::Done => return 0,
        Verdict::Thaw(still) => still,
    };
    thaw_all(&endpoint, &still, &freezers);
    // Whoever still listens learns that the capture is void.
    let _ = writeln!(stdout, "thawed").and_then(|()| stdout.flush());
    4
}

/// Words from standard input, until it ends.
fn read_words() -> Receiver<Word> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let Ok(word) = serde_json::from_str::<Word>(&line) else {
                continue;
            };
            if sender.send(word).is_err() {
                return;
            }
        }
    });
    receiver
}

enum Verdict {
    Done,
    Thaw(Vec<Still>),
}

/// A container that stands still because of us.
#[derive(Debug, PartialEq, Eq)]
struct Still {
    id: String,
    /// By the engine; otherwise by its cgroup.
    paused: bool,
}

/// Follows the words until the work is done, the speaker is gone, or the deadline has passed.
fn watch(words: Receiver<Word>, deadline: Duration) -> Verdict {
    let mut still: Vec<Still> = Vec::new();
    let mut until: Option<Instant> = None;
    loop {
        let word = match until {
            None => words.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => words.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        let (id, paused) = match word {
            Ok(Word::Freezing(id)) => (id, false),
            Ok(Word::Pausing(id)) => (id, true),
            Ok(Word::NotOurs(id)) => {
                still.retain(|s| s.id != id);
                continue;
            }
            Ok(Word::Done) => return Verdict::Done,
            Err(_) => return Verdict::Thaw(still),
        };
        until.get_or_insert_with(|| Instant::now() + deadline);
        still.push(Still { id, paused });
    }
}

/// Thaws every container, all at once.
fn thaw_all(endpoint: &Endpoint, still: &[Still], freezers: &BTreeMap<&str, Freezer>) {
    std::thread::scope(|scope| {
        for Still { id, paused } in still {
            let freezer = freezers.get(id.as_str());
            scope.spawn(move || {
                // Nothing of it can be under way any more, and the engine knows nothing of it.
                let thawed = !paused && freezer.is_some_and(|freezer| freezer.thaw().is_ok());
                if !thawed {
                    thaw(endpoint, id, freezer);
                }
            });
        }
    });
}

fn thaw(endpoint: &Endpoint, id: &str, freezer: Option<&Freezer>) {
    let (runs, receiver) = channel();
    let (endpoint, id) = (endpoint.clone(), id.to_owned());
    // In a thread of its own: a wedged engine must not keep us from the cgroup.
    let reconciling = std::thread::spawn(move || reconcile_until_settled(&endpoint, &id, &runs));
    if receiver.recv_timeout(API_GRACE).is_err()
        && let Some(freezer) = freezer
    {
        let _ = freezer.thaw();
    }
    let _ = reconciling.join();
}

/// Mends the engine's own state until it says that the container runs, and looks again for a while:
/// a pause that we had asked for before we died may still be under way inside the engine.
fn reconcile_until_settled(endpoint: &Endpoint, id: &str, runs: &Sender<()>) {
    let began = Instant::now();
    while began.elapsed() < RECONCILE_FOR {
        match DockerEngine::connect(endpoint).and_then(|engine| reconcile(&engine, id)) {
            Err(e) if !e.is_not_found() => {}
            _ => {
                let _ = runs.send(());
                if began.elapsed() > SETTLE {
                    return;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pausing(id: &str) -> Word {
        Word::Pausing(id.to_owned())
    }

    #[test]
    fn only_what_we_paused_is_thawed_when_we_die() {
        let (sender, receiver) = channel();
        let frozen = Word::Freezing("c".into());
        for word in [
            pausing("a"),
            pausing("b"),
            frozen,
            Word::NotOurs("a".into()),
        ] {
            sender.send(word).unwrap();
        }
        drop(sender);
        let Verdict::Thaw(still) = watch(receiver, Duration::from_secs(60)) else {
            panic!()
        };
        let still: Vec<_> = still.iter().map(|s| (s.id.as_str(), s.paused)).collect();
        assert_eq!(still, [("b", true), ("c", false)]);
    }

    #[test]
    fn the_deadline_thaws_and_done_does_not() {
        let (sender, receiver) = channel();
        sender.send(pausing("a")).unwrap();
        let Verdict::Thaw(still) = watch(receiver, Duration::from_millis(20)) else {
            panic!()
        };
        assert_eq!(still.len(), 1);
        let (sender, receiver) = channel();
        sender.send(pausing("a")).unwrap();
        sender.send(Word::Done).unwrap();
        assert!(matches!(
            watch(receiver, Duration::from_secs(60)),
            Verdict::Done
        ));
    }
}
