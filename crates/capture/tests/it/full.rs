//! A target that is too small.

use std::path::{Path, PathBuf};

use fs_err as fs;
use lifeboat_capture::{Cancel, CaptureError, RestoreOptions, restore_tree};
use lifeboat_vault::Silent;

use crate::common::*;

/// A small file system, unmounted when dropped. `None` where mounting is not allowed.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn tmpfs(at: &Path, data: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let data = std::ffi::CString::new(data).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", at, "tmpfs", flags, data.as_c_str()).ok()?;
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_target_is_said_and_leaves_no_half_file() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("big"), noise(3 << 20, 1)).unwrap();
    fs::write(from.join("a-small"), b"small").unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/x"]);
    let to = dir.path().join("to");
    let Some(_mounted) = Mounted::tmpfs(&to, "size=1m") else {
        return;
    };
    let cancel = Cancel::new();
    let options = RestoreOptions::new(&Silent, &cancel);
    let end = restore_tree(&vault.reader().unwrap(), subtree(&captured), &to, &options);
    match end {
        Err(CaptureError::Full { path }) => assert_eq!(path, to.join("big")),
        other => panic!("{other:?}"),
    }
    assert!(!to.join("big").exists());
}
