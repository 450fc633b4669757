//! Files into a container's writable layer, and into any place of a container whose engine's files are
//! not ours, by the engine: read and written as archives. Held in
//! memory, so bounded. The engine resolves links within the container's own root, and replaces a file
//! by removing it first.

use std::io::{Read, Write};

use lifeboat_engine::Engine;
use lifeboat_vault::{
    Reader,
    node::{Node, NodeKind},
};
use tar::{Archive, Builder, EntryType};

use super::{
    Into, Source, Target, Wanted,
    compare::{Entry, Look, There, Todo, Walk, patterns},
    kept::Kept,
};
use crate::{
    Context, RecoveryError, Result,
    restore::{Work, layers::append, report::Stopwatch},
};

/// As much as goes through the engine at once.
const MOST: u64 = 64 << 20;

/// Compares what is wanted with what is there.
pub fn look(
    ctx: &Context,
    engine: &dyn Engine,
    reader: &Reader,
    source: &Source,
    target: &Target,
    wanted: &Wanted,
    done: &mut Into,
) -> Result<Vec<Entry>> {
    let include = patterns(&wanted.includes)?;
    let mut shown = target.path.clone();
    let mut look = InLayer {
        ctx,
        engine,
        reader,
        target,
    };
    let above = lifeboat_plan::path::parent(&shown).to_owned();
    if above != "/" && !matches!(look.entry(&above, None)?, There::Folder) {
        done.obstacles.push(format!(
            "{shown} has no folder to lie in; make {above} first, or name the folder above"
        ));
        return Ok(Vec::new());
    }
    if !source.is_folder() {
        let name = source.place.rsplit('/').next().unwrap_or_default();
        let inside = format!("/{name}");
        if include.as_ref().is_some_and(|i| !i.matches_inside(&inside)) {
            return Ok(Vec::new());
        }
        if source.is_named && matches!(look.entry(&shown, None)?, There::Folder) {
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
    walk.node(components(&shown), shown, b"", &source.node, whole)?;
    done.obstacles.append(&mut walk.obstacles);
    let entries = walk.entries;
    let bytes: u64 = entries.iter().map(|e| e.bytes).sum();
    if bytes > MOST {
        done.obstacles.push(format!(
            "{} MiB are more than the {} MiB that go through the engine at once; name fewer files with --include",
            bytes >> 20,
            MOST >> 20
        ));
    }
    Ok(entries)
}

fn components(path: &str) -> Vec<Vec<u8>> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| part.as_bytes().to_vec()).collect()
}

struct InLayer<'a> {
    ctx: &'a Context,
    engine: &'a dyn Engine,
    reader: &'a Reader,
    target: &'a Target,
}

impl Look for InLayer<'_> {
    fn there(&mut self, path: &[Vec<u8>], shown: &str, node: &Node) -> Result<There> {
        self.ctx.stop_if_cancelled()?;
        if !self.target.is_in_the_same_mount(shown) {
            let why = "lies in a mount of the container; name it by itself";
            return Ok(There::Barred(why.to_owned()));
        }
        if path.iter().any(|name| std::str::from_utf8(name).is_err()) {
            let why = "has a name that the engine's API cannot say";
            return Ok(There::Barred(why.to_owned()));
        }
        self.entry(shown, Some(node))
    }
}

impl InLayer<'_> {
    fn entry(&self, at: &str, node: Option<&Node>) -> Result<There> {
        let stream = match self.engine.archive_get(&self.target.id, at) {
            Ok(stream) => stream,
            Err(e) if e.is_not_found() => return Ok(There::Nothing),
            Err(e) => return Err(e.into()),
        };
        let mut archive = Archive::new(stream);
        let mut entries = archive.entries()?;
        let Some(entry) = entries.next() else {
            return Ok(There::Other);
        };
        let mut entry = entry?;
        let header = entry.header().clone();
        if header.entry_type() == EntryType::Directory {
            return Ok(There::Folder);
        }
        let Some(node) = node else {
            return Ok(There::Other);
        };
        let meta = &node.meta;
        let alike = header.uid()? == u64::from(meta.uid)
            && header.gid()? == u64::from(meta.gid)
            && i64::try_from(header.mtime()?) == Ok(meta.mtime.secs);
        let same = match (&node.kind, header.entry_type()) {
            (NodeKind::File { size, .. }, EntryType::Regular) => {
                alike
                    && header.mode()? & 0o7777 == meta.mode & 0o7777
                    && entry.size() == *size
                    && is_equal(&mut entry, &mut self.reader.file(node)?)?
            }
            (NodeKind::Symlink { target }, EntryType::Symlink) => {
                entry.link_name_bytes().as_deref() == Some(&target[..])
            }
            _ => false,
        };
        Ok(if same { There::Same } else { There::Other })
    }
}

/// Whether two streams say the same.
fn is_equal(a: &mut dyn Read, b: &mut dyn Read) -> Result<bool> {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    loop {
        one.clear();
        other.clear();
        a.take(1 << 20).read_to_end(&mut one)?;
        b.take(1 << 20).read_to_end(&mut other)?;
        if one != other {
            return Ok(false);
        }
        if one.is_empty() {
            return Ok(true);
        }
    }
}

/// Keeps what is overwritten, puts everything there, reads it back.
pub fn run(
    ctx: &Context,
    engine: &dyn Engine,
    reader: &Reader,
    target: &Target,
    (todo, kept, watch): (&[&Entry], &mut Kept, &mut Stopwatch),
    done: &mut Into,
) -> Result<()> {
    let mut tar = Builder::new(Vec::new());
    for entry in todo {
        ctx.stop_if_cancelled()?;
        let name = entry.shown.trim_start_matches('/').as_bytes();
        append(&mut tar, reader, name, &entry.node, !entry.alone)?;
    }
    let bytes = tar.into_inner()?;
    for entry in todo.iter().filter(|e| e.todo == Todo::Overwrite) {
        if kept.keeps() {
            save(engine, target, entry, kept)?;
        }
    }
    ctx.progress.step("into-place");
    ctx.stop_if_cancelled()?;
    engine.archive_put(&target.id, "/", &mut bytes.as_slice())?;
    done.bytes += todo.iter().map(|e| e.bytes).sum::<u64>();
    // All of them are one stream, so none has a time of its own.
    ctx.done_together(Work::File);
    watch.split("files");
    ctx.take(Work::ReadBack, &target.name);
    ctx.progress.step("into-check");
    let look = InLayer {
        ctx,
        engine,
        reader,
        target,
    };
    for entry in todo {
        let there = look.entry(&entry.shown, Some(&entry.node))?;
        let right = match entry.node.kind {
            NodeKind::Dir { .. } => matches!(there, There::Folder),
            NodeKind::File { .. } | NodeKind::Symlink { .. } => matches!(there, There::Same),
            _ => !matches!(there, There::Nothing),
        };
        if !right {
            done.problems.push(format!(
                "{} is not what was put there: the container changed it, or the engine did not take it",
                entry.shown
            ));
        }
    }
    Ok(())
}

/// What is there, as the engine's own archive.
fn save(engine: &dyn Engine, target: &Target, entry: &Entry, kept: &Kept) -> Result<()> {
    let name = format!("{}.tar", entry.shown.trim_start_matches('/'));
    let at = kept.old().join(name);
    if let Some(parent) = at.parent() {
        fs_err::create_dir_all(parent)?;
    }
    let mut from = engine.archive_get(&target.id, &entry.shown)?;
    let mut file = fs_err::File::create(&at)?;
    let copied = std::io::copy(&mut from, &mut file).and_then(|_| file.flush());
    copied.map_err(|e| {
        RecoveryError::Failed(format!(
            "what stands at {} could not be kept in {} ({e}); nothing was overwritten",
            entry.shown,
            at.display()
        ))
    })?;
    file.sync_all()?;
    Ok(())
}
