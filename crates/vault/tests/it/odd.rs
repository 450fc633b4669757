//! A directory with all that makes backups hard, and what can be seen of a directory.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileTypeExt, MetadataExt},
        net::UnixListener,
    },
    path::Path,
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// Names that are bytes, not text, and text that is not plain.
const NAMES: &[&[u8]] = &[
    b"plain",
    b"with space",
    b"quote\"back\\slash",
    b"a<b>&'x",
    b"\x07\x08\x0c\n\r\t\x0b",
    b"\x01\x1b\x7f",
    "café 中😀".as_bytes(),
    "\u{ad}\u{200b}\u{feff}\u{2028}\u{2029}\u{a0}\u{85}".as_bytes(),
    b"\xff\xfe\xc3(",
    b"\xed\xa0\x80",
    "\u{e0001}\u{100000}\u{378}\u{e000}".as_bytes(),
    "\u{fffd}".as_bytes(),
    b"-dash",
    b"...",
    b" ",
    b"\\x41",
    b"~",
    &[b'A'; 255],
];

/// Fills `root`. Devices and other owners where we may.
pub fn create(root: &Path) {
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for (number, name) in NAMES.iter().enumerate() {
        fs_err::write(at(name), name.repeat(number % 4)).unwrap();
        std::os::unix::fs::symlink(
            OsStr::from_bytes(b"to \x08<&> x"),
            at(&[b"l", &name[..name.len().min(99)]].concat()),
        )
        .unwrap();
    }
    for folder in [&b"d\xff"[..], b"empty", b"sticky"] {
        fs_err::create_dir(at(folder)).unwrap();
    }
    fs_err::write(at(b"d\xff").join("in"), "x").unwrap();
    fs_err::write(at(b"big"), vec![7; 3 << 20]).unwrap();
    fs_err::write(at(b"setuid"), "x").unwrap();
    fs_err::hard_link(at(b"setuid"), at(b"d\xff").join("hard")).unwrap();
    fs_err::write(at(b"no mode"), "x").unwrap();
    let mode = |name: &[u8], mode| rustix::fs::chmod(at(name), Mode::from_raw_mode(mode)).unwrap();
    drop(UnixListener::bind(at(b"socket")).unwrap());
    rustix::fs::mknodat(
        CWD,
        at(b"fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    for (name, value) in [
        ("user.a", &b"\x00\xff"[..]),
        ("user.empty", b""),
        ("user.caf\u{e9}<&", b"v"),
    ] {
        rustix::fs::setxattr(at(b"plain"), name, value, XattrFlags::empty()).unwrap();
    }
    rustix::fs::setxattr(at(b"d\xff"), "user.dir", &[b'1'; 300], XattrFlags::empty()).unwrap();
    if rustix::process::geteuid().is_root() {
        let device = rustix::fs::makedev(259, 1_048_575);
        rustix::fs::mknodat(
            CWD,
            at(b"block"),
            FileType::BlockDevice,
            Mode::from_raw_mode(0o600),
            device,
        )
        .unwrap();
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(
            CWD,
            at(b"char"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            null,
        )
        .unwrap();
        std::os::unix::fs::chown(at(b"plain"), Some(12_345), Some(54_321)).unwrap();
    }
    mode(b"setuid", 0o6755);
    mode(b"sticky", 0o1777);
    mode(b"no mode", 0);
    for (name, seconds, nanos) in [
        (&b"plain"[..], 1, 1),
        (b"~", -2, 500_000_000),
        (b"-dash", 2_000_000_000, 0),
        (b"d\xff", 1_234_567_890, 120_000_000),
    ] {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, at(name), &times, AtFlags::empty()).unwrap();
    }
}

/// What can be seen of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub device: u64,
    pub links: u64,
    pub content: Vec<u8>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// All files below `root` but sockets, which restic does not restore.
pub fn look(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs_err::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            if kind.is_socket() {
                continue;
            }
            let content = if kind.is_file() {
                fs_err::read(&path).unwrap()
            } else if kind.is_symlink() {
                fs_err::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_vec()
            } else {
                Vec::new()
            };
            let seen = Seen {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                mtime: (meta.mtime(), meta.mtime_nsec()),
                device: if kind.is_block_device() || kind.is_char_device() {
                    meta.rdev()
                } else {
                    0
                },
                links: if meta.is_dir() { 0 } else { meta.nlink() },
                content,
                xattrs: xattrs(&path),
            };
            let name = path
                .strip_prefix(root)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
            all.insert(name, seen);
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    all
}

pub fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = [0_u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let mut all = BTreeMap::new();
    for name in names[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = [0_u8; 4096];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        all.insert(name.to_vec(), value[..length].to_vec());
    }
    all
}
