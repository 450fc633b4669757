//! Crash tests: the program kills itself where the environment says. In debug builds only: no
//! released program has it.

#[cfg(not(debug_assertions))]
pub use absent::TestHooks;
#[cfg(debug_assertions)]
pub use present::TestHooks;

#[cfg(not(debug_assertions))]
mod absent {
    /// Nothing.
    pub struct TestHooks;

    impl TestHooks {
        pub fn from_environment() -> Self {
            Self
        }

        pub fn step(&self, _name: &str) {}
    }
}

#[cfg(debug_assertions)]
mod present {
    use std::{
        io::Write,
        path::{Path, PathBuf},
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use rustix::{
        fs::{CWD, Mode, OFlags, openat},
        process::{Signal, getpid, kill_process},
    };

    use crate::environment;

    /// Where to die, and where to say which steps there were.
    pub struct TestHooks {
        kill_at: Option<(String, u64)>,
        log: Option<PathBuf>,
        seen: AtomicU64,
    }

    impl TestHooks {
        pub fn from_environment() -> Self {
            Self {
                kill_at: environment::test_kill_at(),
                log: environment::test_log_steps(),
                seen: AtomicU64::new(0),
            }
        }

        /// Logs the step, then dies if it is the one.
        pub fn step(&self, name: &str) {
            if let Some(path) = &self.log {
                let file = fs_err::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path);
                if let Ok(mut file) = file {
                    let _ = writeln!(file, "{name}");
                    drop(file);
                    until_it_was_read(path);
                }
            }
            if let Some((step, at)) = &self.kill_at
                && step == name
                && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == *at
            {
                let _ = kill_process(getpid(), Signal::KILL);
            }
        }
    }
    /// A pipe is how a test holds the program: the next step must not be said to the reader of this
    /// one, or two steps are taken for one. With a plain file nobody reads, and nothing is waited for.
    fn until_it_was_read(path: &Path) {
        use std::os::unix::fs::FileTypeExt;
        for _ in 0..5000 {
            let is_pipe = fs_err::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo());
            let reader = openat(CWD, path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
            if !is_pipe || reader.is_err() {
                return;
            }
            drop(reader);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
