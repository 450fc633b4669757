//! Is everything locked for as long as the vault promises?
//!
//! A point is promised to be locked for the policy's time from when the store got it. For each whose time is not over:
//! the point itself, config, the key in use, every pack that it needs and an index file that names it.

use std::collections::{BTreeSet, HashMap};

use lifeboat_store::{Area, ObjectName};

use super::{CheckReport, Finding};
use crate::{
    bits::Bits,
    closure::Closure,
    error::Result,
    id::{BlobId, IndexId, PackId, SnapshotId},
    index::Index,
    locked::packs_of,
    node::Timestamp,
    repo::Vault,
    unpacked::object_name,
};

/// The server may have got a point later than its lock was reckoned from.
const SLACK: i64 = 300;

/// A point whose time is not over.
struct Promise {
    id: SnapshotId,
    root: BlobId,
    until: i64,
}

impl Vault {
    /// Says in the report what is not locked as promised.
    pub(super) fn check_locks(
        &self,
        index: &Index,
        roots: &[(SnapshotId, BlobId)],
        report: &mut CheckReport,
    ) -> Result<()> {
        let core = &*self.0;
        if let (None, Some(_)) = (core.lock(), core.config.object_lock) {
            report.notes.push(format!(
                "the vault says that its points are locked, but what it lies on now cannot lock: anybody who can write at {} can delete them",
                core.store.location()
            ));
        }
        let promises = self.promises(roots)?;
        if promises.is_empty() {
            return Ok(());
        }
        let mut naming: HashMap<PackId, Vec<IndexId>> = HashMap::new();
        core.read_index(|id, file| {
            for pack in file.packs {
                naming.entry(pack.id).or_default().push(id);
            }
            Ok(())
        })?;
        let mut closure = Closure::new(core, index);
        let mut needs = Vec::new();
        let mut names: BTreeSet<ObjectName> = BTreeSet::new();
        for promise in &promises {
            let bits = Bits::new(index.len());
            // What is missing was told elsewhere.
            let walked = closure
                .read(promise.root, &mut |_, _| Ok(()))
                .and_then(|()| closure.mark(promise.root, &bits));
            let packs = match walked {
                Ok(()) => packs_of(index, &bits),
                Err(_) => BTreeSet::new(),
            };
            for pack in &packs {
                names.insert(object_name(Area::Data, &pack.0)?);
                for id in naming.get(pack).into_iter().flatten() {
                    names.insert(object_name(Area::Index, &id.0)?);
                }
            }
            names.insert(object_name(Area::Snapshots, &promise.id.0)?);
            needs.push(packs);
        }
        let key = object_name(Area::Keys, &core.key_id.0)?;
        names.extend([key.clone(), ObjectName::config()]);
        let names: Vec<ObjectName> = names.into_iter().collect();
        let locks = core.locks_of(&names)?;
        let until = |name: &ObjectName| locks.get(name).copied().unwrap_or(i64::MIN);
        for (promise, packs) in promises.iter().zip(&needs) {
            let wanted = promise.until.saturating_sub(SLACK);
            let mut short: Vec<ObjectName> = Vec::new();
            let own = object_name(Area::Snapshots, &promise.id.0)?;
            let each = [own, ObjectName::config(), key.clone()];
            short.extend(each.into_iter().filter(|name| until(name) < wanted));
            for pack in packs {
                let name = object_name(Area::Data, &pack.0)?;
                if until(&name) < wanted {
                    short.push(name);
                }
                let mut best = None;
                for id in naming.get(pack).into_iter().flatten() {
                    let name = object_name(Area::Index, &id.0)?;
                    best = best.max(Some((until(&name), name)));
                }
                short.extend(best.filter(|(at, _)| *at < wanted).map(|(_, name)| name));
            }
            short.sort();
            short.dedup();
            if let Some(first) = short.first() {
                report.unlocked.push(Finding {
                    object: format!("snapshots/{}", promise.id),
                    sentence: sentence(promise, short.len(), first, locks.get(first)),
                    snapshots: vec![promise.id],
                    files: Vec::new(),
                    more_files: 0,
                });
            }
        }
        Ok(())
    }

    /// Points whose time is not over.
    fn promises(&self, roots: &[(SnapshotId, BlobId)]) -> Result<Vec<Promise>> {
        let Some((_, policy)) = self.0.lock() else {
            return Ok(Vec::new());
        };
        let now = self.0.now().secs;
        let mut promises = Vec::new();
        for (id, root) in roots {
            let Some(stored) = self.stored_at(*id)? else {
                continue;
            };
            let until = policy.promised(stored);
            if until.saturating_sub(SLACK) > now {
                promises.push(Promise {
                    id: *id,
                    root: *root,
                    until,
                });
            }
        }
        Ok(promises)
    }
}

fn sentence(promise: &Promise, objects: usize, first: &ObjectName, until: Option<&i64>) -> String {
    let date = |secs: i64| Timestamp { secs, nanos: 0 }.to_rfc3339();
    let how = match until {
        Some(until) => format!("until {} only", date(*until)),
        None => "not at all".to_owned(),
    };
    let more = match objects {
        1 => String::new(),
        n => format!(", nor are {} more that it needs", n - 1),
    };
    format!(
        "point {} is not locked as promised, until {}: {first} is locked {how}{more}; a point that another program wrote is not locked, and `lifeboat pin` locks it from now on",
        promise.id.short(),
        date(promise.until)
    )
}
