//! `prune`: what no recovery point needs goes, beside backups that go on, and without waiting for them.
//!
//! **Mark.** All trees of all snapshots are walked. Packs of which nothing is needed are *marked*: they stay in `packs`, so
//! that every program finds in them what it always did, and are also named in `packs_to_delete`. Of packs of which
//! only a part is needed (as many as [`PruneOptions::max_unused`] asks for) that part is first written into new packs;
//! small packs are joined. Our writers treat what is marked as absent and store it again ([`crate::write`]).
//!
//! **Delete.** A marked pack is deleted when all of this holds: every lease that was there when it was marked has ended;
//! no other program holds a lock, and none can take one, for we hold one that they see as exclusive, for moments; by a
//! reading of the snapshots made under it nobody needs it; and, where a program that takes no lock has written
//! (rustic), or no index names the pack, the mark is 23 hours old. What may not go yet waits for the next prune;
//! what is needed again (restic does not see marks) loses its mark. Whom a mark waits for was written down with
//! it (`mark`), so no clock of any host decides. Our own sessions go on beside both halves, and look again when they
//! commit ([`crate::write`]).
//!
//! **Instantly** ([`PruneOptions::instant`]): alone in the vault from beginning to end, and no 23 hours. Programs that
//! respect locks are safe; one that does not must not run.
//!
//! What a crash leaves, wherever it comes: packs that no index names, blobs that are there twice, marks that are carried
//! out or withdrawn by the next prune; never less than the recovery points need. New packs are durable before the index
//! names them, and that before the old ones are marked; the new index is durable before an old file of it is deleted, and
//! that before the packs are.
//!
//! Where a network lies between, a put may arrive twice, and an index file that comes back after its deletion names packs
//! that are gone. So between the last put of index files and the deletion of one, 3 seconds pass there.
//!
//! Nothing is pruned from a damaged vault. Memory: the index (52 bytes for each blob and copy) and two bits a blob.

mod mark;
mod plan;
mod repack;
mod state;
mod sweep;
mod used;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use self::{
    plan::{Kept, Plan, Wishes},
    repack::{Repacked, Work},
    state::{Seen, State},
};
use crate::{
    bits::Bits,
    error::{Result, VaultError},
    id::PackId,
    lock::{self, HeldLock, LockMode},
    node::Timestamp,
    progress::Progress,
    repo::Vault,
    write::WriterOptions,
};

/// How much may stay that nobody needs, because getting rid of it means to write anew what lies beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxUnused {
    /// Percent of the whole, below 100.
    Percent(f64),
    /// Bytes.
    Bytes(u64),
    /// Nothing is written anew.
    Unlimited,
}

impl MaxUnused {
    /// The bound, where so many bytes are used.
    fn bytes(self, used: u64) -> u64 {
        match self {
            MaxUnused::Percent(percent) => {
                let share = percent.clamp(0.0, 99.9);
                (used as f64 * share / (100.0 - share)) as u64
            }
            MaxUnused::Bytes(bytes) => bytes,
            MaxUnused::Unlimited => u64::MAX,
        }
    }
}

/// How to prune.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// What may stay.
    pub max_unused: MaxUnused,
    /// Bytes of packs that are written anew, at most.
    pub max_repack: Option<u64>,
    /// Decide, but change nothing.
    pub dry_run: bool,
    /// Alone in the vault, and without the wait for programs that take no locks.
    pub instant: bool,
    /// How long to wait for who is in the way.
    pub retry_lock: Duration,
    /// Bytes of a pack, about.
    pub pack_size: usize,
    /// Threads; 0 for one a core.
    pub threads: usize,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: MaxUnused::Percent(5.0),
            max_repack: None,
            dry_run: false,
            instant: false,
            retry_lock: Duration::ZERO,
            pack_size: WriterOptions::default().pack_size,
            threads: 0,
        }
    }
}

/// A number of packs and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Packs.
    pub packs: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What keeps marked packs from being deleted. In the order of what is the least to wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// A program that takes no lock may be at work: until this time, RFC 3339.
    Age(String),
    /// A session of ours that was at work when they were marked.
    Session(String),
    /// A lock of another program.
    Lock(String),
    /// The store lets nobody delete them before this time, RFC 3339.
    Retention(String),
}

/// Packs that were marked and not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// How much.
    pub amount: Amount,
    /// For what.
    pub waits_for: WaitsFor,
}

/// What a prune did; in a dry run, what it would do.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// Packs that there were.
    pub before: Amount,
    /// What recovery points need: packs that hold some of it, and its bytes.
    pub used: Amount,
    /// What they do not: packs that hold nothing else, and the bytes of all of it. Without what was marked before.
    pub unused: Amount,
    /// Unneeded bytes that stay beside needed ones.
    pub left: u64,
    /// Packs whose needed part was written anew.
    pub repacked: Amount,
    /// What was written for it.
    pub written: Amount,
    /// There was more to write anew than [`PruneOptions::max_repack`] allows.
    pub postponed: bool,
    /// Newly marked.
    pub marked: Amount,
    /// Marked before, needed again.
    pub used_again: u64,
    /// Deleted.
    pub deleted: Amount,
    /// Marked and not deleted.
    pub waiting: Vec<Waiting>,
    /// Versions of objects that had been hidden in a store that locks, and whose time was over: deleted for good.
    pub swept: u64,
    /// Packs that hold something needed that cannot be read; they stay as they are.
    pub damaged: Vec<(PackId, VaultError)>,
}

/// One prune.
struct Run<'a> {
    vault: &'a Vault,
    options: &'a PruneOptions,
    lock: HeldLock,
    threads: usize,
    stop: &'a AtomicBool,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn go_on(&self) -> Result<()> {
        match self.stopped() {
            true => Err(VaultError::Interrupted("the prune".to_owned())),
            false => Ok(()),
        }
    }
}

impl Vault {
    /// Frees what no recovery point needs. Once `stop` is set it ends at the next safe place; run again, it goes on.
    pub fn prune(
        &self,
        options: &PruneOptions,
        stop: &AtomicBool,
        progress: &dyn Progress,
    ) -> Result<PruneReport> {
        self.0.refuse_version_1()?;
        let mode = match (options.dry_run, options.instant) {
            (true, _) => LockMode::Shared,
            (false, true) => LockMode::Exclusive,
            (false, false) => LockMode::Prune,
        };
        let stopped = || stop.load(Ordering::Relaxed);
        if !options.dry_run {
            self.refuse_append_only()?;
        }
        let lock = lock::acquire_unless(&self.0, mode, options.retry_lock, &stopped)?;
        let threads = match options.threads {
            _ if !self.0.env.threads => 1,
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let run = Run {
            vault: self,
            options,
            lock,
            threads,
            stop,
            progress,
        };
        run.go_on()?;
        run.prune()
    }
}

impl Run<'_> {
    fn prune(&self) -> Result<PruneReport> {
        let core = &self.vault.0;
        let present = lock::present(core, &[self.lock.lease()])?;
        let others = !present.leases.is_empty() || !present.foreign.is_empty();
        let mut seen = Seen::default();
        self.progress.step("read snapshots");
        let roots = seen.new_roots(self.vault)?;
        let state = State::read(core, self.progress)?;
        self.go_on()?;
        self.progress.step("find what is used");
        let used = Bits::new(state.index.len());
        used::add(
            core,
            &state.index,
            roots,
            &used,
            self.threads,
            self.progress,
        )?;
        self.go_on()?;
        let kept = plan::keep(&state, &used)?;
        let mut wishes = Wishes {
            max_unused: self.options.max_unused,
            max_repack: self.options.max_repack,
            pack_size: self.options.pack_size as u64,
            at_work_since: present.earliest,
            others,
            locked: HashMap::new(),
        };
        let plan = self.plan(&state, &kept, &mut wishes)?;
        let mut report = report(&state, &plan);
        report.waiting = waits_locked(&state, &kept, &wishes.locked);
        if self.options.dry_run {
            return Ok(report);
        }
        self.progress.step("repack");
        let work = Work {
            core,
            confirm: &|| self.lock.confirm(),
            threads: self.threads,
            pack_size: self.options.pack_size as u64,
            stop: self.stop,
            progress: self.progress,
        };
        let repacked = repack::repack(&work, &state, &kept, &plan.repack)?;
        report.written = repacked.written;
        self.progress.step("mark");
        let marks = marks(&state, &plan, &repacked);
        mark::mark(core, &marks, &self.lock)?;
        report.marked = amount(&marks);
        report.repacked = amount(&sized(&state, &repacked.done));
        report.damaged = repacked.damaged;
        self.go_on()?;
        let swept = sweep::sweep(self, &state, &used, &mut seen)?;
        report.deleted = swept.deleted;
        report.used_again = swept.used_again;
        report.waiting.extend(swept.waiting);
        if let Some((lock, _)) = core.lock() {
            let swept = lock.sweep();
            report.swept = swept.map_err(VaultError::store("sweep out what was hidden"))?;
        }
        Ok(report)
    }

    /// Decides without the packs that the store would not let go. Only of those that are to go it is asked.
    fn plan(&self, state: &State, kept: &Kept, wishes: &mut Wishes) -> Result<Plan> {
        let packs = state.index.packs();
        let mut asked: HashSet<PackId> = HashSet::new();
        loop {
            let plan = plan::decide(state, kept, wishes);
            let numbered = plan.unused.iter().chain(&plan.repack).map(|n| packs[*n]);
            let new: Vec<PackId> = numbered
                .chain(plan.unindexed.iter().copied())
                .filter(|pack| !asked.contains(pack))
                .collect();
            if new.is_empty() {
                return Ok(plan);
            }
            wishes.locked.extend(self.vault.0.locked_packs(&new)?);
            asked.extend(new);
        }
    }
}

/// What nobody needs of packs that the store does not let go: by the day.
fn waits_locked(state: &State, kept: &Kept, locked: &HashMap<PackId, i64>) -> Vec<Waiting> {
    let packs = state.index.packs().iter().zip(&kept.packs);
    let needed: HashMap<PackId, u64> = packs.map(|(pack, held)| (*pack, held.used)).collect();
    let mut days: BTreeMap<i64, (Amount, i64)> = BTreeMap::new();
    for (pack, until) in locked {
        let size = state.sizes.get(pack).copied().unwrap_or(0);
        let needed = needed.get(pack).copied().unwrap_or(0);
        let day = days.entry(until / 86_400).or_default();
        day.0.packs += 1;
        day.0.bytes += size.saturating_sub(needed);
        day.1 = day.1.max(*until);
    }
    let waiting = |(amount, until)| Waiting {
        amount,
        waits_for: WaitsFor::until(until),
    };
    days.into_values().map(waiting).collect()
}

impl WaitsFor {
    /// For a store's lock.
    fn until(secs: i64) -> Self {
        Self::Retention(Timestamp { secs, nanos: 0 }.to_rfc3339())
    }
}

fn sized(state: &State, numbers: &[usize]) -> Vec<(PackId, u64)> {
    let packs = state.index.packs();
    let sized = numbers.iter().map(|n| (packs[*n], state.size(*n)));
    sized
        .map(|(pack, size)| (pack, size.unwrap_or(0)))
        .collect()
}

/// Packs that are to be marked, in the order of their ids.
fn marks(state: &State, plan: &Plan, repacked: &Repacked) -> Vec<(PackId, u64)> {
    let mut marks = sized(state, &plan.unused);
    marks.extend(sized(state, &repacked.done));
    let size = |pack| state.sizes.get(pack).copied().unwrap_or(0);
    marks.extend(plan.unindexed.iter().map(|pack| (*pack, size(pack))));
    marks.sort_unstable();
    marks
}

fn amount(packs: &[(PackId, u64)]) -> Amount {
    Amount {
        packs: packs.len() as u64,
        bytes: packs.iter().map(|(_, size)| size).sum(),
    }
}

/// What is known before anything is done.
fn report(state: &State, plan: &Plan) -> PruneReport {
    let size = |pack| state.sizes.get(pack).copied().unwrap_or(0);
    let unindexed: u64 = plan.unindexed.iter().map(size).sum();
    let to_mark = Repacked {
        done: plan.repack.clone(),
        ..Repacked::default()
    };
    let repacked = amount(&sized(state, &plan.repack));
    PruneReport {
        before: Amount {
            packs: state.sizes.len() as u64,
            bytes: state.sizes.values().sum(),
        },
        used: plan.used,
        unused: Amount {
            packs: plan.garbage.packs + plan.unindexed.len() as u64,
            bytes: plan.garbage.bytes + unindexed,
        },
        left: plan.left,
        repacked,
        postponed: plan.postponed,
        marked: amount(&marks(state, plan, &to_mark)),
        used_again: plan.used_again.len() as u64,
        ..PruneReport::default()
    }
}
