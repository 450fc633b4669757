//! The end of a directory: everything below it is there, so its tree can be written.

use std::sync::{Arc, atomic::Ordering};

use lifeboat_vault::id::BlobId;

use super::{
    Walk,
    dir::{DirWork, Slot},
};
use crate::{
    Result,
    pass::{Entry, PassDir, Sub, What},
    sys::{self, XattrOf},
};

impl Walk<'_> {
    /// One job of a directory is done. The last one ends the directory, which is a job of the
    /// directory above, and so on up. At the root its slot is handed back.
    pub(super) fn job_done(&self, mut dir: Arc<DirWork>) -> Result<Option<Slot>> {
        loop {
            if dir.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
                return Ok(None);
            }
            let Some((above, todo)) = &dir.parent else {
                return Ok(dir.slots.lock().pop());
            };
            let slot = self.end(&dir, above.old_entry(todo.old), todo.old)?;
            above.set(todo.slot, slot);
            let above = above.clone();
            dir = above;
        }
    }

    /// Writes a directory's tree, unless the parent's says the same.
    fn end(&self, dir: &DirWork, old: Option<&Entry>, old_index: Option<u32>) -> Result<Slot> {
        let slots = std::mem::take(&mut *dir.slots.lock());
        let keep = self.options.later_pass;
        let unchanged = !dir.shrunk.load(Ordering::Relaxed)
            && dir
                .old
                .as_ref()
                .is_some_and(|old| old.entries.len() == slots.len())
            && slots
                .iter()
                .all(|s| matches!(s, Slot::Same(_) | Slot::New { same: true, .. }));
        let sub = match &dir.old {
            // Nothing at all is new.
            Some(old) if unchanged && !keep => Sub::Stored(old.id),
            Some(old)
                if unchanged && old.trusted && slots.iter().all(|s| matches!(s, Slot::Same(_))) =>
            {
                Sub::Loaded(old.clone())
            }
            _ => self.new_dir(dir, slots, unchanged)?,
        };
        Ok(self.end_of_self(dir, sub, unchanged, old, old_index))
    }

    /// The directory as it is now; its tree is written if it changed.
    fn new_dir(&self, dir: &DirWork, slots: Vec<Slot>, unchanged: bool) -> Result<Sub> {
        let id = match &dir.old {
            Some(old) if unchanged => old.id,
            _ => self.write_tree(dir, &slots)?,
        };
        if !self.options.later_pass {
            return Ok(Sub::Stored(id));
        }
        let found = slots.into_iter().enumerate().filter_map(|(i, slot)| {
            let entry = match slot {
                Slot::New { entry, .. } => *entry,
                Slot::Same(index) => dir.old_entry(Some(index))?.clone(),
                Slot::Gone => return None,
            };
            Some((dir.name(i), entry))
        });
        Ok(Sub::Loaded(Arc::new(PassDir::new(id, true, found))))
    }

    /// Entry by entry: of a wide directory the nodes are never in memory together.
    fn write_tree(&self, dir: &DirWork, slots: &[Slot]) -> Result<BlobId> {
        let mut tree = self.writer.directory();
        for (i, slot) in slots.iter().enumerate() {
            let entry = match slot {
                Slot::New { entry, .. } => Some(&**entry),
                Slot::Same(index) => dir.old_entry(Some(*index)),
                Slot::Gone => None,
            };
            if let Some(entry) = entry {
                tree.node(&entry.to_node(dir.name(i), &self.names))?;
            }
        }
        Ok(tree.finish()?)
    }

    /// The directory as an entry of the one above.
    fn end_of_self(
        &self,
        dir: &DirWork,
        sub: Sub,
        unchanged: bool,
        old: Option<&Entry>,
        old_index: Option<u32>,
    ) -> Slot {
        let Some(facts) = dir.facts else {
            return Slot::Gone;
        };
        let old = old.filter(|o| matches!(o.what, What::Dir(_)));
        let xattrs = match old {
            Some(old) if old.facts == facts && !self.racy(&facts) => old.xattrs().to_vec(),
            _ => match sys::xattrs(&XattrOf::Open(&dir.fd)) {
                Ok(xattrs) => xattrs,
                Err(e) => {
                    self.problem(&dir.path, format!("its attributes cannot be read: {e}"));
                    Vec::new()
                }
            },
        };
        let entry = Entry::new(facts, What::Dir(sub), xattrs);
        let same = old.is_some_and(|old| old.same(&entry));
        {
            let mut counts = self.counts.lock();
            match old {
                None => counts.dirs_new += 1,
                Some(_) if same && unchanged => counts.dirs_unmodified += 1,
                Some(_) => counts.dirs_changed += 1,
            }
        }
        match (&entry.what, old.map(|o| &o.what), old_index) {
            // The very same in memory: nothing above need be built anew either.
            (What::Dir(Sub::Loaded(new)), Some(What::Dir(Sub::Loaded(old))), Some(index))
                if same && Arc::ptr_eq(new, old) =>
            {
                Slot::Same(index)
            }
            (_, _, Some(index)) if same && !self.options.later_pass => Slot::Same(index),
            _ => Slot::New {
                entry: Box::new(entry),
                same,
            },
        }
    }
}
