//! Everything that can be said of the files in a tree.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use fs_err as fs;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::Ignore;
use crate::{Error, Result};

/// One file of any kind, as it is compared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Description {
    /// `file`, `directory`, `symlink`, `fifo`, `socket`, `char device` or `block device`.
    pub kind: &'static str,
    /// Permissions with set-id and sticky bits, octal.
    pub mode: String,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Size of a regular file.
    pub size: Option<u64>,
    /// SHA-256 of a regular file's content.
    pub content: Option<String>,
    /// Where a symbolic link points, escaped.
    pub target: Option<String>,
    /// Number of a device.
    pub device: Option<u64>,
    /// Extended attributes, values in hex.
    pub xattrs: BTreeMap<String, String>,
    /// The first name of the file that this is a hard link to.
    pub hard_link_of: Option<String>,
    /// Where a regular file has data; the rest is holes.
    #[serde(skip)]
    pub data: Vec<(u64, u64)>,
}

/// Describes every file below (and with) `top`, by its name relative to it, escaped: `.` is the top.
pub fn describe(top: &Path) -> Result<BTreeMap<String, Description>> {
    let mut found = BTreeMap::new();
    let mut names = Vec::new();
    list(top, top, &mut names)?;
    // Sorted, so that the first name of a hard link is the same in every copy.
    names.sort();
    let mut first: HashMap<(u64, u64), String> = HashMap::new();
    for name in names {
        let shown = if name.is_empty() {
            ".".to_owned()
        } else {
            escape(&name)
        };
        let path = top.join(OsStr::from_bytes(&name));
        let mut described = describe_one(&path)?;
        let meta = fs::symlink_metadata(&path)?;
        if meta.nlink() > 1 && !meta.is_dir() {
            let key = (meta.dev(), meta.ino());
            match first.get(&key) {
                Some(name) => described.hard_link_of = Some(name.clone()),
                None => drop(first.insert(key, shown.clone())),
            }
        }
        found.insert(shown, described);
    }
    Ok(found)
}

fn list(top: &Path, dir: &Path, names: &mut Vec<Vec<u8>>) -> Result<()> {
    let relative = dir.strip_prefix(top).unwrap_or(dir);
    names.push(relative.as_os_str().as_bytes().to_vec());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(top, &entry.path(), names)?;
        } else {
            let path = entry.path();
            let relative = path.strip_prefix(top).unwrap_or(&path);
            names.push(relative.as_os_str().as_bytes().to_vec());
        }
    }
    Ok(())
}

fn describe_one(path: &Path) -> Result<Description> {
    let meta = fs::symlink_metadata(path)?;
    let kind = meta.file_type();
    let mut described = Description {
        kind: "file",
        mode: format!("{:04o}", meta.mode() & 0o7777),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: None,
        content: None,
        target: None,
        device: None,
        xattrs: xattrs(path)?,
        hard_link_of: None,
        data: Vec::new(),
    };
    if kind.is_dir() {
        described.kind = "directory";
    } else if kind.is_symlink() {
        described.kind = "symlink";
        described.target = Some(escape(fs::read_link(path)?.as_os_str().as_bytes()));
    } else if kind.is_fifo() {
        described.kind = "fifo";
    } else if kind.is_socket() {
        described.kind = "socket";
    } else if kind.is_char_device() || kind.is_block_device() {
        let char = kind.is_char_device();
        described.kind = if char { "char device" } else { "block device" };
        described.device = Some(meta.rdev());
    } else {
        described.size = Some(meta.len());
        described.content = Some(content(path)?);
        described.data = data_ranges(path, meta.len())?;
    }
    Ok(described)
}

fn content(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn data_ranges(path: &Path, size: u64) -> Result<Vec<(u64, u64)>> {
    let file = fs::File::open(path)?;
    let seek = |from: SeekFrom| match rustix::fs::seek(file.file(), from) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None), // Nothing but a hole from here to the end.
        Err(errno) => Err(Error::malformed(path.display().to_string(), errno)),
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < size {
        let Some(start) = seek(SeekFrom::Data(at))? else {
            break;
        };
        at = seek(SeekFrom::Hole(start))?.unwrap_or(size);
        ranges.push((start, at));
    }
    Ok(ranges)
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, String>> {
    let wrong = |errno: Errno| Error::malformed(format!("xattrs of {}", path.display()), errno);
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(errno) => return Err(wrong(errno)),
    };
    let mut found = BTreeMap::new();
    let names = names.get(..length).unwrap_or_default();
    for name in names.split(|&byte| byte == 0).filter(|n| !n.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).map_err(wrong)?;
        value.truncate(length);
        found.insert(escape(name), hex::encode(value));
    }
    Ok(found)
}

impl Description {
    /// Adds a line for each thing in which two descriptions of one name differ.
    pub(super) fn differences(
        &self,
        name: &str,
        other: &Self,
        ignore: &Ignore,
        lines: &mut Vec<String>,
    ) {
        let mut line = |what: &str, one: String, two: String| {
            if one != two {
                lines.push(format!(
                    "{name}: {what} {one} in the first, {two} in the second"
                ));
            }
        };
        line("kind", self.kind.into(), other.kind.into());
        line("mode", self.mode.clone(), other.mode.clone());
        if !ignore.owners {
            line(
                "owner",
                format!("{:?}", self.owner),
                format!("{:?}", other.owner),
            );
        }
        if !(ignore.directory_times && self.kind == "directory") {
            line(
                "mtime",
                format!("{:?}", self.mtime),
                format!("{:?}", other.mtime),
            );
        }
        line(
            "size",
            format!("{:?}", self.size),
            format!("{:?}", other.size),
        );
        line(
            "content",
            format!("{:?}", self.content),
            format!("{:?}", other.content),
        );
        line(
            "target",
            format!("{:?}", self.target),
            format!("{:?}", other.target),
        );
        line(
            "device",
            format!("{:?}", self.device),
            format!("{:?}", other.device),
        );
        if !ignore.xattrs {
            line(
                "xattrs",
                format!("{:?}", self.xattrs),
                format!("{:?}", other.xattrs),
            );
        }
        line(
            "hard link of",
            format!("{:?}", self.hard_link_of),
            format!("{:?}", other.hard_link_of),
        );
        if !ignore.holes {
            line(
                "data at",
                format!("{:?}", self.data),
                format!("{:?}", other.data),
            );
        }
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
