//! Reading the facts that tell one engine from another (`plan::fingerprint` compares them).

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lifeboat_plan::fingerprint::Fingerprints;

use crate::{DockerEngine, Result};

impl DockerEngine {
    /// Fingerprints of the engine and, where it listens on a local socket, of this machine. A fact that
    /// cannot be read, or would change by itself, is absent.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn fingerprints(&self) -> Result<Fingerprints> {
        let facts = self.facts()?;
        let local = self.endpoint().socket().is_some();
        let given = |text: String| (!text.is_empty()).then_some(text);
        let data_root = Path::new(&facts.data_root);
        Ok(Fingerprints {
            machine_id: local.then(machine_id).flatten(),
            data_root_fs_uuid: local.then(|| file_system(data_root)).flatten(),
            // Podman makes up another one at each call.
            engine_id: given(facts.id).filter(|_| facts.kind != "podman"),
            hostname: given(facts.hostname),
            data_root: given(facts.data_root),
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

/// The identity of the file system that holds `path`: its UUID where the kernel's links name it, what
/// `statfs` says where that is made from the UUID.
fn file_system(path: &Path) -> Option<String> {
    let device = fs_err::metadata(path).ok()?.dev();
    uuid_of(device, Path::new("/dev/disk/by-uuid")).or_else(|| fsid(path))
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

/// Only ext2-4 and btrfs make it from the UUID; elsewhere it is a device number, another one after the
/// next boot, and would contradict itself.
fn fsid(path: &Path) -> Option<String> {
    const FROM_UUID: [u64; 2] = [0xEF53, 0x9123_683E];
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    let id = rustix::fs::statvfs(path).ok()?.f_fsid;
    let stable = u64::try_from(kind).is_ok_and(|kind| FROM_UUID.contains(&kind)) && id != 0;
    stable.then(|| format!("fsid-{id:016x}"))
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
