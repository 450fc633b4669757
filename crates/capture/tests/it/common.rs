//! The odd tree, the vault, and the checker.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err as fs;
use lifeboat_capture::{
    Cancel, CaptureOptions, Captured, Parent, RestoreOptions, RestoreRoot, Restored, SkipSet,
    Source, capture_tree, restore_tree,
};
use lifeboat_store::{LocalStore, MemoryStore, Store};
use lifeboat_vault::{
    BlobId, Environment, Silent, Snapshot, SnapshotId, Vault, Writer, WriterOptions,
};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use sha2::{Digest, Sha256};

pub const PASSWORD: &str = "correct horse";

pub fn memory_vault() -> Vault {
    vault(Arc::new(MemoryStore::new()))
}

pub fn local_vault(path: &Path) -> Vault {
    vault(Arc::new(LocalStore::new(path)))
}

pub fn open_vault(path: &Path) -> Vault {
    let store = Arc::new(LocalStore::new(path));
    Vault::open(
        store,
        PASSWORD.as_bytes(),
        Environment::system("lifeboat test"),
    )
    .unwrap()
}

pub fn vault(store: Arc<dyn Store>) -> Vault {
    Vault::create(
        store,
        PASSWORD.as_bytes(),
        Environment::system("lifeboat test"),
    )
    .unwrap()
}

pub fn writer(vault: &Vault) -> Writer {
    vault.writer(WriterOptions::default()).unwrap()
}

/// Captures with the options that most tests want.
pub fn capture(writer: &Writer, at: &Path, parent: Option<Parent<'_>>, later: bool) -> Captured {
    let (skip, cancel) = (SkipSet::new(), Cancel::new());
    let mut options = CaptureOptions::new(&skip, &Silent, &cancel);
    options.parent = parent;
    options.later_pass = later;
    capture_tree(writer, &Source::new(at), &options).unwrap()
}

/// Makes a snapshot whose root is the captured directory itself.
pub fn commit(writer: Writer, root: BlobId, paths: &[&str]) -> SnapshotId {
    let snapshot = Snapshot {
        time: lifeboat_capture::now().to_rfc3339(),
        tree: Some(root),
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        hostname: "test".to_owned(),
        ..Snapshot::default()
    };
    writer.commit(snapshot).unwrap()
}

pub fn subtree(captured: &Captured) -> BlobId {
    match captured.node.kind {
        lifeboat_vault::NodeKind::Dir { subtree } => subtree,
        ref other => panic!("{other:?}"),
    }
}

pub fn restore<'a>(vault: &Vault, root: impl Into<RestoreRoot<'a>>, target: &Path) -> Restored {
    let cancel = Cancel::new();
    let mut options = RestoreOptions::new(&Silent, &cancel);
    options.sync = false;
    restore_tree(&vault.reader().unwrap(), root, target, &options).unwrap()
}

/// What the checker knows of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, u64),
    pub content: String,
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// The first name of the same file.
    pub same_as: Option<String>,
    pub blocks: i64,
}

/// Looks at everything below a root, by path; independent of the code under test.
pub fn look(root: &Path) -> BTreeMap<String, Seen> {
    let mut out = BTreeMap::new();
    let mut first = BTreeMap::new();
    look_into(root, root, &mut out, &mut first);
    out
}

fn look_into(
    root: &Path,
    at: &Path,
    out: &mut BTreeMap<String, Seen>,
    first: &mut BTreeMap<u64, String>,
) {
    let name = at
        .strip_prefix(root)
        .unwrap()
        .as_os_str()
        .as_bytes()
        .escape_ascii()
        .to_string();
    let stat = rustix::fs::lstat(at).unwrap();
    let kind = FileType::from_raw_mode(stat.st_mode);
    let content = match kind {
        FileType::RegularFile => hex(&fs::read(at).unwrap()),
        FileType::Symlink => format!("{:?}", fs::read_link(at).unwrap()),
        FileType::BlockDevice | FileType::CharacterDevice => stat.st_rdev.to_string(),
        _ => String::new(),
    };
    let mut same_as = None;
    if kind != FileType::Directory && stat.st_nlink > 1 {
        same_as = Some(
            first
                .entry(stat.st_ino)
                .or_insert_with(|| name.clone())
                .clone(),
        );
    }
    let seen = Seen {
        kind: format!("{kind:?}"),
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        content,
        xattrs: xattrs(at),
        same_as,
        blocks: if kind == FileType::RegularFile {
            stat.st_blocks
        } else {
            0
        },
    };
    out.insert(name, seen);
    if kind == FileType::Directory {
        let mut names: Vec<PathBuf> = fs::read_dir(at)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        for path in names {
            look_into(root, &path, out, first);
        }
    }
}

fn xattrs(at: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0; 4096];
    let n = rustix::fs::llistxattr(at, &mut list[..]).unwrap();
    let mut found: Vec<_> = list[..n]
        .split(|b| *b == 0)
        .filter(|n| !n.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let n = rustix::fs::lgetxattr(at, name, &mut value[..]).unwrap();
            value.truncate(n);
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect();
    found.sort();
    found
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Compares two looks; `ignore` takes out what a reader cannot keep.
pub fn compare(
    a: &BTreeMap<String, Seen>,
    b: &BTreeMap<String, Seen>,
    ignore: impl Fn(&str, &mut Seen) -> bool,
) {
    let filtered = |map: &BTreeMap<String, Seen>| {
        let mut out = BTreeMap::new();
        for (name, seen) in map {
            let mut seen = seen.clone();
            if !ignore(name, &mut seen) {
                out.insert(name.clone(), seen);
            }
        }
        out
    };
    let (a, b) = (filtered(a), filtered(b));
    let names = |m: &BTreeMap<String, Seen>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (name, seen) in &a {
        assert_eq!(seen, &b[name], "{name}");
    }
}

/// As stored blocks differ with the file system's mood, only holes are compared.
pub fn without_blocks(_name: &str, seen: &mut Seen) -> bool {
    seen.blocks = 0;
    false
}

pub fn set_times(at: &Path, secs: i64, nanos: i64) {
    let spec = rustix::fs::Timespec {
        tv_sec: secs,
        tv_nsec: nanos,
    };
    let times = rustix::fs::Timestamps {
        last_access: spec,
        last_modification: spec,
    };
    rustix::fs::utimensat(CWD, at, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn set_xattr(at: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(at, name, value, XattrFlags::empty()).unwrap();
}

/// Bytes that do not compress and differ by seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(perm.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

const NOBODY: u32 = u32::MAX;

/// A tree with every oddity that a Linux file system can hold. Needs root.
pub fn odd_tree(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    fs::write(at(b"plain"), b"plain text\n").unwrap();
    fs::write(at(b"empty"), b"").unwrap();
    fs::write(at(b"no\xff\xfetext \x01\n\"<&>\\"), b"a name of bytes").unwrap();
    fs::write(at("ümläut 漢字".as_bytes()), b"a name of letters").unwrap();
    fs::write(at(&[b'n'; 255]), b"a long name").unwrap();
    fs::write(at(b"big"), noise(9 << 20, 1)).unwrap();
    fs::write(at(b"blocks"), noise(4 << 20, 2)).unwrap();

    fs::create_dir_all(at(b"deep/er/and/deeper")).unwrap();
    fs::write(at(b"deep/er/and/deeper/leaf"), b"leaf").unwrap();
    fs::create_dir(at(b"hollow")).unwrap();
    set_times(&at(b"hollow"), 1_000_000_000, 123_456_789);

    fs::hard_link(at(b"plain"), at(b"deep/plain-too")).unwrap();
    fs::hard_link(at(b"plain"), at(b"deep/er/plain-three")).unwrap();
    fs::hard_link(at(b"big"), at(b"deep/big-too")).unwrap();

    symlink("plain", at(b"link")).unwrap();
    symlink("/nowhere/at/all", at(b"dangling")).unwrap();
    symlink(OsStr::from_bytes(b"by\xfftes"), at(b"link-bytes")).unwrap();
    symlink("deep", at(b"link-dir")).unwrap();
    set_times(&at(b"link"), 12, 34);
    std::os::unix::fs::lchown(at(b"dangling"), Some(12), Some(34)).unwrap();
    set_xattr(&at(b"dangling"), "trusted.of-a-link", b"yes");

    let mode = Mode::from_raw_mode(0o640);
    let device = |major: u64, minor: u64| rustix::fs::makedev(major as u32, minor as u32);
    let mknod = |name: &[u8], kind, dev| {
        rustix::fs::mknodat(CWD, at(name), kind, mode, dev).unwrap();
    };
    mknod(b"null", FileType::CharacterDevice, device(1, 3));
    mknod(b"far", FileType::CharacterDevice, device(300, 70_000));
    mknod(b"loop", FileType::BlockDevice, device(7, 99));
    mknod(b"pipe", FileType::Fifo, 0);
    rustix::fs::chmodat(
        CWD,
        at(b"pipe"),
        Mode::from_raw_mode(0o4711),
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    set_times(&at(b"pipe"), 77, 88);
    drop(UnixListener::bind(at(b"socket")).unwrap());
    fs::hard_link(at(b"pipe"), at(b"pipe-too")).unwrap();

    // Sparse: a hole first, between and last.
    let sparse = fs::File::create(at(b"sparse")).unwrap();
    let (sparse, _) = sparse.into_parts();
    sparse.set_len(12 << 20).unwrap();
    rustix::io::pwrite(&sparse, &noise(70_000, 3), 3 << 20).unwrap();
    rustix::io::pwrite(&sparse, &noise(70_000, 4), 8 << 20).unwrap();
    let (all_hole, _) = fs::File::create(at(b"all-hole")).unwrap().into_parts();
    all_hole.set_len(3_000_001).unwrap();

    let owned = at(b"owned");
    fs::write(&owned, b"#!/bin/sh\n").unwrap();
    std::os::unix::fs::chown(&owned, Some(1234), Some(4321)).unwrap();
    chmod(&owned, 0o6755);
    set_xattr(&owned, "user.comment", b"with \0 and \xff");
    set_xattr(&owned, "user.empty", b"");
    set_xattr(&owned, "trusted.secret", &noise(2000, 5));
    let caps = [
        0x01, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let able = at(b"able");
    fs::write(&able, b"\x7fELF").unwrap();
    std::os::unix::fs::chown(&able, Some(7), Some(7)).unwrap();
    set_xattr(&able, "security.capability", &caps);
    let acled = at(b"acled");
    fs::write(&acled, b"acl").unwrap();
    let list = acl(&[
        (1, 6, NOBODY),
        (2, 4, 1000),
        (4, 4, NOBODY),
        (16, 4, NOBODY),
        (32, 0, NOBODY),
    ]);
    set_xattr(&acled, "system.posix_acl_access", &list);
    let handed = at(b"hands-down");
    fs::create_dir(&handed).unwrap();
    fs::write(handed.join("before"), b"without").unwrap();
    set_xattr(&handed, "system.posix_acl_default", &list);
    fs::write(handed.join("after"), b"with").unwrap();
    chmod(&at(b"deep/er"), 0o2775);
    chmod(&at(b"hollow"), 0o1777);

    set_times(&at(b"plain"), 1_234_567_890, 987_654_321);
    set_times(&at(b"empty"), -1_000_000, 5);
    set_times(&at(b"deep"), 4_000_000_000, 1);
    set_times(&at(b"deep/er"), 1, 999_999_999);
}

pub fn chmod(at: &Path, mode: u32) {
    rustix::fs::chmod(at, Mode::from_raw_mode(mode)).unwrap();
}

/// Waits until what was just written is old enough to be trusted.
pub fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(2100));
}

/// In memory where that can be had: what is measured is us, not the disk.
pub fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
