//! How far the work is: a line that moves on a terminal, plain lines elsewhere (with `-v`), nothing
//! with `-q`. Always on standard error. Warnings are shown in each of them, each once.

mod bar;
mod lines;
mod tally;
mod test_hooks;
mod told;

use std::{
    collections::HashSet,
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::exit::one_line;

use self::{bar::Bar, lines::Lines, tally::Tally, test_hooks::TestHooks, told::Told};

/// Shows progress and warnings.
pub struct Reporter {
    tally: Arc<Tally>,
    view: View,
    warned: Mutex<HashSet<String>>,
    hooks: TestHooks,
    told: Told,
}

enum View {
    Silent,
    Bar(Box<Bar>),
    Lines(Lines),
}

impl Reporter {
    /// For this process's standard error.
    pub fn new(verbose: u8, quiet: bool) -> Self {
        let tally = Arc::new(Tally::default());
        let view = if quiet {
            View::Silent
        } else if std::io::stderr().is_terminal() {
            View::Bar(Box::new(Bar::new(Arc::clone(&tally))))
        } else if verbose > 0 {
            View::Lines(Lines::default())
        } else {
            View::Silent
        };
        Self {
            tally,
            view,
            warned: Mutex::default(),
            hooks: TestHooks::from_environment(),
            told: Told::from_environment(),
        }
    }

    /// What the following steps are about: an app's name.
    pub fn subject(&self, name: &str) {
        self.tally.begin(Some(name), "");
        if let View::Bar(bar) = &self.view {
            bar.begin(&self.tally);
        }
    }

    /// The program ends with this exit code.
    pub fn ended(&self, code: u8) {
        self.told.ended(code);
    }

    /// The work has ended: nothing moves any more.
    pub fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.clear();
        }
    }

    /// Does something to the terminal while no bar is drawn.
    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.view {
            View::Bar(bar) => bar.suspend(f),
            View::Lines(_) | View::Silent => f(),
        }
    }

    /// Writes text to standard error, above the bar if there is one.
    pub fn above(&self, text: &str) {
        // Nobody is left to be told if standard error cannot be written.
        self.suspend(|| {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        });
    }

    /// Shows a warning, unless it was shown before.
    pub fn warn_once(&self, message: &str) {
        let message = one_line(message);
        let new = self
            .warned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(message.clone());
        if new {
            self.above(&format!("lifeboat: warning: {message}\n"));
        }
    }

    /// Shows a sentence that is no warning, unless the user wants quiet.
    pub fn note(&self, message: &str, quiet: bool) {
        if !quiet {
            self.above(&format!("lifeboat: {}\n", one_line(message)));
        }
    }

    /// A step begins.
    pub fn begin_step(&self, name: &str) {
        self.hooks.step(name);
        if !self.tally.begin(None, name) {
            return;
        }
        self.told.step(&self.tally);
        match &self.view {
            View::Bar(bar) => bar.begin(&self.tally),
            View::Lines(lines) => lines.show(&self.tally),
            View::Silent => {}
        }
    }

    /// A step of a plan begins; none is under way any more where `of` is 0.
    pub fn planned_step(&self, at: usize, of: usize, label: &str) {
        let label = (of > 0).then(|| format!("{at}/{of} {}", one_line(label)));
        let begins = label.is_some();
        self.tally.planned(label);
        if begins {
            self.told.step(&self.tally);
        }
        match &self.view {
            View::Bar(bar) => bar.begin(&self.tally),
            View::Lines(lines) if begins => lines.show_planned(&self.tally),
            View::Lines(_) | View::Silent => {}
        }
    }

    /// So much more lies ahead.
    pub fn more_expected(&self, files: u64, bytes: u64) {
        self.tally.expect(files, bytes);
        if let View::Bar(bar) = &self.view {
            bar.expect(&self.tally);
        }
    }

    /// So much more is done.
    pub fn more_done(&self, files: u64, bytes: u64) {
        self.tally.advance(files, bytes);
        self.told.done(&self.tally);
        match &self.view {
            View::Bar(bar) => bar.advance(bytes),
            View::Lines(lines) => lines.show(&self.tally),
            View::Silent => {}
        }
    }
}

impl lifeboat_recovery::Progress for Reporter {
    fn step(&self, name: &str) {
        self.begin_step(name);
    }

    fn planned(&self, at: usize, of: usize, label: &str) {
        self.planned_step(at, of, label);
    }

    fn expect(&self, files: u64, bytes: u64) {
        self.more_expected(files, bytes);
    }

    fn advance(&self, files: u64, bytes: u64) {
        self.more_done(files, bytes);
    }

    fn warn(&self, message: &str) {
        self.warn_once(message);
    }
}
