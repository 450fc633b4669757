//! A small pool of threads over a stack of jobs.
//!
//! The newest job is taken first, so that a walk goes deep before it goes wide, and the directories
//! that are open at once are about depth times threads. The first error stops everyone.

use parking_lot::{Condvar, Mutex};

use crate::{CaptureError, Result};

struct State<T> {
    jobs: Vec<T>,
    busy: usize,
    error: Option<CaptureError>,
    stopped: bool,
}

/// What jobs put further jobs into.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

impl<T> Queue<T> {
    /// Adds jobs; the last is taken first.
    pub(crate) fn extend(&self, jobs: impl IntoIterator<Item = T>) {
        self.state.lock().jobs.extend(jobs);
        self.wake.notify_all();
    }

    fn next(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                state.busy += 1;
                return Some(job);
            }
            if state.busy == 0 {
                // Nobody is left who could add a job.
                self.wake.notify_all();
                return None;
            }
            self.wake.wait(&mut state);
        }
    }
}

/// Counts a job as done however it ends: a panic must not leave the others waiting.
struct Busy<'a, T>(&'a Queue<T>);

impl<T> Drop for Busy<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.busy -= 1;
        if std::thread::panicking() {
            state.stopped = true;
        }
        if state.stopped || (state.busy == 0 && state.jobs.is_empty()) {
            self.0.wake.notify_all();
        }
    }
}

/// Runs `first` and all jobs that come of it. `context` makes what each thread keeps for itself.
pub(crate) fn run<T: Send, C>(
    threads: usize,
    first: T,
    context: impl Fn() -> C + Sync,
    work: impl Fn(T, &Queue<T>, &mut C) -> Result<()> + Sync,
) -> Result<()> {
    let queue = Queue {
        state: Mutex::new(State {
            jobs: vec![first],
            busy: 0,
            error: None,
            stopped: false,
        }),
        wake: Condvar::new(),
    };
    let worker = || {
        let mut own = context();
        while let Some(job) = queue.next() {
            let busy = Busy(&queue);
            if let Err(e) = work(job, &queue, &mut own) {
                let mut state = queue.state.lock();
                state.stopped = true;
                state.error.get_or_insert(e);
            }
            drop(busy);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    match queue.state.into_inner().error {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

/// How many threads `0` means.
pub(crate) fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism()
            .map_or(2, usize::from)
            .min(16),
        n => n,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn jobs_that_come_of_jobs_are_done() {
        let sum = AtomicU64::new(0);
        run(
            4,
            10_u64,
            || (),
            |n, queue, ()| {
                sum.fetch_add(1, Ordering::Relaxed);
                if n > 0 {
                    queue.extend([n - 1, n - 1]);
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(sum.into_inner(), 2047);
    }

    #[test]
    fn the_first_error_stops_everyone() {
        let end = run(
            3,
            0_u64,
            || (),
            |n, queue, ()| {
                queue.extend([n + 1, n + 1]);
                if n == 20 {
                    Err(CaptureError::Interrupted)
                } else {
                    Ok(())
                }
            },
        );
        assert!(matches!(end, Err(CaptureError::Interrupted)));
    }
}
