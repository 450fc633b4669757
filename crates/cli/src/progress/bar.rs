//! The line that moves on a terminal.

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::human;

use super::tally::Tally;

/// A bar on standard error.
pub struct Bar {
    bar: ProgressBar,
    counting: ProgressStyle,
    measured: ProgressStyle,
}

impl Bar {
    pub fn new(tally: Arc<Tally>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = |template: &str| {
            let tally = Arc::clone(&tally);
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .with_key(
                    "files",
                    move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                        let _ = out.write_str(&human::plural(tally.files(), "file"));
                    },
                )
                .progress_chars("=> ")
        };
        Self {
            counting: style(
                "{spinner} {msg}  {binary_bytes}  {files}  {binary_bytes_per_sec}  {elapsed}",
            ),
            measured: style(
                "{spinner} {msg}  [{bar:24}] {binary_bytes}/{binary_total_bytes}  {files}  {binary_bytes_per_sec}  {eta} left",
            ),
            bar,
        }
    }

    /// Another step, or another subject.
    pub fn begin(&self, tally: &Tally) {
        self.bar.unset_length();
        self.bar.set_style(self.counting.clone());
        self.bar.set_message(tally.label());
        self.bar.reset();
        // Drawn from now on, and not before there is work: questions are asked in a quiet terminal.
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    pub fn expect(&self, tally: &Tally) {
        let ahead = tally.bytes_ahead();
        if ahead > 0 {
            if self.bar.length().is_none() {
                self.bar.set_style(self.measured.clone());
            }
            self.bar.set_length(ahead);
        }
    }

    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        self.bar.suspend(f)
    }

    /// Takes the bar away until the next step begins.
    pub fn clear(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
    }
}
