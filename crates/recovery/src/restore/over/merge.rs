//! A project's files: only those that differ change places. What else lies in the folder is nobody's
//! to move, and the folder holds bind mounts that are decided about by themselves.

use std::{
    ffi::OsString,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::{
    Result,
    restore::exchange::{Pair, remove_tree},
};

/// Compares what was made at `aside` with what is in use at `target`, file by file. What is equal is
/// taken away from `aside`; what differs, or is not in use at all, becomes a pair.
pub fn differing(target: &Path, aside: &Path) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    compare(target, aside, &mut pairs)?;
    if pairs.is_empty() {
        remove_tree(aside)?;
    }
    Ok(pairs)
}

fn compare(target: &Path, aside: &Path, pairs: &mut Vec<Pair>) -> Result<()> {
    let new = fs_err::symlink_metadata(aside)?;
    let old = fs_err::symlink_metadata(target).ok();
    let both_folders = new.is_dir() && old.as_ref().is_some_and(|old| old.is_dir());
    if !both_folders {
        if old.is_some_and(|old| is_equal(&old, &new, target, aside)) {
            return remove_tree(aside);
        }
        pairs.push(Pair::seal(target, aside)?);
        return Ok(());
    }
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs_err::read_dir(aside)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let before = pairs.len();
    for name in names {
        compare(&target.join(&name), &aside.join(&name), pairs)?;
    }
    if pairs.len() == before {
        remove_tree(aside)?;
    }
    Ok(())
}

/// Equal in kind, content, owner and mode. Times differ for good reasons.
fn is_equal(old: &std::fs::Metadata, new: &std::fs::Metadata, a: &Path, b: &Path) -> bool {
    if old.file_type() != new.file_type() || (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        return false;
    }
    if new.is_symlink() {
        return fs_err::read_link(a).ok() == fs_err::read_link(b).ok();
    }
    if old.permissions().mode() != new.permissions().mode() || old.len() != new.len() {
        return false;
    }
    !new.is_file() || same_content(a, b).unwrap_or(false)
}

fn same_content(a: &Path, b: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let (mut a, mut b) = (fs_err::File::open(a)?, fs_err::File::open(b)?);
    let (mut one, mut other) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = a.read(&mut one)?;
        if read == 0 {
            return Ok(b.read(&mut other[..1])? == 0);
        }
        if b.read_exact(&mut other[..read]).is_err() || one[..read] != other[..read] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_changes_places() {
        let dir = tempfile::tempdir().unwrap();
        let (target, aside) = (dir.path().join("p"), dir.path().join(".p"));
        for root in [&target, &aside] {
            fs_err::create_dir_all(root.join("same")).unwrap();
            fs_err::create_dir_all(root.join("mixed")).unwrap();
            for (name, text) in [("same/a", "1"), ("mixed/a", "1"), ("b", "2")] {
                fs_err::write(root.join(name), text).unwrap();
            }
        }
        assert_eq!(differing(&target, &aside).unwrap(), []);
        assert!(!aside.exists());
        fs_err::create_dir_all(aside.join("mixed")).unwrap();
        fs_err::create_dir_all(aside.join("whole/below")).unwrap();
        for (name, text) in [("mixed/a", "1"), ("mixed/c", "new"), ("b", "3")] {
            fs_err::write(aside.join(name), text).unwrap();
        }
        fs_err::write(target.join("theirs"), "stays").unwrap();
        let pairs = differing(&target, &aside).unwrap();
        let names: Vec<_> = pairs
            .iter()
            .map(|p| p.target.strip_prefix(&target).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["b", "mixed/c", "whole"]);
        pairs.iter().for_each(|p| p.exchange(&|_| {}).unwrap());
        assert_eq!(fs_err::read_to_string(target.join("b")).unwrap(), "3");
        assert_eq!(fs_err::read_to_string(aside.join("b")).unwrap(), "2");
        assert!(target.join("whole/below").is_dir() && target.join("theirs").is_file());
        pairs
            .iter()
            .rev()
            .for_each(|p| p.put_back(&|_| {}).unwrap());
        assert_eq!(fs_err::read_to_string(target.join("b")).unwrap(), "2");
        assert!(!target.join("whole").exists() && !target.join("mixed/c").exists());
    }
}
