//! Where what takes something's place is made, and where the old one lies afterwards.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{COPIED, How, IN_DATA_ROOT, OURS_WITHIN, copied, within};
use crate::{Result, copies::mounts_in};

/// The longest name that file systems take.
const LONGEST_NAME: usize = 255;

/// The hidden name beside `target` for the operation `id`: a few letters that tell operations apart.
/// The name is cut where it would be too long; `id` and the cut name tell targets apart.
pub fn aside(target: &Path, id: &str) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let name = target.file_name().unwrap_or_default();
    let tail = format!(".lifeboat-aside-{id}");
    let whole = name.len() + tail.len() < LONGEST_NAME;
    let name = if whole {
        name.to_string_lossy().into_owned()
    } else {
        format!("{:016x}", fnv(name.as_bytes()))
    };
    target.with_file_name(format!(".{name}{tail}"))
}

/// The same for the data folder of an engine's volume: in a folder of ours in the engine's data root,
/// so that it does not go with the volume; in the volume's own folder where the data root is another
/// file system. Never beside the volume's folder: the engine takes every folder there for a volume.
pub fn aside_of_volume(data: &Path, volume: &str, id: &str) -> PathBuf {
    let root = data.ancestors().nth(3);
    let is_named = data.file_name().is_some_and(|n| n == "_data")
        && data.parent().and_then(Path::file_name) == Some(volume.as_ref());
    match root.filter(|root| is_named && *root != Path::new("/") && one_file_system(root, data)) {
        Some(root) => root.join(IN_DATA_ROOT).join(id).join(volume),
        None => aside(data, id),
    }
}

/// Makes the folders above an aside place, for root alone where they are ours.
pub fn make_room(aside: &Path) -> Result<()> {
    let Some(parent) = aside.parent() else {
        return Ok(());
    };
    let ours = |path: &&Path| path.file_name().is_some_and(is_ours);
    if let Some(root) = aside.ancestors().skip(1).find(ours) {
        use std::os::unix::fs::PermissionsExt;
        fs_err::create_dir_all(root)?;
        fs_err::set_permissions(root, std::fs::Permissions::from_mode(0o700))?;
    }
    fs_err::create_dir_all(parent)?;
    Ok(())
}

/// Removes our folders above an aside place that are empty now.
pub fn leave_room(aside: &Path) {
    match How::by_name(aside) {
        How::Within => within::clean(aside),
        How::Copied => copied::clean(aside),
        How::Exchange => {}
    }
    let is_in_ours = |path: &Path| path.components().any(|c| is_ours(c.as_os_str()));
    let above = aside.ancestors().skip(1);
    for folder in above.take_while(|path| is_in_ours(path)) {
        // Not empty: it stays.
        let _ = fs_err::remove_dir(folder);
    }
}

/// Where the new one is made that takes the place of `target`: `beside` it where the two can change places,
/// in it (a folder) or copied over it (a file) where that cannot be; or one clause why it cannot be at all.
pub fn place(target: &Path, beside: PathBuf, id: &str) -> Result<Place> {
    let meta = match fs_err::symlink_metadata(target) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Ok(beside)),
        Err(e) => return Err(e.into()),
    };
    if meta.is_symlink() {
        return Ok(Err("it is a symbolic link".to_owned()));
    }
    let (real, mounts) = (fs_err::canonicalize(target)?, mounts_in(target)?);
    if let Some(mount) = mounts.iter().find(|mount| **mount != real) {
        return Ok(Err(format!(
            "something is mounted in it, on {}",
            mount.display()
        )));
    }
    let near = beside.ancestors().skip(1).find(|path| path.exists());
    let apart = near.is_some_and(|near| !one_file_system(near, target));
    if !mounts.is_empty() || apart {
        return Ok(Ok(instead(target, &meta, &beside, id)));
    }
    Ok(Ok(beside))
}

/// Where it is made, or why it cannot be.
pub type Place = std::result::Result<PathBuf, String>;

/// The place of a folder's new content in the folder itself, which it never leaves.
pub fn place_within(target: &Path, id: &str) -> PathBuf {
    target.join(format!("{OURS_WITHIN}{id}")).join("new")
}

fn instead(target: &Path, meta: &std::fs::Metadata, beside: &Path, id: &str) -> PathBuf {
    if meta.is_dir() {
        return place_within(target, id);
    }
    let mut name = beside.file_name().unwrap_or_default().to_owned();
    name.push(COPIED);
    beside.with_file_name(name)
}

/// Tries an exchange beside `aside`. Where the file system has none, a folder's new content is made in the
/// folder instead, and a file is copied over.
pub fn settle(target: &Path, aside: PathBuf, id: &str) -> Result<PathBuf> {
    if How::of(target, &aside) != How::Exchange || probe(&aside)? {
        return Ok(aside);
    }
    match fs_err::symlink_metadata(target) {
        Ok(meta) => Ok(instead(target, &meta, &aside, id)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(aside),
        Err(e) => Err(e.into()),
    }
}

/// Whether two folders can change places there: some file systems have no such thing. Tried with two empty
/// ones.
fn probe(aside: &Path) -> Result<bool> {
    make_room(aside)?;
    let name = |tail: &str| {
        let mut name = aside.file_name().unwrap_or_default().to_owned();
        name.push(tail);
        aside.with_file_name(name)
    };
    let (a, b) = (name("-a"), name("-b"));
    let made = [&a, &b].map(fs_err::create_dir);
    let tried = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
    for path in [&a, &b] {
        let _ = fs_err::remove_dir(path);
    }
    for one in made {
        // What a crash left of the last one is as good.
        if let Err(e) = one
            && e.kind() != ErrorKind::AlreadyExists
        {
            return Err(e.into());
        }
    }
    match tried {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(e) => Err(std::io::Error::from(e).into()),
    }
}

/// What lies aside when everything stands still: where the new one was made, or where the old one is then.
pub fn lying(aside: &Path) -> PathBuf {
    let old = match How::by_name(aside) {
        How::Exchange => return aside.to_owned(),
        How::Within => aside.with_file_name("old"),
        How::Copied => copied::old_of(aside),
    };
    if aside.exists() {
        aside.to_owned()
    } else {
        old
    }
}

/// All that may lie aside under these names, for captures to leave out.
pub fn hidden(aside: &Path) -> Vec<PathBuf> {
    let ours = |path: &&Path| {
        path.file_name()
            .is_some_and(|name| name.as_bytes().starts_with(OURS_WITHIN.as_bytes()))
    };
    if let Some(folder) = aside.ancestors().skip(1).find(ours) {
        return vec![folder.to_owned()];
    }
    match How::by_name(aside) {
        How::Copied => vec![aside.to_owned(), copied::old_of(aside)],
        _ => vec![aside.to_owned()],
    }
}

fn is_ours(name: &OsStr) -> bool {
    name == IN_DATA_ROOT || name.as_bytes().starts_with(OURS_WITHIN.as_bytes())
}

fn one_file_system(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs_err::metadata(a), fs_err::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev(),
        _ => false,
    }
}

/// A short name for one that is too long.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
