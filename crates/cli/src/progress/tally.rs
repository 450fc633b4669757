//! What is known of the step under way. Cheap enough to be told of each of a million files.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::human;

/// Counters of the step under way.
#[derive(Default)]
pub struct Tally {
    files: AtomicU64,
    bytes: AtomicU64,
    files_ahead: AtomicU64,
    bytes_ahead: AtomicU64,
    names: Mutex<Names>,
}

struct Names {
    subject: String,
    step: String,
    /// The step of a plan that is under way; what happens within it is counted as one.
    planned: Option<String>,
    since: Instant,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            subject: String::new(),
            step: String::new(),
            planned: None,
            since: Instant::now(),
        }
    }
}

impl Tally {
    /// A step begins (and with it, perhaps, another subject): counting starts again, unless it is within
    /// a step of a plan. `true` if it does.
    pub fn begin(&self, subject: Option<&str>, step: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(subject) = subject {
            names.subject = subject.to_owned();
        }
        names.step = step.to_owned();
        let anew = names.planned.is_none();
        if anew {
            self.count_anew(&mut names);
        }
        anew
    }

    /// A step of a plan begins; none is under way any more where there is no label.
    pub fn planned(&self, label: Option<String>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.step.clear();
        names.planned = label;
        self.count_anew(&mut names);
    }

    fn count_anew(&self, names: &mut Names) {
        names.since = Instant::now();
        for counter in [
            &self.files,
            &self.bytes,
            &self.files_ahead,
            &self.bytes_ahead,
        ] {
            counter.store(0, Relaxed);
        }
    }

    pub fn expect(&self, files: u64, bytes: u64) {
        self.files_ahead.fetch_add(files, Relaxed);
        self.bytes_ahead.fetch_add(bytes, Relaxed);
    }

    pub fn advance(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub fn files(&self) -> u64 {
        self.files.load(Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The step under way: of the plan, where there is one.
    pub fn step(&self) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.planned.as_ref().unwrap_or(&names.step).clone()
    }

    pub fn bytes_ahead(&self) -> u64 {
        self.bytes_ahead.load(Relaxed)
    }

    /// `shop: copy`.
    pub fn label(&self) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let step = names.planned.as_ref().unwrap_or(&names.step);
        match (names.subject.as_str(), step.as_str()) {
            ("", step) => step.to_owned(),
            (subject, "") => subject.to_owned(),
            (subject, step) => format!("{subject}: {step}"),
        }
    }

    /// One plain line: label, how much of how much, rate, time left.
    pub fn line(&self) -> String {
        let since = self
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .since;
        self.line_after(since.elapsed().as_secs_f64())
    }

    fn line_after(&self, seconds: f64) -> String {
        let (bytes, ahead) = (self.bytes.load(Relaxed), self.bytes_ahead());
        let (files, files_ahead) = (self.files(), self.files_ahead.load(Relaxed));
        let mut line = self.label();
        if files == 0 && bytes == 0 {
            return line;
        }
        let of = |done: String, all: String, known: bool| {
            if known {
                format!("{done} of {all}")
            } else {
                done
            }
        };
        line.push_str(": ");
        line.push_str(&of(
            human::size(bytes),
            human::size(ahead),
            ahead >= bytes && ahead > 0,
        ));
        line.push_str(", ");
        let done = human::count(files);
        line.push_str(&of(
            done,
            human::count(files_ahead),
            files_ahead >= files && files_ahead > 0,
        ));
        line.push_str(" files");
        if seconds > 0.5 && bytes > 0 {
            let rate = bytes as f64 / seconds;
            line.push_str(&format!(", {}/s", human::size(rate as u64)));
            if ahead > bytes {
                line.push_str(&format!(", {:.0} s left", (ahead - bytes) as f64 / rate));
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_line_says_what_is_known() {
        let tally = Tally::default();
        tally.begin(Some("shop"), "copy");
        assert_eq!(tally.line_after(1.0), "shop: copy");
        tally.advance(3, 50 * MIB);
        assert_eq!(tally.line_after(0.1), "shop: copy: 50.0 MiB, 3 files");
        tally.expect(1200, 150 * MIB);
        assert_eq!(
            tally.line_after(2.0),
            "shop: copy: 50.0 MiB of 150.0 MiB, 3 of 1,200 files, 25.0 MiB/s, 4 s left"
        );
    }

    #[test]
    fn a_new_step_counts_count_anew_and_keeps_its_subject() {
        let tally = Tally::default();
        tally.begin(Some("shop"), "copy");
        tally.expect(1, 1);
        tally.advance(1, 1);
        tally.begin(None, "freeze");
        assert_eq!(tally.line_after(1.0), "shop: freeze");
        assert_eq!((tally.files(), tally.bytes_ahead()), (0, 0));
    }

    #[test]
    fn a_step_of_a_plan_stays_while_its_own_steps_go_by() {
        let tally = Tally::default();
        tally.planned(Some("4/12 volume data".to_owned()));
        tally.expect(2, 8 * MIB);
        tally.advance(1, 4 * MIB);
        tally.begin(None, "inner");
        tally.advance(1, 2 * MIB);
        assert_eq!(
            tally.line_after(0.1),
            "4/12 volume data: 6.0 MiB of 8.0 MiB, 2 of 2 files"
        );
        tally.planned(None);
        tally.begin(None, "next");
        assert_eq!(tally.line_after(0.1), "next");
    }
}
