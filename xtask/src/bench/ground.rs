//! Where the programs run: an XFS file system of its own, in a sparse file of the disk.
//!
//! ext4 does not give away an inode again for a minute after it was deleted, and looks at all of them whenever a file is
//! made (`recently_deleted` in `fs/ext4/ialloc.c`). Runs that make, delete and make again tens of thousands of files
//! would measure that: seconds became tens of seconds, whoever restored.
//!
//! Or in a file in memory: where the disk is slower than two cores it is all that is measured, and says nothing of the
//! program that waits for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use lifeboat_testkit::{command, packages};

/// Bytes of the file system for each byte that the sets may have: a vault, what is restored, and room.
const ROOM: u64 = 4;

/// What the file lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// The disk that holds the workspace.
    Disk,
    /// A tmpfs of its own.
    Memory,
}

/// Mounted as long as it lives.
pub struct Ground {
    dir: PathBuf,
    /// Where the tmpfs goes.
    memory: PathBuf,
    image: PathBuf,
}

impl Ground {
    /// Makes it anew in `dir/run`. Needs root.
    pub fn new(dir: &Path, space: u64, below: Below) -> Result<Self> {
        packages::ensure(&[("xfsprogs", "makes the file system that runs happen on")])?;
        let memory = dir.join("memory");
        let image = match below {
            Below::Disk => dir.join("run.xfs"),
            Below::Memory => memory.join("run.xfs"),
        };
        let dir = dir.join("run");
        let ground = Self { dir, memory, image };
        // What a run that was killed has left.
        ground.unmount();
        fs_err::create_dir_all(&ground.dir)?;
        if below == Below::Memory {
            fs_err::create_dir_all(&ground.memory)?;
            let kind = ["-t", "tmpfs", "-o", "size=100%", "lifeboat-bench"];
            command::run(Command::new("mount").args(kind).arg(&ground.memory))?;
        }
        match below {
            Below::Disk => fs_err::File::create(&ground.image)?.set_len(space * ROOM)?,
            // All of it at once: else whoever writes to a page first waits until there is one, and what nobody needs any
            // more stays beside the data in memory.
            Below::Memory => drop(command::run(
                Command::new("fallocate")
                    .args(["--length", &space.to_string()])
                    .arg(&ground.image),
            )?),
        }
        // Without asking for the file's blocks to be given back.
        let quietly = ["-q", "-f", "-K"];
        command::run(Command::new("mkfs.xfs").args(quietly).arg(&ground.image))?;
        ground.mount()?;
        Ok(ground)
    }

    /// Through a loop device that reads and writes the file directly: else the kernel copies each byte once more, and keeps
    /// it in the page cache twice.
    fn mount(&self) -> Result<()> {
        let device = command::run(
            Command::new("losetup")
                .args(["--show", "--find", "--direct-io=on"])
                .arg(&self.image),
        )?;
        let device = device.trim();
        let mounted = command::run(Command::new("mount").arg(device).arg(&self.dir));
        // It goes when nothing uses it any more.
        command::run(Command::new("losetup").args(["--detach", device]))?;
        mounted.map(drop).map_err(Into::into)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until nothing of what was done before is still being done: XFS takes deleted files apart in the background
    /// (`xfs_inodegc`), for seconds after gigabytes of them; only freezing the file system waits for that.
    pub fn settle(&self) -> Result<()> {
        for step in ["--freeze", "--unfreeze"] {
            command::run(Command::new("fsfreeze").arg(step).arg(&self.dir))?;
        }
        Ok(())
    }

    /// Gives the room of what was deleted back to what the file lies on.
    pub fn trim(&self) -> Result<()> {
        self.settle()?;
        command::run(Command::new("fstrim").arg(&self.dir))?;
        Ok(())
    }

    fn unmount(&self) {
        let mounted = fs_err::read_to_string("/proc/self/mounts").unwrap_or_default();
        let unmount = |dir: &Path| {
            if mounted.contains(&format!(" {} ", dir.display())) {
                let _ = command::run(Command::new("umount").arg(dir));
            }
        };
        unmount(&self.dir);
        let _ = fs_err::remove_file(&self.image);
        unmount(&self.memory);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.unmount();
    }
}
