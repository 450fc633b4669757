//! Making the tree. What needs root (devices, other owners, trusted and security attributes) is
//! left out without it, and counted.

use std::ffi::OsStr;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::Result;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// How many names there are, the top not counted.
    pub entries: usize,
    /// Whether what needs root is among them.
    pub with_root: bool,
}

/// Makes `top` and fills it. The large file, of content that does not compress, gets `large` bytes.
pub fn make(top: &Path, large: u64) -> Result<Made> {
    fs::create_dir(top)?;
    let with_root = rustix::process::geteuid().is_root();
    names(&sub(top, "names")?)?;
    files(&sub(top, "files")?, large)?;
    links(&sub(top, "links")?)?;
    sparse(&sub(top, "sparse")?)?;
    modes(&sub(top, "modes")?, with_root)?;
    attributes(&sub(top, "attributes")?, with_root)?;
    special(&sub(top, "special")?, with_root)?;
    // Last, because making a file changes its directory's time.
    times(&sub(top, "times")?)?;
    set_time(top, 1_111_111_111, 111_111_111)?;
    let entries = super::describe(top)?.len() - 1;
    Ok(Made { entries, with_root })
}

fn sub(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    fs::create_dir(&path)?;
    Ok(path)
}

fn names(dir: &Path) -> Result<()> {
    let long = [b'l'; 255];
    let odd: [&[u8]; 16] = [
        b"with blank",
        b" ",
        b"not utf-8 \xff\xfe\x80",
        b"\xc3",
        b"new\nline",
        b"quote\"s'`",
        b"control\x01\x07\x1b[31m\x7f",
        b"tab\tand\rreturn",
        b"back\\slash",
        b"-rf",
        b"...",
        b"*?[a]",
        "gr\u{fc}n \u{1f6df}".as_bytes(),
        // The same to the eye, another name to the kernel.
        "gru\u{308}n \u{1f6df}".as_bytes(),
        b"$HOME %s {}",
        &long,
    ];
    for (number, name) in odd.iter().enumerate() {
        fs::write(dir.join(OsStr::from_bytes(name)), format!("{number}\n"))?;
    }
    let deep = dir
        .join(OsStr::from_bytes(b"dir \xff"))
        .join("a/b/c/d/e/f/g");
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("bottom"), "down here\n")?;
    Ok(())
}

fn files(dir: &Path, large: u64) -> Result<()> {
    fs::write(dir.join("empty"), "")?;
    sub(dir, "empty directory")?;
    fs::write(dir.join("one byte"), "x")?;
    fs::write(dir.join("zeros, written"), vec![0; 300_000])?;
    for copy in ["same 1", "same 2"] {
        fs::write(dir.join(copy), noise(7, 200_000))?;
    }
    let mut file = fs::File::create(dir.join("large"))?;
    let mut left = large;
    for seed in 1.. {
        let part = noise(seed, left.min(1 << 20));
        file.write_all(&part)?;
        left -= part.len() as u64;
        if left == 0 {
            break;
        }
    }
    let many = sub(dir, "many")?;
    for number in 0..100 {
        fs::write(many.join(format!("{number:03}")), format!("{number}\n"))?;
    }
    Ok(())
}

fn links(dir: &Path) -> Result<()> {
    fs::write(dir.join("hard-1"), "three names\n")?;
    fs::hard_link(dir.join("hard-1"), dir.join("hard-2"))?;
    fs::hard_link(dir.join("hard-1"), sub(dir, "other")?.join("hard-3"))?;
    let long = "long/".repeat(800);
    let targets: [(&str, &OsStr); 7] = [
        ("relative", OsStr::new("hard-1")),
        ("up", OsStr::new("../../../../etc/passwd")),
        ("absolute", OsStr::new("/etc/hostname")),
        ("dangling", OsStr::new("nowhere")),
        ("loop", OsStr::new("loop")),
        ("odd target", OsStr::from_bytes(b"new\nline \xff")),
        ("long target", OsStr::new(&long)),
    ];
    for (name, target) in targets {
        symlink(target, dir.join(name))?;
    }
    fs::hard_link(dir.join("dangling"), dir.join("dangling, hard link"))?;
    Ok(())
}

fn sparse(dir: &Path) -> Result<()> {
    const BLOCK: u64 = 64 * 1024;
    // Where data stands, in blocks, and how many blocks the file has.
    let shapes: [(&str, &[u64], u64); 5] = [
        ("hole only", &[], 160),
        ("hole first", &[15], 16),
        ("hole last", &[0], 16),
        ("hole between", &[0, 9], 10),
        ("many holes", &[1, 3, 5, 7], 9),
    ];
    for (name, blocks, length) in shapes {
        let file = fs::File::create(dir.join(name))?;
        file.set_len(length * BLOCK)?;
        for block in blocks {
            file.file()
                .write_all_at(&noise(*block, BLOCK), block * BLOCK)?;
        }
    }
    // An odd length that no block ends at.
    let mut file = fs::File::create(dir.join("odd end"))?;
    file.seek(SeekFrom::Start(1_000_003))?;
    file.write_all(b"end")?;
    Ok(())
}

fn modes(dir: &Path, with_root: bool) -> Result<()> {
    for mode in [0o4755, 0o2755, 0o6711, 0o1644, 0o777, 0o000, 0o200, 0o111] {
        if !with_root && mode & 0o400 == 0 {
            continue; // Nobody but root could read it for the comparison.
        }
        let path = dir.join(format!("{mode:04o}"));
        fs::write(&path, format!("{mode:o}\n"))?;
        chmod(&path, mode)?;
    }
    for mode in [0o1777, 0o2775, 0o3770, 0o700] {
        let path = sub(dir, &format!("directory {mode:04o}"))?;
        chmod(&path, mode)?;
    }
    if with_root {
        for (uid, gid) in [(1234, 5678), (0, 42), (65534, 65534), (4_294_967_294, 0)] {
            let path = dir.join(format!("of {uid} {gid}"));
            fs::write(&path, "mine\n")?;
            std::os::unix::fs::chown(&path, Some(uid), Some(gid))?;
            // After the change of owner, which takes set-id bits away.
            chmod(&path, 0o6755)?;
            let link = dir.join(format!("link of {uid} {gid}"));
            symlink("x", &link)?;
            std::os::unix::fs::lchown(&link, Some(uid), Some(gid))?;
        }
        let locked = sub(dir, "directory 0000")?;
        fs::write(locked.join("inside"), "hidden\n")?;
        chmod(&locked, 0)?;
    }
    Ok(())
}

fn attributes(dir: &Path, with_root: bool) -> Result<()> {
    let file = dir.join("file");
    fs::write(&file, "with attributes\n")?;
    let inside = sub(dir, "directory")?;
    for path in [&file, &inside] {
        set_xattr(path, "user.text", b"some text")?;
        set_xattr(path, "user.binary", b"\0\xff\n\0")?;
        set_xattr(path, "user.empty", b"")?;
        set_xattr(path, "user.n\u{e4}me = odd", b"1")?;
    }
    set_xattr(&file, "user.large", &noise(3, 2000))?;

    let acl = dir.join("acl");
    fs::write(&acl, "with an ACL\n")?;
    set_xattr(&acl, "system.posix_acl_access", &posix_acl())?;
    let inherits = sub(dir, "directory with default acl")?;
    set_xattr(&inherits, "system.posix_acl_access", &posix_acl())?;
    set_xattr(&inherits, "system.posix_acl_default", &posix_acl())?;

    if with_root {
        let program = dir.join("capable");
        fs::write(&program, "#!/bin/true\n")?;
        chmod(&program, 0o755)?;
        // VFS_CAP_REVISION_2, effective; CAP_NET_BIND_SERVICE and CAP_NET_RAW permitted.
        let words = [0x0200_0001_u32, 1 << 10 | 1 << 13, 0, 0, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        set_xattr(&program, "security.capability", &bytes)?;
        set_xattr(&file, "trusted.lifeboat", b"for root alone")?;
        let link = dir.join("link");
        symlink("file", &link)?;
        set_xattr(&link, "trusted.on-a-link", b"yes")?;
    }
    Ok(())
}

/// user::rw- user:1234:r-- group::r-- mask::r-- other::---, as the kernel keeps it.
fn posix_acl() -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, NOBODY),
        (0x02, 4, 1234),
        (0x04, 4, NOBODY),
        (0x10, 4, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn special(dir: &Path, with_root: bool) -> Result<()> {
    let mut nodes = vec![("fifo", FileType::Fifo, 0)];
    if with_root {
        nodes.push(("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)));
        nodes.push(("disk", FileType::BlockDevice, rustix::fs::makedev(7, 200)));
        let large = rustix::fs::makedev(250, 70_000);
        nodes.push(("large number", FileType::CharacterDevice, large));
    }
    for (name, kind, device) in nodes {
        let path = dir.join(name);
        let mode = Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(CWD, &path, kind, mode, device).map_err(std::io::Error::from)?;
    }
    fs::hard_link(dir.join("fifo"), dir.join("fifo, hard link"))?;
    // The name of a socket is short; the socket itself may then lie deeper.
    let short = tempfile::tempdir()?;
    let socket = short.path().join("s");
    drop(UnixListener::bind(&socket)?);
    if fs::rename(&socket, dir.join("socket")).is_err() {
        drop(UnixListener::bind(dir.join("socket"))?);
    }
    Ok(())
}

fn times(dir: &Path) -> Result<()> {
    // Before 1970, at its very beginning, with all nine digits, beyond 32 bits.
    let all = [
        (-86_400, 5),
        (0, 0),
        (1_234_567_890, 123_456_789),
        (1_700_000_000, 999_999_999),
        (7_258_118_400, 1),
    ];
    for (seconds, nanos) in all {
        let file = dir.join(format!("file {seconds} {nanos}"));
        fs::write(&file, "")?;
        set_time(&file, seconds, nanos)?;
        let link = dir.join(format!("link {seconds} {nanos}"));
        symlink("x", &link)?;
        set_time(&link, seconds, nanos)?;
    }
    let inside = sub(dir, "directory")?;
    fs::write(inside.join("file"), "")?;
    set_time(&inside, 987_654_321, 123_456_789)?;
    set_time(dir, 222_222_222, 222_222_222)
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(mode),
    )?)
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .map_err(|errno| crate::Error::malformed(format!("{name} of {}", path.display()), errno))
}

fn set_time(path: &Path, tv_sec: i64, tv_nsec: i64) -> Result<()> {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| std::io::Error::from(errno).into())
}

/// Bytes that do not compress and are the same each time.
fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    bytes
}
