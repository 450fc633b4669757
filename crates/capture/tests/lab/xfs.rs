//! Restores onto XFS, where small files get their blocks as they are written.

use std::{os::unix::fs::MetadataExt, path::Path, process::Command};

use fs_err as fs;
use lifeboat_capture::{Cancel, CaptureError, RestoreOptions, restore_tree};
use lifeboat_testkit::packages;
use lifeboat_vault::{BlobId, Silent, Vault};

use crate::common::*;

/// A file system in a file; unmounted when dropped.
struct Disk<'p>(&'p Path);

impl<'p> Disk<'p> {
    fn mount(file: &Path, at: &'p Path) -> Self {
        packages::ensure(&[("xfsprogs", "makes the file system that is restored onto")]).unwrap();
        fs::create_dir(at).unwrap();
        fs::File::create(file).unwrap().set_len(512 << 20).unwrap();
        let run = |program: &str, args: &[&Path]| {
            let mut command = Command::new(program);
            if program == "mount" {
                command.args(["-o", "loop"]);
            }
            let output = command.args(args).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        };
        run("mkfs.xfs", &["-q".as_ref(), file]);
        run("mount", &[file, at]);
        Disk(at)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Restores as the program does: synced in the end.
fn restore_synced(vault: &Vault, root: BlobId, to: &Path) -> Result<(), CaptureError> {
    let cancel = Cancel::new();
    let options = RestoreOptions::new(&Silent, &cancel);
    restore_tree(&vault.reader().unwrap(), root, to, &options).map(drop)
}

#[test]
fn small_files_come_back_whole_with_their_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("disk"));
    odd_tree(&from);
    for n in 0..2000 {
        fs::write(from.join(format!("f{n}")), noise(n * 7, n as u64)).unwrap();
    }
    // Small enough to be written as small files are.
    let mut hole = noise(3 << 20, 9);
    hole[300_000..3_000_000].fill(0);
    fs::write(from.join("hole"), &hole).unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/odd"]);
    let _disk = Disk::mount(&dir.path().join("disk.xfs"), &to);
    let to = to.join("restored");
    restore_synced(&vault, subtree(&captured), &to).unwrap();
    let (mut a, mut b) = (look(&from), look(&to));
    // The tree alone was restored.
    a.remove("");
    b.remove("");
    compare(&a, &b, |_, seen| {
        seen.blocks = 0;
        // How XFS keeps an access control list.
        seen.xattrs
            .retain(|(name, _)| !name.starts_with("trusted.SGI_ACL"));
        false
    });
    let blocks = fs::metadata(to.join("hole")).unwrap().blocks();
    assert!(blocks * 512 < 2 << 20, "{blocks} blocks");
    let f300 = fs::metadata(to.join("f300")).unwrap();
    assert_eq!((f300.len(), f300.blocks()), (2100, 8));
}

#[test]
fn a_full_disk_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("disk"));
    fs::create_dir(&from).unwrap();
    for n in 0..3000 {
        fs::write(from.join(format!("f{n}")), noise(9000, n)).unwrap();
    }
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/x"]);
    let _disk = Disk::mount(&dir.path().join("disk.xfs"), &to);
    let free = rustix::fs::statvfs(&to).unwrap();
    let ballast = fs::File::create(to.join("ballast")).unwrap();
    let all_but = free.f_bavail * free.f_frsize - (16 << 20);
    rustix::fs::fallocate(
        ballast.into_parts().0,
        rustix::fs::FallocateFlags::empty(),
        0,
        all_but,
    )
    .unwrap();
    let to = to.join("restored");
    match restore_synced(&vault, subtree(&captured), &to) {
        Err(CaptureError::Full { .. }) => {}
        other => panic!("{other:?}"),
    }
    // What is there is whole.
    for entry in fs::read_dir(&to).unwrap() {
        let entry = entry.unwrap();
        let content = fs::read(entry.path()).unwrap();
        assert!(content == fs::read(from.join(entry.file_name())).unwrap());
    }
}
