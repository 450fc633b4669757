//! One agent a state directory.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result};

/// Held as long as it lives; the kernel lets go of it when the process dies.
pub(crate) struct Lock(#[allow(dead_code, reason = "held, not read")] fs::File);

impl Lock {
    pub(crate) fn take(folder: &Path, state: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let opened = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(Error::file("lock the agent's state"))?;
        if flock(file.file(), FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(Error::Running {
                pid: pid.trim().to_owned(),
                state: state.to_owned(),
            });
        }
        let write = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        let mut write = write;
        write().map_err(Error::file("lock the agent's state"))?;
        Ok(Self(file))
    }
}
