//! What a source comes to, path by path, beside what is there.

use lifeboat_capture::{Anchor, Excludes};
use lifeboat_vault::{
    Descend, Reader,
    node::{Node, NodeKind},
};

use super::{Action, Line, Target};
use crate::{RecoveryError, Result};

/// One path to be dealt with.
pub struct Entry {
    /// Folders below the target's root, then the name: bytes without `/`.
    pub path: Vec<Vec<u8>>,
    /// Path in the container, for people.
    pub shown: String,
    /// What the point has.
    pub node: Node,
    /// What has to be done.
    pub todo: Todo,
    /// A folder that is made without what is in it.
    pub alone: bool,
    /// Bytes.
    pub bytes: u64,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// Nothing is there.
    Create,
    /// Something else is there.
    Overwrite,
    /// Nothing to do.
    Right,
}

impl Entry {
    /// As it is shown.
    pub fn line(&self, _target: &Target) -> Line {
        Line {
            path: self.shown.clone(),
            action: match self.todo {
                Todo::Create => Action::Create,
                Todo::Overwrite => Action::Overwrite,
                Todo::Right => Action::Right,
            },
            bytes: self.bytes,
        }
    }
}

/// What stands at a path of the container.
pub enum There {
    /// Nothing.
    Nothing,
    /// A folder.
    Folder,
    /// Exactly what the point has.
    Same,
    /// Anything else.
    Other,
    /// What nothing is put over or into: one clause.
    Barred(String),
}

/// Looks at what is there, one path at a time.
pub trait Look {
    /// What stands at `path` (folders, then the name), beside what the point has.
    fn there(&mut self, path: &[Vec<u8>], shown: &str, node: &Node) -> Result<There>;
}

/// Walks what is wanted of a source and compares it with what is there.
pub struct Walk<'a> {
    /// The vault.
    pub reader: &'a Reader,
    /// What is wanted; `None` for everything.
    pub include: Option<Excludes>,
    /// What is there.
    pub look: &'a mut dyn Look,
    /// What has to be done.
    pub entries: Vec<Entry>,
    /// What stands in the way.
    pub obstacles: Vec<String>,
}

/// Patterns as they were given; `None` if there are none.
pub fn patterns(includes: &[String]) -> Result<Option<Excludes>> {
    Ok(match includes {
        [] => None,
        given => Some(Excludes::parse(
            given.iter().map(String::as_str),
            Anchor::Source,
        )?),
    })
}

impl Walk<'_> {
    /// One node at `path`; `inside` is its path below the source, for patterns.
    pub fn node(
        &mut self,
        path: Vec<Vec<u8>>,
        shown: String,
        inside: &[u8],
        node: &Node,
        whole: bool,
    ) -> Result<()> {
        let there = self.look.there(&path, &shown, node)?;
        let NodeKind::Dir { subtree } = node.kind else {
            let todo = match there {
                There::Nothing => Todo::Create,
                There::Same => Todo::Right,
                There::Other => Todo::Overwrite,
                There::Folder => {
                    self.obstacles.push(format!(
                        "{shown} is a folder here and a file in the point; move it away first"
                    ));
                    return Ok(());
                }
                There::Barred(why) => {
                    self.obstacles.push(format!("{shown} {why}"));
                    return Ok(());
                }
            };
            self.push(path, shown, node, todo, false)?;
            return Ok(());
        };
        match there {
            There::Nothing if whole => return self.push(path, shown, node, Todo::Create, false),
            There::Nothing => self.push(path.clone(), shown.clone(), node, Todo::Create, true)?,
            There::Folder | There::Same => {}
            There::Other => {
                self.obstacles.push(format!(
                    "{shown} is a folder in the point and none here; move it away first"
                ));
                return Ok(());
            }
            There::Barred(why) => {
                self.obstacles.push(format!("{shown} {why}"));
                return Ok(());
            }
        }
        for child in self.reader.tree(subtree)?.nodes {
            check_name(&child.name, &shown)?;
            let inside = [inside, b"/", &child.name].concat();
            let whole = whole || self.matches(&inside);
            if !whole && !self.holds_wanted(&inside, &child)? {
                continue;
            }
            let mut path = path.clone();
            path.push(child.name.clone());
            let shown = format!("{shown}/{}", String::from_utf8_lossy(&child.name));
            self.node(path, shown, &inside, &child, whole)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        path: Vec<Vec<u8>>,
        shown: String,
        node: &Node,
        todo: Todo,
        alone: bool,
    ) -> Result<()> {
        let bytes = match &node.kind {
            NodeKind::File { size, .. } => *size,
            NodeKind::Dir { subtree } if !alone => {
                let mut bytes = 0;
                self.reader.walk(*subtree, &mut |_, node| {
                    if let NodeKind::File { size, .. } = node.kind {
                        bytes += size;
                    }
                    Ok(Descend::Into)
                })?;
                bytes
            }
            _ => 0,
        };
        self.entries.push(Entry {
            path,
            shown,
            node: node.clone(),
            todo,
            alone,
            bytes,
        });
        Ok(())
    }

    fn matches(&self, inside: &[u8]) -> bool {
        self.include
            .as_ref()
            .is_none_or(|include| include.matches(inside, inside))
    }

    /// Whether something below a folder is wanted.
    fn holds_wanted(&self, inside: &[u8], node: &Node) -> Result<bool> {
        let NodeKind::Dir { subtree } = node.kind else {
            return Ok(false);
        };
        let mut found = false;
        self.reader.walk(subtree, &mut |below, _| {
            found = found || self.matches(&[inside, b"/", below].concat());
            Ok(if found { Descend::Stop } else { Descend::Into })
        })?;
        Ok(found)
    }
}

/// A name that is one component and leads nowhere.
fn check_name(name: &[u8], folder: &str) -> Result<()> {
    let bad = name.is_empty()
        || matches!(name, b"." | b"..")
        || name.iter().any(|b| matches!(b, b'/' | 0));
    if bad {
        return Err(RecoveryError::Failed(format!(
            "the point has `{}` as a name in {folder}: refused, no honest one says so",
            name.escape_ascii()
        )));
    }
    Ok(())
}
