//! Hosts in trouble, said before they kill: disks and inodes that run out, memory pressure, a clock that jumps, an
//! engine that answers late or not at all; and other healers on the host, which would fight with this one.
//!
//! Each has a bound from which it is said, and a better one from which it is taken back, so that what lies on a bound
//! is said once; what goes up and down by itself has to be so for some readings in a row.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::blame::{Blame, Shortage};
use super::event::{Effect, Note};
use super::unit::{Phase, Unit};
use super::view::Level;
use super::{Moment, World};

/// Percent of a disk that are left: said, and too few to go on.
pub const DISK_LOW: f64 = 10.0;
/// The same.
pub const DISK_FULL: f64 = 3.0;
/// More than so many bytes are enough, however large the disk is.
pub const DISK_ENOUGH: u64 = 20 << 30;
/// The same for a disk that is as good as full.
pub const DISK_ENOUGH_FULL: u64 = 2 << 30;
/// Percent of a file system's inodes that are left.
pub const INODES_LOW: f64 = 10.0;
/// The same.
pub const INODES_FULL: f64 = 2.0;
/// Percent points by which it has to be better before it is taken back.
pub const BETTER: f64 = 2.0;
/// Percent of the last ten seconds in which everything waited for memory (`full avg10` of the kernel's pressure).
pub const MEMORY_SOME: f64 = 10.0;
/// The same, where hardly anything else is done.
pub const MEMORY_BAD: f64 = 40.0;
/// An engine answers at once, as a rule.
pub const ENGINE_LATE: Duration = Duration::from_secs(3);
/// So long without an answer, and it hangs.
pub const ENGINE_HANGS: Duration = Duration::from_secs(10);
/// A clock that is corrected little by little does not move so far between two readings.
pub const CLOCK_JUMP: Duration = Duration::from_secs(5);
/// So long a jump is shown.
pub const CLOCK_SHOWN: Duration = Duration::from_secs(600);
/// So often at most it is said that the kernel killed in a container.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// So many readings in a row have to agree, of what goes up and down by itself.
pub const IN_A_ROW: u32 = 2;

/// Programs that restart or replace containers, by the last part of their image's name, and what they do.
const HEALERS: [(&str, &str); 5] = [
    ("autoheal", HEALS),
    ("docker-autoheal", HEALS),
    ("deunhealth", HEALS),
    ("watchtower", UPDATES),
    ("ouroboros", UPDATES),
];
const HEALS: &str = "restarts what is unhealthy, as Lifeboat does, and neither knows of the other: stop it, or say lifeboat.on-unhealthy=notify on what it is to look after";
const UPDATES: &str = "replaces containers when there is a new image: Lifeboat leaves one that it works on alone for 30 s; pin by digest what is not to change by itself";

/// Room in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// What lies there, for people.
    pub what: String,
    /// Where.
    pub path: String,
    /// Containers, their logs and volumes fill it.
    pub holds_containers: bool,
    /// Bytes that are left to whoever asks.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Inodes that are left.
    pub inodes_free: u64,
    /// Inodes in all; 0 where they do not run out.
    pub inodes: u64,
}

/// What was read at one instant. What could not be read says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Places that must not be full.
    pub disks: Vec<Disk>,
    /// The kernel's memory pressure, `full avg10`.
    pub memory: Option<f64>,
    /// How long the engine took to answer, or is not answering yet.
    pub engine: Option<Duration>,
    /// The time of day, milliseconds since 1970.
    pub wall: u64,
}

/// One thing about the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// A word: `disk`, `inodes`, `memory`, `engine`, `clock`, `healer`.
    pub kind: String,
    /// What it is and what to do.
    pub text: String,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

/// What is known of the host. Nothing of it outlives the agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Host {
    found: BTreeMap<String, Finding>,
    /// How often in a row the readings said another level than the one that is shown.
    other: BTreeMap<String, (Level, u32)>,
    /// The finding about the disk that containers fill.
    pub(super) engines_disk: Option<String>,
    /// Who takes what is short.
    pub(super) blame: Blame,
    /// Time of day and own time of the last reading.
    last: Option<(u64, Moment)>,
}

/// How bad something is, given how bad it was: it gets better past a better bound only.
fn level(value: f64, was: Level, low: f64, full: f64, better: f64) -> Level {
    let bound = |at: f64, held: bool| if held { at + better } else { at };
    if value < bound(full, was == Level::Bad) {
        Level::Bad
    } else if value < bound(low, was <= Level::Note) {
        Level::Note
    } else {
        Level::Well
    }
}

fn percent(part: u64, of: u64) -> f64 {
    part as f64 * 100.0 / of.max(1) as f64
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

impl World {
    /// The kernel killed in it for want of memory. Often not its first process: then it goes on, without what it did.
    pub(super) fn starved(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.oom = Some(at);
        let told = unit
            .oom_told
            .is_some_and(|told| at.since(told) < SAID_AGAIN);
        if unit.phase != Phase::Running || !unit.is_supervised() || told {
            return;
        }
        unit.oom_told = Some(at);
        let text = "the kernel killed a process in it for want of memory: give it more with `mem_limit`, or find what takes it";
        self.tell(at, id, "oom", text);
    }

    /// Takes a reading; tells what changed.
    pub(super) fn read_host(&mut self, at: Moment, reading: &Reading) {
        for disk in &reading.disks {
            self.disk(at, disk);
        }
        if let Some(pressure) = reading.memory {
            // The lower the better, so it is turned round.
            let was = self.host_level("memory");
            let now = level(-pressure, was, -MEMORY_SOME, -MEMORY_BAD, MEMORY_SOME / 2.0);
            let text = format!(
                "everything on this host waits for memory {pressure:.0} % of the time; find out who takes it (docker stats) and give it a limit, or the kernel will kill something"
            );
            self.host_says(at, "memory", "memory", now, IN_A_ROW, text);
        }
        if reading.engine.is_none() {
            // It is gone, and that is said by itself.
            self.host.found.remove("engine");
        }
        if let Some(took) = reading.engine {
            let was = self.host_level("engine");
            let secs = took.as_secs_f64();
            let (late, hangs) = (ENGINE_LATE.as_secs_f64(), ENGINE_HANGS.as_secs_f64());
            let now = level(-secs, was, -late, -hangs, late / 2.0);
            let text = if now == Level::Bad {
                format!(
                    "the engine has not answered for {secs:.0} s: nothing can be started or stopped; look at its log, and restart it if it does not come back (containers run on with live-restore)"
                )
            } else {
                format!(
                    "the engine takes {secs:.0} s to answer; the host may be short of disk, memory or processor"
                )
            };
            // Each of its answers is one, however long it took.
            self.host_says(at, "engine", "engine", now, 1, text);
        }
        self.clock(at, reading.wall);
        let is_short = |key: &str| self.host_level(key) != Level::Well;
        let disk = self.host.engines_disk.as_deref().is_some_and(is_short);
        let memory = is_short("memory");
        self.look_for_takers(at, Shortage::Disk, disk);
        self.look_for_takers(at, Shortage::Memory, memory);
    }

    fn disk(&mut self, at: Moment, disk: &Disk) {
        let Disk { what, path, .. } = disk;
        if disk.size == 0 {
            return;
        }
        let key = format!("disk {path}");
        if disk.holds_containers {
            self.host.engines_disk = Some(key.clone());
        }
        let was = self.host_level(&key);
        let free = percent(disk.free, disk.size);
        let enough = |bound: u64, held: bool| disk.free >= if held { bound / 4 * 5 } else { bound };
        let now = match level(free, was, DISK_LOW, DISK_FULL, BETTER) {
            Level::Bad if !enough(DISK_ENOUGH_FULL, was == Level::Bad) => Level::Bad,
            Level::Bad | Level::Note if !enough(DISK_ENOUGH, was <= Level::Note) => Level::Note,
            _ => Level::Well,
        };
        let text = format!(
            "{} MiB of {} are free where {what} lies ({path}); make room there (docker system df shows what the engine holds), or containers fail to write and to start",
            mib(disk.free),
            mib(disk.size)
        );
        self.host_says(at, &key, "disk", now, 1, text);
        if disk.inodes > 0 {
            let key = format!("inodes {path}");
            let was = self.host_level(&key);
            let left = percent(disk.inodes_free, disk.inodes);
            let now = level(left, was, INODES_LOW, INODES_FULL, BETTER);
            let text = format!(
                "{} of {} inodes are left where {what} lies ({path}): no file can be made once they are gone, however much room there is; remove small files that nobody needs",
                disk.inodes_free, disk.inodes
            );
            self.host_says(at, &key, "inodes", now, 1, text);
        }
    }

    fn clock(&mut self, at: Moment, wall: u64) {
        let before = self.host.last.replace((wall, at));
        let shown = self.host.found.get("clock").map(|found| found.since);
        if shown.is_some_and(|since| at.since(Moment(since)) > CLOCK_SHOWN) {
            self.host.found.remove("clock");
        }
        let Some((wall_before, at_before)) = before else {
            return;
        };
        let passed = i128::from(at.0) - i128::from(at_before.0);
        let jump = i128::from(wall) - i128::from(wall_before) - passed;
        if jump.unsigned_abs() < CLOCK_JUMP.as_millis() {
            return;
        }
        let way = if jump > 0 { "forward" } else { "back" };
        let text = format!(
            "the clock of this host was set {way} by {} s; certificates, schedules and logs go by it: see that it is right now (timedatectl)",
            jump.unsigned_abs() / 1000
        );
        self.tell_host(at, "clock", &text);
        let finding = Finding {
            level: Level::Note,
            kind: "clock".to_owned(),
            text,
            since: at.0,
        };
        self.host.found.insert("clock".to_owned(), finding);
    }

    fn host_level(&self, key: &str) -> Level {
        self.host
            .found
            .get(key)
            .map_or(Level::Well, |found| found.level)
    }

    /// Something is so. Told where the level is another one than before, for `in_a_row` readings.
    fn host_says(
        &mut self,
        at: Moment,
        key: &str,
        kind: &str,
        now: Level,
        in_a_row: u32,
        text: String,
    ) {
        let was = self.host_level(key);
        if now == was {
            self.host.other.remove(key);
            if let Some(found) = self.host.found.get_mut(key) {
                found.text = text;
            }
            return;
        }
        let seen = self.host.other.entry(key.to_owned()).or_insert((now, 0));
        *seen = (now, if seen.0 == now { seen.1 + 1 } else { 1 });
        if seen.1 < in_a_row {
            return;
        }
        self.host.other.remove(key);
        if now == Level::Well {
            self.host.found.remove(key);
            self.tell_host(at, kind, &format!("{key}: all is well again"));
            return;
        }
        self.tell_host(at, kind, &text);
        let finding = Finding {
            level: now,
            kind: kind.to_owned(),
            text,
            since: at.0,
        };
        self.host.found.insert(key.to_owned(), finding);
    }

    pub(super) fn tell_host(&mut self, at: Moment, kind: &str, text: &str) {
        self.effects.push(Effect::Tell(Note {
            at,
            app: String::new(),
            container: String::new(),
            kind: kind.to_owned(),
            text: text.to_owned(),
        }));
    }

    /// Other healers: told when one is seen for the first time, shown as long as it runs.
    pub(super) fn watch_healers(&mut self, at: Moment) {
        let running: BTreeMap<String, String> = self
            .units
            .values()
            .filter(|unit| unit.phase == Phase::Running)
            .filter_map(|unit| {
                let does = healer(unit)?;
                Some((format!("healer {}", unit.name), does))
            })
            .collect();
        self.host
            .found
            .retain(|key, found| found.kind != "healer" || running.contains_key(key));
        for (key, text) in running {
            if self.host.found.contains_key(&key) {
                continue;
            }
            self.tell_host(at, "healer", &text);
            let finding = Finding {
                level: Level::Note,
                kind: "healer".to_owned(),
                text,
                since: at.0,
            };
            self.host.found.insert(key, finding);
        }
    }

    /// What is shown of the host, the bad things first.
    pub(super) fn host_findings(&self) -> Vec<Finding> {
        let found = self.host.found.iter();
        let mut all: Vec<Finding> = found
            .map(|(key, finding)| self.with_takers(key, finding))
            .collect();
        all.sort_by(|a, b| (a.level, &a.kind, &a.text).cmp(&(b.level, &b.kind, &b.text)));
        all
    }
}

/// What a container does to others, if it is a program that is known for it.
fn healer(unit: &Unit) -> Option<String> {
    let image = &unit.facts.as_ref()?.image;
    let name = image.split('@').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    let (_, does) = HEALERS.iter().find(|(known, _)| *known == name)?;
    Some(format!("{} ({image}) {does}", unit.name))
}
