//! A tree with everything that a Linux file system can hold, and a checker that compares two trees.
//!
//! The checker shares no code with the product's walker: what the one overlooks, the other must not.

mod describe;
mod make;

use std::collections::BTreeSet;
use std::path::Path;

use crate::Result;

pub use describe::{Description, describe};
pub use make::{Made, make};

/// What a comparison leaves out. Nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore {
    /// Sockets: restic does not keep them.
    pub sockets: bool,
    /// Where a file has holes. Its content is compared in any case.
    pub holes: bool,
    /// Modification times of directories.
    pub directory_times: bool,
    /// Owners and groups, for restores without root.
    pub owners: bool,
    /// Extended attributes, ACLs and capabilities among them.
    pub xattrs: bool,
    /// The top directory itself: only what is in it is compared.
    pub top: bool,
}

/// Compares two trees, content and metadata. Each line is one difference; empty means the same.
pub fn compare(a: &Path, b: &Path, ignore: &Ignore) -> Result<Vec<String>> {
    let (a, b) = (describe(a)?, describe(b)?);
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let mut lines = Vec::new();
    for name in names {
        if ignore.top && name == "." {
            continue;
        }
        match (a.get(name), b.get(name)) {
            (Some(one), Some(two)) => one.differences(name, two, ignore, &mut lines),
            (Some(one), None) if !(ignore.sockets && one.kind == "socket") => {
                lines.push(format!("{name}: the {} is missing in the second", one.kind));
            }
            (None, Some(two)) if !(ignore.sockets && two.kind == "socket") => {
                lines.push(format!("{name}: the {} is missing in the first", two.kind));
            }
            _ => {}
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use fs_err as fs;

    use super::*;

    /// `cp -a` keeps all of it; so two trees are the same, and each change is seen.
    #[test]
    fn copies_are_equal_and_each_kind_of_change_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        let made = make(&a, 1 << 20).unwrap();
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=always"]).arg(&a).arg(&b);
        crate::command::run(&mut copy).unwrap();
        let ignore = Ignore {
            sockets: true,
            holes: true,
            ..Ignore::default()
        };
        assert_eq!(compare(&a, &b, &ignore).unwrap(), Vec::<String>::new());
        assert!(made.entries > 50, "{made:?}");

        let change = |script: &str| {
            let mut sh = Command::new("sh");
            crate::command::run(sh.current_dir(&b).args(["-ec", script])).unwrap();
            let lines = compare(&a, &b, &ignore).unwrap();
            fs::remove_dir_all(&b).unwrap();
            let mut copy = Command::new("cp");
            copy.args(["-a", "--sparse=always"]).arg(&a).arg(&b);
            crate::command::run(&mut copy).unwrap();
            lines
        };
        let one = |script: &str, word: &str| {
            let lines = change(script);
            let seen = lines.iter().any(|line| line.contains(word));
            assert!(seen, "{script}: {lines:?} has no {word}");
        };
        one("touch -d '2001-02-03 04:05:06.7' files/empty", "mtime");
        one("chmod 601 files/empty", "mode");
        one("ln -sfn elsewhere links/dangling", "target");
        one("rm files/empty", "missing in the second");
        one("touch files/new", "missing in the first");
        one(
            "cp --preserve=all links/hard-1 t; mv t links/hard-1",
            "hard link",
        );
        one(
            "printf X | dd of=files/large bs=1 seek=500000 conv=notrunc status=none",
            "content",
        );
    }

    #[test]
    fn without_ignoring_a_missing_socket_and_a_filled_hole_are_seen() {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        make(&a, 4096).unwrap();
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=never"]).arg(&a).arg(&b);
        crate::command::run(&mut copy).unwrap();
        fs::remove_file(b.join("special/socket")).unwrap();
        let lines = compare(&a, &b, &Ignore::default()).unwrap();
        assert!(lines.iter().any(|line| line.starts_with("special/socket")));
        assert!(
            lines.iter().any(|line| line.contains("data at")),
            "{lines:?}"
        );
    }
}
