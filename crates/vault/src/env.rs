//! Time, randomness and who we are: handed in, so that one seed replays a whole run.

use std::{sync::Arc, time::Duration};

use crate::{error::Result, node::Timestamp};

/// Tells the time of day.
pub trait Clock: Send + Sync {
    /// Now, as everybody says it. May be wrong, and may jump.
    fn now(&self) -> Timestamp;

    /// Time on a clock that nobody sets, and that runs on while the machine is suspended.
    fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let part = |n: i64| u64::try_from(n).unwrap_or(0);
        Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
    }

    /// Waits.
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Source of randomness, good enough for keys.
pub trait Random: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// What the vault knows of the world outside.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// This machine's name, as locks and keys carry it.
    pub hostname: String,
    /// The user's name.
    pub username: String,
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// This process.
    pub pid: u32,
    /// Name and version of the program, e.g. `lifeboat 0.1.0`.
    pub program: String,
    /// Whether the vault may work on threads of its own. Without them a session does everything on
    /// the caller's thread, in an order that depends on nothing else, and its locks tell nothing of the process: one
    /// seed replays a run.
    pub threads: bool,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("hostname", &self.hostname)
            .field("username", &self.username)
            .field("pid", &self.pid)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// Real clock, the operating system's randomness, this process.
    pub fn system(program: &str) -> Environment {
        let uid = rustix::process::getuid().as_raw();
        let hostname = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Environment {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            hostname,
            username: if uid == 0 {
                "root".to_owned()
            } else {
                format!("uid-{uid}")
            },
            uid,
            gid: rustix::process::getgid().as_raw(),
            pid: std::process::id(),
            program: program.to_owned(),
            threads: true,
        }
    }
}

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp {
            secs: now.tv_sec,
            nanos: u32::try_from(now.tv_nsec).unwrap_or(0),
        }
    }
}

/// The kernel's randomness, asked anew for every use: nothing is kept that a copy of the running machine could give out
/// twice, and a process that writes little pays for no generator of its own.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, mut bytes: &mut [u8]) -> Result<()> {
        use rustix::{io::Errno, rand};
        while !bytes.is_empty() {
            match rand::getrandom(&mut *bytes, rand::GetRandomFlags::empty()) {
                Ok(filled) => bytes = bytes.get_mut(filled..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(crate::error::VaultError::Io {
                        context: "read random bytes".to_owned(),
                        source: errno.into(),
                    });
                }
            }
        }
        Ok(())
    }
}
