//! Files of several names.
//!
//! The first name that a thread meets is restored; the others are linked to it. Names that are met
//! while the first is still being written wait with their directories, which are not finished until
//! they are there.

use std::sync::Arc;

use lifeboat_vault::{Gathered, Node, NodeKind};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use super::{Overwrite, Restore, dir::DirWork, file::Made};
use crate::{CaptureError, Result, sys};

/// What is known of a file of several names.
pub(super) struct Claim {
    /// What it is, so that another file that once had its number is not taken for it.
    kind: NodeKind,
    state: State,
}

enum State {
    /// Being written; who waits for it.
    Writing(Vec<(Arc<DirWork>, usize)>),
    /// Where it is, inside the root, and which file that is.
    Done {
        path: Arc<[u8]>,
        device: u64,
        inode: u64,
    },
    /// It could not be written.
    Failed,
}

impl Restore<'_> {
    /// Restores one of several names.
    pub(super) fn linked(
        &self,
        dir: &Arc<DirWork>,
        index: usize,
        node: &Node,
        near: &Gathered,
    ) -> Result<()> {
        let key = (node.meta.device_id, node.meta.inode);
        {
            let mut links = self.links.lock();
            match links.get_mut(&key) {
                None => {
                    let state = State::Writing(Vec::new());
                    links.insert(
                        key,
                        Claim {
                            kind: node.kind.clone(),
                            state,
                        },
                    );
                }
                Some(claim) if claim.kind != node.kind => {
                    drop(links);
                    let path = self.path(&dir.path, &node.name);
                    self.warn(
                        &path,
                        "it was one file with another that differs now; restored as two",
                    );
                    return self.single(dir, node, near).map(|_| ());
                }
                Some(Claim {
                    state: State::Writing(waiting),
                    ..
                }) => {
                    dir.pending
                        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    waiting.push((dir.clone(), index));
                    return Ok(());
                }
                Some(Claim {
                    state:
                        State::Done {
                            path,
                            device,
                            inode,
                        },
                    ..
                }) => {
                    let (path, id) = (path.clone(), (*device, *inode));
                    drop(links);
                    return self.link(dir, node, &path, id);
                }
                Some(Claim {
                    state: State::Failed,
                    ..
                }) => {
                    drop(links);
                    return self.single(dir, node, near).map(|_| ());
                }
            }
        }
        let made = self.single(dir, node, near)?;
        let stat = match made {
            Made::Yes => sys::stat_at(&dir.fd, &node.name).ok(),
            Made::No => None,
        };
        let state = match stat {
            Some(stat) => {
                let path = if dir.path.is_empty() {
                    node.name.clone()
                } else {
                    sys::join(&dir.path, &node.name)
                };
                State::Done {
                    path: path.into(),
                    device: stat.st_dev,
                    inode: stat.st_ino,
                }
            }
            None => State::Failed,
        };
        let before = self
            .links
            .lock()
            .get_mut(&key)
            .map(|c| std::mem::replace(&mut c.state, state));
        if let Some(State::Writing(waiting)) = before {
            for (dir, index) in waiting {
                if let Some(node) = dir.tree.nodes.get(index) {
                    self.linked(&dir, index, node, &Gathered::default())?;
                }
                self.job_done(dir)?;
            }
        }
        Ok(())
    }

    /// Gives a file that was restored another name.
    fn link(&self, dir: &DirWork, node: &Node, path: &[u8], id: (u64, u64)) -> Result<()> {
        let name = self.checked(dir, &node.name)?;
        let here = || self.path(&dir.path, name);
        let is_it =
            || sys::stat_at(&dir.fd, name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == id);
        let done = || {
            self.counts.lock().hard_links += 1;
            let size = if let NodeKind::File { size, .. } = node.kind {
                size
            } else {
                0
            };
            self.options.progress.advance(1, size);
        };
        if self.options.overwrite == Overwrite::Resume && is_it() {
            done();
            return Ok(());
        }
        let (above, source) = self.open_above(path)?;
        let mut first_error = None;
        let linked = self.create(dir, name, || {
            rustix::fs::linkat(&above, source, &dir.fd, name, AtFlags::empty())
                .inspect_err(|e| first_error = Some(*e))
        });
        match (linked, first_error) {
            (Ok(()), _) if is_it() => {
                done();
                Ok(())
            }
            (Ok(()), _) => Err(CaptureError::Exists {
                path: sys::to_path(&here()),
            }),
            // A mount point between them, or too many names for this file system.
            (Err(_), Some(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::NOTSUP)) => {
                self.warn(
                    &here(),
                    "it cannot be linked to its other name here; restored as a copy",
                );
                self.single(dir, node, &Gathered::default()).map(|_| ())
            }
            (Err(e), _) => Err(e),
        }
    }

    /// Opens the directory of a path inside the root, component by component, and gives the name.
    fn open_above<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8])> {
        let failed = |e| CaptureError::os("open", &self.path(b"", path), e);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut parts = path.split(|b| *b == b'/').peekable();
        let mut dir =
            rustix::fs::openat(&self.root_fd, ".", flags, Mode::empty()).map_err(failed)?;
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Ok((dir, part));
            }
            dir = rustix::fs::openat(&dir, part, flags, Mode::empty()).map_err(failed)?;
        }
        Err(CaptureError::Invalid(
            "a file without a name was linked".to_owned(),
        ))
    }
}
