//! Is everything there that the recovery points need, and is it what it was when it was written?
//!
//! Without `read_data`: every file but the packs is read and opened; every tree of every snapshot is read; every
//! blob that it names is in the index; every pack that the index names is there with the size that follows
//! from its blobs. With `read_data`: every such pack is read whole, its hash taken, its header held against
//! the index, every blob in it opened, decompressed and hashed; or some packs, by [`Subset`].
//!
//! What is found is told with the recovery points and files that it touches. Nothing is changed. Findings are
//! not errors of the check itself: it fails only where it cannot do its work.
//!
//! Others may write meanwhile: snapshots are listed before the index, and the index before the packs,
//! so that what a writer adds can never look missing.
//!
//! Memory: the index, 32 bytes for each directory, and a window of 16 MiB for each thread.

mod locks;
mod packs;
mod select;
mod structure;
mod touch;

use std::collections::{HashMap, HashSet};

pub use select::{Share, Subset};

use lifeboat_store::{Area, ObjectInfo, ObjectName, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::{BlobId, PackId, SnapshotId},
    opened::Core,
    progress::Progress,
    repo::Vault,
};

/// Paths that a finding lists at most.
const FILES_LISTED: usize = 20;
/// Blobs that are missing one by one are listed up to this number, then counted.
const MISSING_LISTED: usize = 100;

/// Keys and locks have a few hundred bytes: no more than this is read of one.
const SMALL_FILE: u64 = 1 << 20;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Reads packs, too.
    pub read_data: bool,
    /// Not all of them, but these.
    pub subset: Option<Subset>,
    /// When packs were read and found whole, in seconds since 1970, as an earlier [`CheckReport::verified`] said.
    pub verified: HashMap<PackId, i64>,
    /// Threads; 0 for one a core.
    pub threads: usize,
}

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which object: `pack …`, `tree …`, `index/…`.
    pub object: String,
    /// What is wrong with it and what to do, for people.
    pub sentence: String,
    /// Recovery points that need it, in the order of their time.
    pub snapshots: Vec<SnapshotId>,
    /// Paths that need it (`/` for all of a recovery point), 20 at most. A path stands here once, in however
    /// many recovery points it is.
    pub files: Vec<Vec<u8>>,
    /// How many further paths there are.
    pub more_files: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Damage. Empty: all is well.
    pub errors: Vec<Finding>,
    /// Points that are not locked as the vault promises. No damage, but somebody could do some.
    pub unlocked: Vec<Finding>,
    /// What is no damage but worth knowing.
    pub notes: Vec<String>,
    /// Snapshots checked.
    pub snapshots: u64,
    /// Distinct trees read.
    pub trees: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Blobs in the index.
    pub blobs: u64,
    /// Bytes of these packs.
    pub bytes: u64,
    /// Packs that were read.
    pub read_packs: u64,
    /// Bytes of them.
    pub read_bytes: u64,
    /// When each pack that is there was last read and found whole, in seconds since 1970. One that is not here never
    /// was, or is damaged.
    pub verified: HashMap<PackId, i64>,
    /// Packs with damage, ascending by id.
    pub damaged_packs: Vec<PackId>,
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_healthy(&self) -> bool {
        self.errors.is_empty()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)?;
        if self.snapshots.is_empty() {
            return Ok(());
        }
        let points: Vec<String> = self.snapshots.iter().map(|id| id.short()).collect();
        write!(f, "; recovery points touched: {}", points.join(", "))?;
        let files: Vec<String> = self
            .files
            .iter()
            .map(|p| p.escape_ascii().to_string())
            .collect();
        if !files.is_empty() {
            write!(f, "; files: {}", files.join(", "))?;
        }
        if self.more_files > 0 {
            write!(f, " and {} more", self.more_files)?;
        }
        Ok(())
    }
}

/// Findings in the making, with what is needed to tell whom they touch.
#[derive(Default)]
struct Damage {
    findings: Vec<Finding>,
    /// Blobs that cannot be read, and the finding that says so.
    blobs: HashMap<(BlobKind, BlobId), usize>,
    /// Packs with a finding.
    packs: HashMap<PackId, usize>,
    /// Files whose entry in this tree is wrong.
    files: HashMap<BlobId, Vec<(Vec<u8>, usize)>>,
    /// Finding that counts the blobs that are not listed one by one, and their number.
    uncounted: Option<(usize, u64)>,
    missing: usize,
}

impl Damage {
    fn add(&mut self, object: String, sentence: String) -> usize {
        self.findings.push(Finding {
            object,
            sentence,
            snapshots: Vec::new(),
            files: Vec::new(),
            more_files: 0,
        });
        self.findings.len() - 1
    }

    /// A pack is bad, for the first reason found.
    fn add_pack(&mut self, pack: PackId, why: &str) {
        if !self.packs.contains_key(&pack) {
            let object = format!("pack {pack}");
            let number = self.add(object.clone(), format!("{object} is damaged: {why}"));
            self.packs.insert(pack, number);
        }
    }

    /// A blob is in no index.
    fn add_missing(&mut self, kind: BlobKind, id: BlobId) {
        if self.blobs.contains_key(&(kind, id)) {
            return;
        }
        self.missing += 1;
        let kind_name = kind.as_str();
        let number = if self.missing <= MISSING_LISTED {
            let object = format!("{kind_name} blob {id}");
            let sentence = format!(
                "{object} is in no index: its pack or an index file was lost; `lifeboat repair index` helps if only the index was"
            );
            self.add(object, sentence)
        } else {
            let (number, count) = match self.uncounted {
                Some((number, count)) => (number, count + 1),
                None => (self.add("further blobs".to_owned(), String::new()), 1),
            };
            self.uncounted = Some((number, count));
            self.findings[number].sentence = format!("{count} further blobs are in no index");
            number
        };
        self.blobs.insert((kind, id), number);
    }
}

impl Vault {
    /// Checks the vault. Fails only where it cannot do its work; damage is in the report.
    pub fn check(&self, options: &CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
        let core = &*self.0;
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let mut damage = Damage::default();
        let mut report = CheckReport::default();
        let _lock = self.shared_lock()?;

        progress.step("check snapshots");
        self.check_small_files(&mut damage, &mut report)?;
        let snapshots = self.snapshots()?;
        report.snapshots = (snapshots.found.len() + snapshots.unreadable.len()) as u64;
        for (id, error) in &snapshots.unreadable {
            let number = damage.add(format!("snapshots/{id}"), error.to_string());
            damage.findings[number].snapshots.push(*id);
        }
        let mut roots = Vec::new();
        for (id, snapshot) in &snapshots.found {
            match snapshot.tree {
                Some(tree) => roots.push((*id, tree)),
                None => {
                    let object = format!("snapshots/{id}");
                    let number = damage.add(object.clone(), format!("{object} names no tree"));
                    damage.findings[number].snapshots.push(*id);
                }
            }
        }

        progress.step("check index");
        // What these points rest on must show.
        core.settle();
        let mut said = packs::load(core, &mut damage)?;
        let (index, present) =
            packs::compare_with_listing(core, &mut said, &mut damage, &mut report)?;
        let facts = said.facts;
        report.blobs = index.len() as u64;
        report.packs = facts.len() as u64;

        progress.step("check trees");
        let trees: HashSet<BlobId> = roots.iter().map(|(_, tree)| *tree).collect();
        report.trees = structure::check(core, &index, trees, threads, &mut damage, progress);

        progress.step("check locks");
        self.check_locks(&index, &roots, &mut report)?;

        let mut read = Vec::new();
        if options.read_data {
            progress.step("check packs");
            read = match options.subset {
                Some(subset) => {
                    select::select(present.clone(), subset, &options.verified, &core.env)?
                }
                None => present.clone(),
            };
            report.read_packs = read.len() as u64;
            report.read_bytes = read.iter().map(|(_, size)| size).sum();
            packs::read_all(core, &index, &facts, &read, threads, &mut damage, progress);
        }
        packs::find_bad_blobs(core, &index, &mut damage);
        if !damage.findings.is_empty() {
            progress.step("check what is touched");
            touch::attribute(core, &index, &roots, &mut damage);
        }
        // Later than anything remembered, whatever the clock says: two runs within a second, or a clock
        // that was put back, must not have the same packs read again and again.
        let newest = options.verified.values().max().copied();
        let now = core.env.clock.now().secs;
        let now = newest.map_or(now, |newest| now.max(newest.saturating_add(1)));
        let read: HashSet<PackId> = read.into_iter().map(|(pack, _)| pack).collect();
        report.verified = present
            .iter()
            .filter(|(pack, _)| !damage.packs.contains_key(pack))
            .filter_map(|(pack, _)| match read.contains(pack) {
                true => Some((*pack, now)),
                false => Some((*pack, *options.verified.get(pack)?)),
            })
            .collect();
        report.damaged_packs = damage.packs.keys().copied().collect();
        report.damaged_packs.sort_unstable();
        report.errors = damage.findings;
        Ok(report)
    }

    /// Files that are neither snapshots nor index nor packs.
    fn check_small_files(&self, damage: &mut Damage, report: &mut CheckReport) -> Result<()> {
        let core = &*self.0;
        let config = core.store.get(&ObjectName::config());
        if !config.is_ok_and(|sealed| core.seal.open(&sealed).is_ok()) {
            let sentence = "config is damaged or gone: without it no program opens the vault; put it back from a copy";
            damage.add("config".to_owned(), sentence.to_owned());
        }
        for (area, what_it_means) in [
            (
                Area::Keys,
                "the password that it belongs to opens the vault no more",
            ),
            (
                Area::Locks,
                "other programs may refuse to work until it is removed",
            ),
        ] {
            let listed = core
                .store
                .list(area)
                .map_err(VaultError::store(format!("list {}", area.as_str())))?;
            for object in listed {
                let why = match small_file(core, &object) {
                    Ok(()) => continue,
                    Err(why) => why,
                };
                let name = object.name.to_string();
                let sentence = format!("{name} is damaged: {why}; {what_it_means}");
                if area == Area::Keys {
                    damage.add(name, sentence);
                } else {
                    report.notes.push(sentence);
                }
            }
        }
        Ok(())
    }
}

/// Whether a key or lock is what it was; the reason where it is not.
fn small_file(core: &Core, object: &ObjectInfo) -> Result<(), String> {
    if object.size > SMALL_FILE {
        return Err("it is too large to be one".to_owned());
    }
    match core.store.get(&object.name) {
        Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == object.name.id() => Ok(()),
        Ok(_) => Err("its bytes do not match its name".to_owned()),
        // Gone between listing and reading.
        Err(StoreError::NotFound(_)) => Ok(()),
        Err(error) => Err(format!("it cannot be read ({error})")),
    }
}
