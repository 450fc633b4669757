//! Files into a folder of this host that a container has mounted: made aside, checked, renamed into
//! place.

use std::path::{Path, PathBuf};

use lifeboat_capture::{Cancel, Excludes, RestoreOptions, holds, restore_tree, syncfs};
use lifeboat_vault::{
    Reader,
    node::{Node, NodeKind},
};
use rustix::{
    fd::OwnedFd,
    fs::{CWD, FileType, RenameFlags, Stat, renameat_with},
    io::Errno,
};

use super::{
    Into, Source, Target, Wanted,
    compare::{Entry, Look, There, Todo, Walk, patterns},
    folder::{Root, Way, open_file, status},
    kept::Kept,
    target::Place,
};
use crate::{
    Context, Result,
    restore::{Work, layers::as_path, report::Stopwatch},
};

/// Compares what is wanted with what is there.
pub fn look(
    ctx: &Context,
    reader: &Reader,
    source: &Source,
    target: &Target,
    wanted: &Wanted,
    done: &mut Into,
) -> Result<Vec<Entry>> {
    let Place::Local { root, below, .. } = &target.place else {
        return Ok(Vec::new());
    };
    let include = patterns(&wanted.includes)?;
    let mut path: Vec<Vec<u8>> = below
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| part.as_bytes().to_vec())
        .collect();
    let mut shown = target.path.clone();
    let mut look = OnHost {
        root: Root::open(root)?,
        reader,
        cancel: &ctx.cancel,
        target,
        made_from: path.len(),
    };
    if !source.is_folder() {
        let name = source.place.rsplit('/').next().unwrap_or_default();
        let inside = format!("/{name}");
        if include.as_ref().is_some_and(|i| !i.matches_inside(&inside)) {
            return Ok(Vec::new());
        }
        let into_folder = matches!(look.there(&path, &shown, &source.node)?, There::Folder);
        if source.is_named && into_folder {
            path.push(name.as_bytes().to_vec());
            shown = format!("{shown}/{name}");
        }
    }
    let whole = include.is_none();
    let mut walk = Walk {
        reader,
        include,
        look: &mut look,
        entries: Vec::new(),
        obstacles: Vec::new(),
    };
    walk.node(path, shown, b"", &source.node, whole)?;
    done.obstacles.append(&mut walk.obstacles);
    Ok(walk.entries)
}

struct OnHost<'a> {
    root: Root,
    reader: &'a Reader,
    cancel: &'a Cancel,
    target: &'a Target,
    /// Folders above this depth have to be there; those below are made.
    made_from: usize,
}

impl Look for OnHost<'_> {
    fn there(&mut self, path: &[Vec<u8>], shown: &str, node: &Node) -> Result<There> {
        self.cancel.check()?;
        if !self.target.is_in_the_same_mount(shown) {
            let why = "lies in another mount of the container; name it by itself";
            return Ok(There::Barred(why.to_owned()));
        }
        let Some((name, folders)) = path.split_last() else {
            return Ok(There::Folder);
        };
        let folder = match self.root.enter(folders)? {
            Way::Folder(folder) => folder,
            Way::Missing if path.len() <= self.made_from => {
                let why = "has no folder to lie in; make that first, or name the folder above";
                return Ok(There::Barred(why.to_owned()));
            }
            Way::Missing => return Ok(There::Nothing),
            Way::Barred(why) => return Ok(There::Barred(why)),
        };
        let Some(stat) = status(&folder, name)? else {
            return Ok(There::Nothing);
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Ok(There::Folder);
        }
        Ok(if self.is_same(&folder, name, &stat, node)? {
            There::Same
        } else {
            There::Other
        })
    }
}

impl OnHost<'_> {
    fn is_same(&self, folder: &OwnedFd, name: &[u8], stat: &Stat, node: &Node) -> Result<bool> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let meta = &node.meta;
        if (stat.st_uid, stat.st_gid) != (meta.uid, meta.gid) {
            return Ok(false);
        }
        let mode = stat.st_mode & 0o7777 == meta.mode & 0o7777;
        let time =
            stat.st_mtime == meta.mtime.secs && stat.st_mtime_nsec == u64::from(meta.mtime.nanos);
        Ok(match (&node.kind, kind) {
            (NodeKind::File { .. }, FileType::RegularFile) if mode && time => {
                match open_file(folder, name) {
                    Some(file) => holds(self.reader, &file, node, self.cancel)?,
                    None => false,
                }
            }
            (NodeKind::Symlink { target }, FileType::Symlink) => {
                rustix::fs::readlinkat(folder, name, Vec::new())
                    .is_ok_and(|there| there.as_bytes() == &target[..])
            }
            (NodeKind::Fifo, FileType::Fifo) | (NodeKind::Socket, FileType::Socket) => mode,
            (NodeKind::BlockDevice { device }, FileType::BlockDevice)
            | (NodeKind::CharDevice { device }, FileType::CharacterDevice) => {
                mode && stat.st_rdev == *device
            }
            _ => false,
        })
    }
}

/// Makes everything aside, then puts one after another in place.
pub fn run(
    ctx: &Context,
    reader: &Reader,
    target: &Target,
    (todo, kept, watch): (&[&Entry], &mut Kept, &mut Stopwatch),
    done: &mut Into,
) -> Result<()> {
    let Place::Local { root, .. } = &target.place else {
        return Ok(());
    };
    let root_fd = Root::open(root)?;
    let mut staged: Vec<(&Entry, PathBuf)> = Vec::new();
    for (index, entry) in todo.iter().enumerate() {
        ctx.stop_if_cancelled()?;
        ctx.take(Work::File, &entry.shown);
        let at = kept.staged(index);
        if stage(ctx, reader, entry, &at, done)? {
            staged.push((entry, at));
        }
    }
    ctx.taken();
    syncfs(root)?;
    ctx.progress.step("into-staged");
    // The last place to turn back: from here on it is a rename for each.
    ctx.stop_if_cancelled()?;
    for (entry, at) in &staged {
        ctx.progress.step("into-place");
        let placed = place(&root_fd, target, entry, at, kept)?;
        if let Err(why) = placed {
            done.problems.push(format!("{} {why}", entry.shown));
        }
    }
    syncfs(root)?;
    watch.split("files");
    ctx.take(Work::ReadBack, &target.name);
    ctx.progress.step("into-check");
    check(ctx, reader, &root_fd, &staged, done)
}

/// Restores one entry aside; `false` if it could not be, which is noted.
fn stage(
    ctx: &Context,
    reader: &Reader,
    entry: &Entry,
    at: &Path,
    done: &mut Into,
) -> Result<bool> {
    let nothing = Excludes::none();
    let options = RestoreOptions {
        include: entry.alone.then_some(&nothing),
        sync: false,
        ..RestoreOptions::new(ctx.progress.as_ref(), &ctx.cancel)
    };
    let tree = restore_tree(reader, &entry.node, at, &options)?;
    done.bytes += tree.counts.bytes_written + tree.counts.bytes_holes;
    // Paths of ours say nothing to anybody.
    let told = |p: &lifeboat_capture::Problem| format!("{}: {}", entry.shown, p.reason);
    done.warnings.extend(tree.warnings.iter().map(told));
    done.problems.extend(tree.problems.iter().map(told));
    Ok(tree.problems.is_empty())
}

/// Puts one in place. What the container did meanwhile is a sentence, and nothing is overwritten
/// that was not looked at.
fn place(
    root: &Root,
    target: &Target,
    entry: &Entry,
    at: &Path,
    kept: &mut Kept,
) -> Result<std::result::Result<(), String>> {
    let Some((name, folders)) = entry.path.split_last() else {
        return Ok(Err("is the mount itself, which stays".to_owned()));
    };
    let folder = match root.enter(folders)? {
        Way::Folder(folder) => folder,
        Way::Missing => return Ok(Err("was not put there: its folder is gone".to_owned())),
        Way::Barred(why) => return Ok(Err(why)),
    };
    let flags = match entry.todo {
        Todo::Overwrite => {
            if let Err(why) = kept.keep(target, &folder, entry)? {
                return Ok(Err(why));
            }
            RenameFlags::empty()
        }
        _ => RenameFlags::NOREPLACE,
    };
    Ok(match renameat_with(CWD, at, &folder, &name[..], flags) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => {
            Err("appeared or became a folder meanwhile, and was left alone".to_owned())
        }
        Err(e) => Err(format!("could not be put there: {e}")),
    })
}

/// Reads back what is in place.
fn check(
    ctx: &Context,
    reader: &Reader,
    root: &Root,
    staged: &[(&Entry, PathBuf)],
    done: &mut Into,
) -> Result<()> {
    for (entry, _) in staged {
        if !matches!(entry.node.kind, NodeKind::File { .. }) {
            continue;
        }
        let Some((name, folders)) = entry.path.split_last() else {
            continue;
        };
        let is_told = |told: &String| told.starts_with(&format!("{} ", entry.shown));
        if done.problems.iter().any(is_told) {
            continue;
        }
        let file = match root.enter(folders)? {
            Way::Folder(folder) => open_file(&folder, name),
            _ => None,
        };
        let right = match file {
            Some(file) => holds(reader, &file, &entry.node, &ctx.cancel)?,
            None => false,
        };
        if !right {
            done.problems.push(format!(
                "{} was put there whole, and is another one now: the container changed it",
                entry.shown
            ));
        }
    }
    Ok(())
}

/// A path of the container below a folder, component by component.
pub fn below(folder: &Path, mounted: &str, path: &[Vec<u8>]) -> PathBuf {
    let mut at = folder.join(mounted.trim_start_matches('/'));
    for name in path {
        at.push(as_path(name));
    }
    at
}
