//! Freezing an app's containers, with a watchdog that thaws them whatever happens to us.
//!
//! By their freezer cgroups, which the engine does not see (ADR 30); by the engine's `pause` where the cgroup cannot be
//! reached or not be written.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use lifeboat_engine::{
    Engine,
    freezer::{Freezer, Reconciled, reconcile},
};
use serde::{Deserialize, Serialize};

use crate::{
    Context, RecoveryError, Result,
    watchdog::{Orders, Target, Word},
};

/// Longer than this nothing stays frozen, whatever happens.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A freeze that is prepared: the watchdog is ready, nothing is frozen yet.
pub struct Freeze {
    engine: Arc<dyn Engine>,
    targets: Vec<Target>,
    watchdog: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What a crash of us *and* of the watchdog leaves for the next start.
    record: PathBuf,
    frozen: Vec<Still>,
    began: Option<Instant>,
    void: Vec<String>,
}

/// A container that stands still because of us.
struct Still {
    target: Target,
    /// What froze it; `None` where the engine did.
    freezer: Option<Freezer>,
}

/// How an attempt to freeze one container ended.
enum Attempt {
    Frozen,
    /// Somebody else had frozen it, or it has ended: it does not write, and it is not ours.
    NotOurs,
}

impl Still {
    fn freeze(&self, engine: &dyn Engine) -> std::result::Result<Attempt, lifeboat_engine::Error> {
        let frozen = match &self.freezer {
            Some(freezer) => freezer.freeze(),
            None => engine.pause(&self.target.id),
        };
        match frozen {
            Ok(()) => Ok(Attempt::Frozen),
            Err(e) if e.is_not_found() || e.is_conflict() => Ok(Attempt::NotOurs),
            Err(_) if has_ended(engine, &self.target.id) => Ok(Attempt::NotOurs),
            Err(e) => Err(e),
        }
    }

    /// `false` if somebody else woke it, restarted or removed it meanwhile: it may have written.
    fn thaw(&self, engine: &dyn Engine) -> std::result::Result<bool, lifeboat_engine::Error> {
        match &self.freezer {
            Some(freezer) => {
                let stood_still = freezer.is_frozen()?;
                freezer.thaw().map(|()| stood_still)
            }
            None => match engine.unpause(&self.target.id) {
                Ok(()) => Ok(true),
                Err(e) if e.is_not_found() || e.is_conflict() => Ok(false),
                Err(e) => Err(e),
            },
        }
    }
}

/// What stands in the record file.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: u32,
    /// When that process started, in the kernel's ticks: a pid is used again.
    started: Option<u64>,
    endpoint: String,
    targets: Vec<Target>,
}

impl Freeze {
    /// Starts the watchdog and waits until it is ready.
    #[allow(
        clippy::disallowed_methods,
        reason = "the watchdog is a process of its own"
    )]
    pub fn prepare(ctx: &Context, targets: Vec<Target>) -> Result<Self> {
        let engine = Arc::clone(ctx.engine()?);
        let endpoint = engine.endpoint();
        let mut watchdog = Command::new(&ctx.program)
            .arg("__watchdog")
            // It needs nothing of it, and a password may be in it.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own: a terminal's Ctrl-C must not reach it.
            .process_group(0)
            .spawn()
            .map_err(|e| {
                RecoveryError::Failed(format!(
                    "the watchdog could not be started from {}: {e}; nothing was frozen",
                    ctx.program.display()
                ))
            })?;
        let (Some(orders), Some(answers)) = (watchdog.stdin.take(), watchdog.stdout.take()) else {
            return Err(RecoveryError::Failed(
                "the watchdog has no streams".to_owned(),
            ));
        };
        let record = ctx
            .places
            .journal()
            .join(format!("frozen-{}.json", std::process::id()));
        let mut freeze = Self {
            engine,
            targets: targets.clone(),
            watchdog,
            orders: Some(orders),
            answers: BufReader::new(answers),
            record,
            frozen: Vec::new(),
            began: None,
            void: Vec::new(),
        };
        let orders = Orders {
            endpoint: endpoint.clone(),
            targets: targets.clone(),
            deadline_ms: DEADLINE.as_millis() as u64,
        };
        freeze.tell(&orders)?;
        let mut answer = String::new();
        freeze.answers.read_line(&mut answer)?;
        if answer.trim() != "ready" {
            return Err(RecoveryError::Failed(
                "the watchdog did not become ready; nothing was frozen".to_owned(),
            ));
        }
        let record = Record {
            pid: std::process::id(),
            started: started(std::process::id()),
            endpoint,
            targets,
        };
        let bytes = serde_json::to_vec(&record)
            .map_err(|e| RecoveryError::Failed(format!("write the record of the freeze: {e}")))?;
        crate::setup::write_private(&freeze.record, &bytes, true)?;
        Ok(freeze)
    }

    /// Freezes all containers, together. When this returns, none of them runs.
    pub fn freeze(&mut self) -> Result<()> {
        let mut stills = Vec::new();
        for target in self.targets.clone() {
            let freezer = Freezer::of_container(target.pid, &target.id)
                .ok()
                .filter(Freezer::is_writable);
            let word = match &freezer {
                // Somebody else holds it still: it does not write, and it is not ours to thaw.
                Some(freezer) if freezer.is_frozen()? => continue,
                Some(_) => Word::Freezing(target.id.clone()),
                None => Word::Pausing(target.id.clone()),
            };
            self.tell(&word)?;
            stills.push(Still { target, freezer });
        }
        self.began = Some(Instant::now());
        self.frozen = stills;
        let engine = self.engine.as_ref();
        let results = at_once(&self.frozen, |still| still.freeze(engine));
        let mut failed = None;
        let mut frozen = Vec::new();
        for (still, result) in std::mem::take(&mut self.frozen).into_iter().zip(results) {
            match result {
                Some(Ok(Attempt::Frozen)) => frozen.push(still),
                Some(Ok(Attempt::NotOurs)) => self.tell(&Word::NotOurs(still.target.id))?,
                Some(Err(e)) => {
                    self.tell(&Word::NotOurs(still.target.id))?;
                    failed.get_or_insert(RecoveryError::Engine(e));
                }
                // Nobody knows how far it came.
                None => {
                    failed.get_or_insert(RecoveryError::Failed(format!(
                        "freezing {} failed",
                        still.target.name
                    )));
                    frozen.push(still);
                }
            }
        }
        self.frozen = frozen;
        match failed {
            None => Ok(()),
            Some(e) => {
                self.thaw()?;
                Err(e)
            }
        }
    }

    /// Names of what is frozen by us.
    pub fn frozen(&self) -> Vec<String> {
        self.frozen
            .iter()
            .map(|still| still.target.name.clone())
            .collect()
    }

    /// Thaws everything and returns how long it stood still, from the first freeze to the last
    /// thaw. An error if the watchdog had to thaw before: then the capture is void.
    pub fn thaw(&mut self) -> Result<Duration> {
        let engine = self.engine.as_ref();
        let frozen = std::mem::take(&mut self.frozen);
        let results = at_once(&frozen, |still| still.thaw(engine));
        let stall = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let mut still = Vec::new();
        for (one, result) in frozen.into_iter().zip(results) {
            match result {
                Some(Ok(true)) => {}
                Some(Ok(false)) => self.void.push(one.target.name),
                _ => still.push(one.target),
            }
        }
        if !still.is_empty() {
            // Closing its input without `done` makes the watchdog thaw what is left.
            self.orders = None;
            let _ = self.watchdog.wait();
            let _ = fs_err::remove_file(&self.record);
            let names: Vec<_> = still.iter().map(|t| t.name.as_str()).collect();
            return Err(RecoveryError::Failed(format!(
                "{} could not be thawed; the watchdog did it, and this capture is void",
                names.join(", ")
            )));
        }
        // Fails where the watchdog has acted and gone: its exit code below tells.
        let _ = self.tell(&Word::Done);
        self.orders = None;
        let status = self.watchdog.wait()?;
        let _ = fs_err::remove_file(&self.record);
        if status.success() {
            Ok(stall)
        } else {
            Err(RecoveryError::Failed(format!(
                "the watchdog thawed the app before the capture was whole (it had been frozen for {} s); run the backup again",
                DEADLINE.as_secs()
            )))
        }
    }

    /// Containers that somebody else woke while they should have stood still: the capture is void.
    pub fn woken_by_others(&self) -> &[String] {
        &self.void
    }

    fn tell<T: Serialize>(&mut self, word: &T) -> Result<()> {
        let mut line = serde_json::to_vec(word)
            .map_err(|e| RecoveryError::Failed(format!("speak to the watchdog: {e}")))?;
        line.push(b'\n');
        let Some(orders) = self.orders.as_mut() else {
            return Ok(());
        };
        orders
            .write_all(&line)
            .and_then(|()| orders.flush())
            .map_err(|e| RecoveryError::Failed(format!("the watchdog is gone: {e}")))
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        if !self.frozen.is_empty() {
            let _ = self.thaw();
        }
        let _ = self.tell(&Word::Done);
        self.orders = None;
        let _ = self.watchdog.wait();
        let _ = fs_err::remove_file(&self.record);
    }
}

/// Does this with all of them at once; `None` where it panicked.
fn at_once<R: Send>(stills: &[Still], work: impl Fn(&Still) -> R + Sync) -> Vec<Option<R>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = stills
            .iter()
            .map(|still| scope.spawn(move || work(still)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok())
            .collect()
    })
}

/// `true` if a container that could not be frozen is not there to be paused any more. The engine
/// may need a moment to notice that it has ended.
fn has_ended(engine: &dyn Engine, id: &str) -> bool {
    for _ in 0..5 {
        match engine.inspect_container(id) {
            Err(e) if e.is_not_found() => return true,
            Ok(raw) if raw["State"]["Running"] == false => return true,
            _ => std::thread::sleep(Duration::from_millis(40)),
        }
    }
    false
}

/// Thaws what a run left frozen that died together with its watchdog. Returns the names.
pub fn reconcile_leftovers(ctx: &Context) -> Result<Vec<String>> {
    let engine = ctx.engine()?;
    let mut thawed = Vec::new();
    let Ok(entries) = fs_err::read_dir(ctx.places.journal()) else {
        return Ok(thawed);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with("frozen-") || !name.ends_with(".json") {
            continue;
        }
        let Ok(record) = serde_json::from_slice::<Record>(&fs_err::read(&path)?) else {
            continue;
        };
        let alive = started(record.pid).is_some_and(|at| Some(at) == record.started);
        if alive || record.endpoint != engine.endpoint() {
            continue;
        }
        for target in record.targets {
            match reconcile(engine.as_ref(), &target.id) {
                Ok(Reconciled::Running) => {}
                Ok(_) => thawed.push(target.name),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e.into()),
            }
        }
        fs_err::remove_file(&path)?;
    }
    Ok(thawed)
}

/// When a process started, in ticks since boot; `None` if there is none of this pid.
fn started(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the start time is the 20th field behind it.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_start() {
        let me = started(std::process::id());
        assert!(me.is_some());
        assert_ne!(me, started(1));
        assert_eq!(started(u32::MAX), None);
    }
}
