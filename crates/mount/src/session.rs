//! Mounting, leaving, and what a killed mount left.

use std::{
    io,
    path::{Path, PathBuf},
};

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use lifeboat_vault::Reader;
use parking_lot::Mutex;
use rustix::{io::Errno, mount::UnmountFlags};

use crate::{filesystem::PointsFs, layout::MountedPoint};

/// The source that our mounts show in `/proc/self/mountinfo`.
const SOURCE: &str = "lifeboat";
/// Requests that are answered at the same time, at least.
const THREADS: usize = 4;

/// How to mount.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// Other users see it too; the kernel then minds owners and modes.
    pub allow_other: bool,
    /// Bytes of decoded blobs that are kept in memory.
    pub cache: usize,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            allow_other: false,
            cache: 128 << 20,
        }
    }
}

/// Why it could not be mounted, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The place will not do.
    #[error("{} cannot be mounted on: {why}", .place.display())]
    Place {
        /// Where.
        place: PathBuf,
        /// Why.
        why: String,
    },
    /// The system said no.
    #[error("mount on {}: {source}", .place.display())]
    Failed {
        /// Where.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Points that are mounted. Dropped, they are unmounted.
pub struct Mount {
    session: Session<PointsFs>,
    place: PathBuf,
}

/// Ends a mount from elsewhere, e.g. at a signal.
pub struct Unmounter {
    session: Mutex<SessionUnmounter>,
    place: PathBuf,
}

impl Mount {
    /// Mounts what `source` names on an empty directory. `source` is asked again now and then.
    pub fn new(
        reader: Reader,
        source: impl Fn() -> Result<Vec<MountedPoint>, String> + Send + Sync + 'static,
        place: &Path,
        options: &MountOptions,
    ) -> Result<Mount, MountError> {
        clear_what_is_dead(place)?;
        refuse_what_is_in_use(place)?;
        let place = fs_err::canonicalize(place).map_err(|e| failed(place, e))?;
        let filesystem = PointsFs::new(reader, Box::new(source), options.cache);
        let filesystem = filesystem.map_err(|e| failed(&place, e))?;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::RO,
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoAtime,
            MountOption::FSName(SOURCE.to_owned()),
            MountOption::Subtype(SOURCE.to_owned()),
        ];
        if options.allow_other {
            config.acl = SessionACL::All;
            config.mount_options.push(MountOption::DefaultPermissions);
        }
        let cores = std::thread::available_parallelism().map_or(THREADS, usize::from);
        config.n_threads = Some(cores.max(THREADS));
        let session = Session::new(filesystem, &place, &config).map_err(|e| failed(&place, e))?;
        Ok(Mount { session, place })
    }

    /// Where.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What ends it.
    pub fn unmounter(&mut self) -> Unmounter {
        Unmounter {
            session: Mutex::new(self.session.unmount_callable()),
            place: self.place.clone(),
        }
    }

    /// Answers until it is unmounted, by whomever.
    pub fn serve(self) -> Result<(), MountError> {
        let Mount { session, place } = self;
        session.run().map_err(|e| failed(&place, e))
    }
}

impl Unmounter {
    /// Unmounts. Where somebody uses it still, it vanishes from its place, and ends when they do.
    pub fn unmount(&self) {
        if let Err(error) = self.session.lock().unmount() {
            tracing::warn!(
                "{} is in use ({error}): it is taken away now, and ends when its last user does",
                self.place.display()
            );
            let _ = rustix::mount::unmount(&self.place, UnmountFlags::DETACH);
        }
    }
}

fn failed(place: &Path, source: io::Error) -> MountError {
    MountError::Failed {
        place: place.to_owned(),
        source,
    }
}

fn refused(place: &Path, why: &str) -> MountError {
    MountError::Place {
        place: place.to_owned(),
        why: why.to_owned(),
    }
}

/// A mount whose process was killed answers "not connected": ours is taken away, another's is named.
fn clear_what_is_dead(place: &Path) -> Result<(), MountError> {
    if rustix::fs::stat(place).err() != Some(Errno::NOTCONN) {
        return Ok(());
    }
    let place = std::path::absolute(place).map_err(|e| failed(place, e))?;
    if source_at(&place).as_deref() != Some(SOURCE) {
        let why = "a FUSE file system stands there whose program has died, and it is not ours; `umount` it first";
        return Err(refused(&place, why));
    }
    tracing::warn!(
        "{}: a mount whose process was killed is taken away",
        place.display()
    );
    match rustix::mount::unmount(&place, UnmountFlags::DETACH) {
        Err(e) if source_at(&place).as_deref() == Some(SOURCE) => {
            let why = format!(
                "a mount that was killed stands there and cannot be taken away ({e}); `fusermount3 -u` it first"
            );
            Err(refused(&place, &why))
        }
        // What watched over the one that was killed was quicker.
        _ => Ok(()),
    }
}

fn refuse_what_is_in_use(place: &Path) -> Result<(), MountError> {
    let mut entries = match fs_err::read_dir(place) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(refused(place, "there is no such directory; make it first"));
        }
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(refused(place, "it is no directory"));
        }
        Err(e) => return Err(failed(place, e)),
    };
    let real = fs_err::canonicalize(place).map_err(|e| failed(place, e))?;
    if source_at(&real).as_deref() == Some(SOURCE) {
        return Err(refused(place, "points are mounted there already"));
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(refused(
            place,
            "it is not empty, and what is in it would be hidden",
        )),
    }
}

/// The source of the topmost mount on a path, if there is one.
fn source_at(place: &Path) -> Option<String> {
    let table = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    source_in(&table, place.to_str()?)
}

/// `36 35 98:0 / /mnt rw - fuse SOURCE rw`: the path is the fifth field, the source the second behind the dash.
fn source_in(table: &str, place: &str) -> Option<String> {
    let on_place = |line: &&str| {
        let path = line.split(' ').nth(4).unwrap_or_default();
        path.replace("\\040", " ") == place
    };
    let line = table.lines().rev().find(on_place)?;
    let (_, behind) = line.split_once(" - ")?;
    Some(behind.split(' ').nth(1)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_counts() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            36 22 0:40 / /mnt/a\\040b rw,nosuid shared:1 - fuse lifeboat rw\n\
            37 22 0:41 / /mnt/c rw - fuse other rw\n\
            38 37 0:42 / /mnt/c rw - fuse.lifeboat lifeboat rw\n";
        for (place, source) in [
            ("/mnt/a b", Some("lifeboat")),
            ("/mnt/c", Some("lifeboat")),
            ("/mnt", None),
            ("/", Some("/dev/sda1")),
        ] {
            assert_eq!(source_in(table, place).as_deref(), source, "{place}");
        }
    }
}
