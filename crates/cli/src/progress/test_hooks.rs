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
        path::PathBuf,
        sync::atomic::{AtomicU64, Ordering},
    };

    use rustix::process::{Signal, getpid, kill_process};

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
}
