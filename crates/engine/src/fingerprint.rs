//! What tells one engine from another. None of it is reliable alone (two engines on one machine can
//! share an id, Podman's changes at each call), so none of it is ever the identity.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{DockerEngine, Result};

/// Fingerprints of an engine and its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// The engine's own id, empty if it has none.
    pub engine_id: String,
    /// Host name as the engine reports it.
    pub hostname: String,
    /// `/etc/machine-id` of this machine, for an engine on a local socket.
    pub machine_id: Option<String>,
    /// The file system of the data root, for an engine on a local socket: `uuid:…` where the kernel's
    /// links name it, `fsid:…` (as `statfs` has it) elsewhere.
    pub data_root_fs: Option<String>,
}

impl DockerEngine {
    /// Fingerprints of the engine and, where it listens on a local socket, of this machine.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn fingerprints(&self) -> Result<Fingerprints> {
        let facts = self.facts()?;
        let local = self.endpoint().socket().is_some();
        Ok(Fingerprints {
            engine_id: facts.id,
            hostname: facts.hostname,
            machine_id: local.then(machine_id).flatten(),
            data_root_fs: local
                .then(|| file_system(Path::new(&facts.data_root)))
                .flatten(),
        })
    }
}

fn machine_id() -> Option<String> {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let ids = files
        .into_iter()
        .filter_map(|file| fs_err::read_to_string(file).ok());
    ids.map(|id| id.trim().to_owned())
        .find(|id| !id.is_empty() && id != "uninitialized")
}

/// The identity of the file system that holds `path`.
fn file_system(path: &Path) -> Option<String> {
    let device = fs_err::metadata(path).ok()?.dev();
    uuid_of(device, Path::new("/dev/disk/by-uuid"))
        .map(|uuid| format!("uuid:{uuid}"))
        .or_else(|| fsid(path))
}

/// The name under `/dev/disk/by-uuid` that leads to the device. File systems without a device of their
/// own (btrfs subvolumes, overlays) have none.
fn uuid_of(device: u64, links: &Path) -> Option<String> {
    let entries = fs_err::read_dir(links).ok()?;
    for entry in entries.filter_map(std::result::Result::ok) {
        if fs_err::metadata(entry.path()).is_ok_and(|node| node.rdev() == device) {
            return entry.file_name().into_string().ok();
        }
    }
    None
}

fn fsid(path: &Path) -> Option<String> {
    let stat = rustix::fs::statvfs(path).ok()?;
    (stat.f_fsid != 0).then(|| format!("fsid:{:016x}", stat.f_fsid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_the_same_fingerprint_twice() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(file_system(here), file_system(&here.join("src")));
        assert_eq!(file_system(Path::new("/no/such/place")), None);
    }
}
