//! Standard output: data, as a table or as one JSON document. Everything else goes to standard error.
//!
//! A reader that went away (`lifeboat points | head -1`) is no error: what follows is not written,
//! and the work goes on, as a backup must not end because nobody reads its report.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;

use crate::{
    environment,
    exit::{Failure, Result},
};

/// Form of the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document a command.
    Json,
}

/// Where data goes.
pub struct Output {
    format: Format,
    terminal: bool,
    width: Option<u16>,
    closed: AtomicBool,
}

impl Output {
    /// The process's standard output.
    pub fn new(format: Format) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let width = terminal
            .then(|| rustix::termios::tcgetwinsize(&stdout).ok())
            .flatten()
            .map(|size| size.ws_col)
            .filter(|&columns| columns >= 40);
        Self {
            format,
            terminal,
            width,
            closed: AtomicBool::new(false),
        }
    }

    /// `true` if a program reads it.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// `true` if a person looks at it.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Width of the terminal.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// `true` once nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Writes bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(e) => Err(Failure::new(format!(
                "standard output cannot be written: {e}"
            ))),
        }
    }

    /// Writes text as it is.
    pub fn text(&self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes one line.
    pub fn line(&self, line: &str) -> Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Puts the document beside a text, where an agent whose job this is wants both. It goes without where that fails.
    pub fn aside<T: Serialize>(&self, value: &T) {
        if let (Some(path), Ok(text)) = (environment::answer(), serde_json::to_vec(value)) {
            let _ = fs_err::write(path, text);
        }
    }

    /// Writes the one JSON document of a command.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = if self.terminal {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text =
            text.map_err(|e| Failure::new(format!("the result cannot be written as JSON: {e}")))?;
        self.line(&text)
    }
}
