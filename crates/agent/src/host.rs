//! What is read of the host: room where the engine's data and our state lie, memory pressure, the time of day, and
//! how long the engine takes to answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_plan::supervise::host::{Disk, ENGINE_LATE, Reading};
use parking_lot::Mutex;

use crate::Connect;

/// How often the engine is asked whether it answers.
const ASK: Duration = Duration::from_secs(5);
const PRESSURE: &str = "/proc/pressure/memory";

/// What is known of the engine's answers.
#[derive(Default)]
struct Pulse {
    /// Asked, and no answer yet.
    asked: Option<Instant>,
    /// How long the last answer took; none where there was none.
    took: Option<Duration>,
    data_root: Option<PathBuf>,
}

/// Reads the host.
pub(crate) struct Host {
    state: PathBuf,
    pulse: Arc<Mutex<Pulse>>,
}

impl Host {
    /// Begins to ask the engine, on a thread of its own: it may wait for ever, and nobody waits for it.
    pub(crate) fn begin(state: PathBuf, connect: Connect, stop: Arc<AtomicBool>) -> Self {
        let pulse = Arc::<Mutex<Pulse>>::default();
        let of_thread = Arc::clone(&pulse);
        let asking = std::thread::Builder::new()
            .name("agent-pulse".to_owned())
            .spawn(move || ask(&connect, &of_thread, &stop));
        if let Err(error) = asking {
            tracing::warn!(%error, "it is not noticed if the engine hangs");
        }
        Self { state, pulse }
    }

    pub(crate) fn read(&self) -> Reading {
        let (engine, data_root) = {
            let pulse = self.pulse.lock();
            let waits = pulse.asked.map(|since| since.elapsed());
            (waits.max(pulse.took), pulse.data_root.clone())
        };
        let mut disks: Vec<Disk> = Vec::new();
        let places = [
            ("the engine's data", data_root.as_deref(), true),
            ("what Lifeboat remembers", Some(self.state.as_path()), false),
        ];
        for (what, path, holds_containers) in places {
            let read = path.and_then(|path| disk(what, path));
            disks.extend(read.map(|disk| Disk {
                holds_containers,
                ..disk
            }));
        }
        Reading {
            disks,
            memory: fs_err::read_to_string(PRESSURE)
                .ok()
                .and_then(|text| pressure(&text)),
            engine,
            // The host's own clock, of all: that it jumps is what is to be seen.
            wall: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0),
        }
    }
}

fn ask(connect: &Connect, pulse: &Mutex<Pulse>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        pulse.lock().asked = Some(began);
        let facts = connect().and_then(|engine| engine.facts());
        let mut answered = pulse.lock();
        answered.asked = None;
        // Refused at once, it is not there; given up after a while, it hangs.
        let took = began.elapsed();
        answered.took = (facts.is_ok() || took >= ENGINE_LATE).then_some(took);
        if let Ok(facts) = facts {
            answered.data_root = Some(facts.data_root.into());
        }
        drop(answered);
        std::thread::sleep(ASK);
    }
}

/// Room at a path; nothing where that is not on this machine.
fn disk(what: &str, path: &Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(Disk {
        what: what.to_owned(),
        path: path.display().to_string(),
        holds_containers: false,
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        size: stat.f_blocks.saturating_mul(stat.f_frsize),
        inodes_free: stat.f_favail,
        inodes: stat.f_files,
    })
}

/// `full avg10` of the kernel's words.
fn pressure(text: &str) -> Option<f64> {
    let full = text.lines().find_map(|line| line.strip_prefix("full "))?;
    let mut values = full
        .split(' ')
        .filter_map(|pair| pair.strip_prefix("avg10="));
    values.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(pressure(text), Some(0.25));
        assert_eq!(pressure("full avg60=1"), None);
        assert!(disk("x", Path::new("/")).is_some_and(|disk| disk.size > 0));
        assert_eq!(disk("x", Path::new("/no/such/place")), None);
    }
}
