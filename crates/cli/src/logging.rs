//! What the crates below log, on standard error, between the lines of the progress.

use std::{io, sync::Arc};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::progress::Reporter;

/// Shows log lines: warnings always, more with `-v` and `-vv`. Log lines hold no secrets; the
/// crates below see to that.
pub fn init(verbose: u8, quiet: bool, reporter: Arc<Reporter>) {
    let level = match (verbose, quiet) {
        // Quiet is without notes; a warning says that something is not as it should be.
        (_, true) | (0, _) => Level::WARN,
        (1, _) => Level::INFO,
        (2, _) => Level::DEBUG,
        _ => Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_target(verbose > 1)
        .with_writer(Lines(reporter))
        .finish();
    // Fails only if there is a subscriber already, and then there is nothing to do.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines(Arc<Reporter>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            reporter: &self.0,
            bytes: Vec::new(),
        }
    }
}

/// One log line, written whole when it is dropped, so that no bar cuts through it.
struct Line<'a> {
    reporter: &'a Reporter,
    bytes: Vec<u8>,
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.reporter.above(&String::from_utf8_lossy(&self.bytes));
        }
    }
}
