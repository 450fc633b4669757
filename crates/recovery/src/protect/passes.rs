//! Pre-copy: pass after pass over the live data until little changes, then one more pass while
//! everything stands still. What the app pays is proportional to what changed in between.

use std::{path::PathBuf, sync::Arc};

use lifeboat_capture::{
    CaptureError, CaptureOptions, Captured, Counts, Excludes, Parent, SkipSet, Source,
    capture_tree, syncfs,
};
use lifeboat_plan::manifest::{LeftOut, LeftOutKind};
use lifeboat_vault::{Reader, Writer, node::Node};

use super::line::ParentPoint;
use crate::{Context, Result};

/// No more passes once one had to read less than this: the frozen one will be short.
const SETTLED: u64 = 32 << 20;
/// Passes before the freeze at most: an app that writes faster than we read never settles.
const MOST_PASSES: u32 = 4;

/// One place with data, and where it goes.
#[derive(Debug, Clone)]
pub struct DataSource {
    /// Path in the point, e.g. `volumes/shop_db`.
    pub place: String,
    /// Live path.
    pub at: PathBuf,
    /// What is left out of it.
    pub exclude: Arc<Excludes>,
    /// Paths below it that are taken elsewhere.
    pub without: Vec<PathBuf>,
    /// For the manifest, should it fail.
    pub kind: LeftOutKind,
    /// What a person calls it.
    pub name: String,
}

/// What one source gave.
pub struct Taken {
    /// Its root as a node.
    pub node: Node,
    /// Figures of its last pass.
    pub counts: Counts,
}

/// All sources of an app, pass after pass.
pub struct Passes<'a> {
    ctx: &'a Context,
    writer: &'a Writer,
    sources: &'a [DataSource],
    skips: Vec<SkipSet>,
    parents: Vec<Option<Node>>,
    parent: Option<&'a ParentPoint>,
    one_file_system: bool,
    /// Threads that walk and read; 0 for as many as there are cores.
    pub threads: usize,
    last: Vec<Option<Captured>>,
    lost: Vec<LeftOut>,
    /// Passes made.
    pub made: u32,
    /// Bytes read from files, all passes together.
    pub bytes_read: u64,
}

impl<'a> Passes<'a> {
    /// Looks up where each source stood in the parent point.
    pub fn new(
        ctx: &'a Context,
        writer: &'a Writer,
        sources: &'a [DataSource],
        parent: Option<&'a ParentPoint>,
        skip: &SkipSet,
        one_file_system: bool,
    ) -> Result<Self> {
        let mut parents = Vec::new();
        let mut skips = Vec::new();
        for source in sources {
            parents.push(match parent {
                Some(parent) => lookup(writer.reader(), parent, &source.place)?,
                None => None,
            });
            let mut own = skip.clone();
            source.without.iter().for_each(|path| own.insert(path));
            skips.push(own);
        }
        let last = sources.iter().map(|_| None).collect();
        Ok(Self {
            ctx,
            writer,
            sources,
            skips,
            parents,
            parent,
            one_file_system,
            threads: 0,
            last,
            lost: Vec::new(),
            made: 0,
            bytes_read: 0,
        })
    }

    /// Passes over the live data until little changes between them.
    pub fn until_settled(&mut self) -> Result<()> {
        let mut before = u64::MAX;
        while self.made < MOST_PASSES {
            let read = self.pass(true)?;
            // Not shrinking: the app writes as fast as we read, more passes would not help.
            if read < SETTLED || read > before / 2 {
                break;
            }
            before = read;
        }
        Ok(())
    }

    /// Begins anew after an instant that was disturbed: what its pass found was not kept for another.
    pub fn again(&mut self) -> Result<()> {
        self.last.iter_mut().for_each(|last| *last = None);
        self.pass(true).map(drop)
    }

    /// The pass that counts.
    pub fn last_pass(&mut self) -> Result<()> {
        self.pass(false).map(drop)
    }

    /// One pass over all sources. Returns the bytes that it had to read.
    fn pass(&mut self, later_pass: bool) -> Result<u64> {
        self.lost.clear();
        let mut read = 0;
        for (at, source) in self.sources.iter().enumerate() {
            self.ctx.stop_if_cancelled()?;
            // A page that is dirty and mapped changes no time until it is written back.
            let _ = syncfs(&source.at);
            let before = self.last[at].take();
            let parent = match (&before, &self.parents[at], self.parent) {
                (Some(before), ..) => Some(Parent::Pass(before)),
                (None, Some(node), Some(parent)) => Some(Parent::Node {
                    node,
                    began: parent.began,
                }),
                _ => None,
            };
            let options = CaptureOptions {
                parent,
                one_file_system: self.one_file_system,
                later_pass,
                threads: self.threads,
                ..CaptureOptions::new(
                    &self.skips[at],
                    self.ctx.progress.as_ref(),
                    &self.ctx.cancel,
                )
            };
            let taking = Source {
                at: source.at.clone(),
                exclude: Arc::clone(&source.exclude),
            };
            match capture_tree(self.writer, &taking, &options) {
                Ok(captured) => {
                    read += captured.counts.bytes_read;
                    self.last[at] = Some(captured);
                }
                Err(e @ (CaptureError::Io { .. } | CaptureError::Skipped(_))) => {
                    self.lost.push(LeftOut {
                        kind: source.kind,
                        what: source.name.clone(),
                        reason: e.to_string(),
                        bytes: None,
                        decided: false,
                    });
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.made += 1;
        self.bytes_read += read;
        Ok(read)
    }

    /// What the last pass gave, source by source (`None`: it could not be read), and what is missing.
    pub fn finish(self) -> (Vec<Option<Taken>>, Vec<LeftOut>) {
        let mut lost = self.lost;
        let mut taken = Vec::new();
        for captured in self.last {
            taken.push(captured.map(|captured| {
                lost.extend(captured.problems.iter().map(|problem| LeftOut {
                    kind: LeftOutKind::File,
                    what: problem.path.display().to_string(),
                    reason: problem.reason.clone(),
                    bytes: None,
                    decided: false,
                }));
                Taken {
                    node: captured.node,
                    counts: captured.counts,
                }
            }));
        }
        (taken, lost)
    }
}

fn lookup(reader: &Reader, parent: &ParentPoint, place: &str) -> Result<Option<Node>> {
    let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
    // A parent whose trees are damaged is no parent; `check` is who speaks of it.
    Ok(reader.lookup(parent.root, &parts).unwrap_or_default())
}
