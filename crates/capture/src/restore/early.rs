//! Writing to the disk while there is still something to restore.
//!
//! The kernel keeps what was written for half a minute, or until a tenth of the memory is full of it. Of a million
//! small files, or of some gigabytes in files of middle size, nearly everything would be left to the sync at the end,
//! which one thread of the kernel does while the other processors have nothing to do. Telling it of each file instead
//! costs more than it saves.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use super::Restore;
use crate::{CaptureError, Result};

/// The shortest time between two syncs.
const PAUSE: Duration = Duration::from_millis(50);
/// Fewer new files, and fewer new bytes, are left to the next one, or to the end.
const FILES: u64 = 2000;
const BYTES: u64 = 128 << 20;

impl Restore<'_> {
    /// Runs the restore; afterwards everything is on the disk. `dir` is for messages.
    pub(super) fn synced(&self, dir: &[u8], run: impl FnOnce() -> Result<()>) -> Result<()> {
        let (ran, early) = thread::scope(|scope| {
            let (running, ended) = channel();
            let early = scope.spawn(move || self.sync_early(&ended));
            let ran = run();
            drop(running);
            (ran, early.join())
        });
        ran?;
        let early = early.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        early
            .and(rustix::fs::syncfs(&self.root_fd))
            .map_err(|e| CaptureError::os("sync", dir, e))
    }

    /// Syncs the file system now and then, until `ended` is closed. No more than half of the time, for others write to
    /// it too. The first error; the kernel tells each one only once.
    fn sync_early(&self, ended: &Receiver<()>) -> rustix::io::Result<()> {
        let (mut pause, mut synced, mut result) = (PAUSE, (0, 0), Ok(()));
        while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let now = {
                let counts = self.counts.lock();
                (counts.files, counts.bytes_written)
            };
            if now.0 < synced.0 + FILES && now.1 < synced.1 + BYTES {
                continue;
            }
            let began = Instant::now();
            result = result.and(rustix::fs::syncfs(&self.root_fd));
            synced = now;
            pause = began.elapsed().max(PAUSE);
        }
        result
    }
}
