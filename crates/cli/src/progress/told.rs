//! For the agent whose job this is: lines in a file, one when a step begins, else at most one a second.

use std::{
    io::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use lifeboat_objectives::progress::Progress;

use super::tally::Tally;
use crate::environment;

const EVERY: u64 = 1000;

/// Where it is told, if anybody wants to know.
pub struct Told {
    file: Option<Mutex<fs_err::File>>,
    began: Instant,
    next: AtomicU64,
}

impl Told {
    pub fn from_environment() -> Self {
        let file = environment::progress().and_then(|path| {
            let mut options = fs_err::OpenOptions::new();
            // Whoever wants to know goes without; the work is done all the same.
            options.append(true).create(true).open(path).ok()
        });
        Self {
            file: file.map(Mutex::new),
            began: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// A step begins.
    pub fn step(&self, tally: &Tally) {
        self.tell(tally, true);
    }

    /// Something was done.
    pub fn done(&self, tally: &Tally) {
        self.tell(tally, false);
    }

    /// It has ended.
    pub fn ended(&self, code: u8) {
        let line = Progress {
            at: jiff::Timestamp::now().as_millisecond(),
            exit: Some(code),
            ..Progress::default()
        };
        self.write(&line);
    }

    fn tell(&self, tally: &Tally, now: bool) {
        if self.file.is_none() {
            return;
        }
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Relaxed);
        let mine = |next| {
            let swapped = self
                .next
                .compare_exchange(next, at + EVERY, Relaxed, Relaxed);
            swapped.is_ok()
        };
        if now {
            self.next.store(at + EVERY, Relaxed);
        } else if at < next || !mine(next) {
            return;
        }
        let line = Progress {
            at: jiff::Timestamp::now().as_millisecond(),
            phase: tally.step(),
            files: tally.files(),
            bytes: tally.bytes(),
            of: tally.bytes_ahead(),
            exit: None,
        };
        self.write(&line);
    }

    fn write(&self, line: &Progress) {
        let Some(file) = &self.file else { return };
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(&text);
    }
}
