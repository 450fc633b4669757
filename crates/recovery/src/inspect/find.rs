//! Paths that match a pattern, over many points.
//!
//! Patterns are those of `--exclude`. As with restic, what lies in a directory that matches is found as well. A tree
//! in which nothing was found is not read again where it stands at the same path in another point.

use std::collections::HashSet;

use lifeboat_capture::{Anchor, Excludes};
use lifeboat_vault::{
    Descend, Reader,
    id::BlobId,
    node::{Node, NodeKind},
};

use crate::{Result, files::Entry};

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct FindOptions {
    /// Patterns; one that matches is enough.
    pub patterns: Vec<String>,
    /// `A` and `a` are the same.
    pub ignore_case: bool,
    /// Seconds since 1970: what was changed before is not meant.
    pub oldest: Option<i64>,
    /// Seconds since 1970: what was changed after is not meant.
    pub newest: Option<i64>,
}

/// Looks through points, one after another.
pub struct Finder<'r> {
    reader: &'r Reader,
    patterns: Excludes,
    options: FindOptions,
    fruitless: HashSet<(BlobId, Vec<u8>)>,
}

/// A directory on the way.
struct Open {
    path: Vec<u8>,
    tree: BlobId,
    found: bool,
    /// It matches, so everything in it does.
    matches: bool,
}

impl<'r> Finder<'r> {
    /// Reads the patterns.
    pub fn new(reader: &'r Reader, options: FindOptions) -> Result<Self> {
        let lower = |pattern: &String| match options.ignore_case {
            true => pattern.to_lowercase(),
            false => pattern.clone(),
        };
        let patterns: Vec<String> = options.patterns.iter().map(lower).collect();
        let patterns = Excludes::parse(patterns.iter().map(String::as_str), Anchor::Source)?;
        Ok(Self {
            reader,
            patterns,
            options,
            fruitless: HashSet::new(),
        })
    }

    /// Calls `f` with everything below a root tree that matches.
    pub fn run(&mut self, root: BlobId, f: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut open: Vec<Open> = Vec::new();
        let mut failed = None;
        let reader = self.reader;
        reader.walk(root, &mut |below, node| {
            let mut path = vec![b'/'];
            path.extend_from_slice(below);
            let inside = |open: &Open| {
                path.starts_with(&open.path) && path.get(open.path.len()) == Some(&b'/')
            };
            while open.last().is_some_and(|last| !inside(last)) {
                self.close(&mut open);
            }
            let within = open.last().is_some_and(|above| above.matches);
            let matches = within || self.matches(&path);
            if matches && self.is_of_age(node) {
                if let Some(above) = open.last_mut() {
                    above.found = true;
                }
                let node = node.clone();
                if let Err(error) = f(Entry {
                    path: path.clone(),
                    node,
                }) {
                    failed = Some(error);
                    return Ok(Descend::Stop);
                }
            }
            let NodeKind::Dir { subtree } = node.kind else {
                return Ok(Descend::Skip);
            };
            if self.fruitless.contains(&(subtree, path.clone())) {
                return Ok(Descend::Skip);
            }
            open.push(Open {
                path,
                tree: subtree,
                found: false,
                matches,
            });
            Ok(Descend::Into)
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        while !open.is_empty() {
            self.close(&mut open);
        }
        Ok(())
    }

    /// A directory has been looked through.
    fn close(&mut self, open: &mut Vec<Open>) {
        let Some(last) = open.pop() else { return };
        match open.last_mut() {
            Some(above) if last.found => above.found = true,
            _ => {}
        }
        if !last.found {
            self.fruitless.insert((last.tree, last.path));
        }
    }

    fn matches(&self, path: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let lower;
        let path = match self.options.ignore_case {
            // What is not UTF-8 keeps its bytes, but for the letters of ASCII.
            true => {
                lower = match std::str::from_utf8(path) {
                    Ok(text) => text.to_lowercase().into_bytes(),
                    Err(_) => path.to_ascii_lowercase(),
                };
                &lower
            }
            false => path,
        };
        self.patterns
            .matches_inside(std::ffi::OsStr::from_bytes(path))
    }

    fn is_of_age(&self, node: &Node) -> bool {
        let changed = node.meta.mtime.secs;
        self.options.oldest.is_none_or(|oldest| changed >= oldest)
            && self.options.newest.is_none_or(|newest| changed <= newest)
    }
}
