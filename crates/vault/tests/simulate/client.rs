//! What a client does with the vault, step by step, and what it tells the model.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use lifeboat_store::{Dice, Simulation};
use lifeboat_vault::{
    ErrorKind, Result, Silent, Snapshot, SnapshotId, Timestamp, Vault, VaultError, WriterOptions,
    copy::{Copied, CopyOptions},
    prune::{MaxUnused, PruneOptions},
    repair::{packs::RepairPacks, snapshots::RepairSnapshots},
};
use parking_lot::Mutex;

use crate::{
    model::{self, Files, Model},
    place::Life,
};

/// One thing to do.
#[derive(Debug)]
pub enum Deed {
    Backup {
        files: Files,
        /// Flush half-way.
        flush: bool,
        /// Stand still before the commit.
        pause: Option<Duration>,
    },
    Read,
    RepairIndex,
    /// What `check` finds.
    RepairPacks,
    RepairPoints {
        /// The old points go.
        forget: bool,
    },
    /// One of the points, by this number.
    Forget(u64),
    Prune {
        /// What lies beside unused blobs is written anew.
        repack: bool,
        instant: bool,
    },
    /// All points into another vault.
    Copy,
    /// Open the vault anew.
    Reopen,
}

impl Deed {
    pub fn draw(dice: &mut Dice) -> Deed {
        match dice.below(18) {
            0..6 => Deed::Backup {
                files: model::files(dice),
                flush: dice.chance(300),
                pause: match dice.below(12) {
                    0 => Some(Duration::from_secs(45 * 60)),
                    1 => Some(Duration::from_secs(7 * 60)),
                    2..4 => Some(Duration::from_millis(300)),
                    _ => None,
                },
            },
            6..8 => Deed::Read,
            8 => Deed::RepairIndex,
            9..11 => Deed::Forget(dice.number()),
            11..14 => Deed::Prune {
                repack: dice.chance(700),
                instant: dice.chance(300),
            },
            14 => Deed::Copy,
            15 => Deed::RepairPacks,
            16 => Deed::RepairPoints {
                forget: dice.chance(500),
            },
            _ => Deed::Reopen,
        }
    }
}

/// A client's process: it opens the vault, does its deeds, and ends with them or dies.
pub struct Client<'s> {
    pub simulation: &'s Arc<Simulation>,
    pub model: &'s Mutex<Model>,
    /// Another vault, in a place where nothing ever fails.
    pub copies: &'s Vault,
    pub name: String,
    pub life: Life,
    /// In weather without failures every deed must succeed, or say who stands in its way.
    pub calm: bool,
}

impl Client<'_> {
    /// Does all deeds. `Err` is a finding.
    pub fn run(self, deeds: Vec<Deed>) -> Result<(), String> {
        let mut vault = None;
        for deed in deeds {
            self.simulation
                .note(format!("{}: {}", self.name, describe(&deed)));
            let done = self.perform(&mut vault, deed);
            if let Err(error) = &done {
                self.simulation.note(format!("{}: {error}", self.name));
            }
            if self.life.store.is_dead() {
                return Ok(());
            }
            match done {
                Ok(()) => {}
                Err(Trouble::Finding(what)) => return Err(format!("{}: {what}", self.name)),
                Err(Trouble::Vault(error)) if self.calm && !may_happen(&error) => {
                    return Err(format!("{} failed without a cause: {error}", self.name));
                }
                Err(Trouble::Vault(_)) => {}
            }
        }
        Ok(())
    }

    fn perform(&self, vault: &mut Option<Vault>, deed: Deed) -> Result<(), Trouble> {
        if matches!(deed, Deed::Reopen) || vault.is_none() {
            *vault = Some(self.life.open()?);
        }
        let Some(vault) = vault else { return Ok(()) };
        match deed {
            Deed::Backup {
                files,
                flush,
                pause,
            } => self.back_up(vault, files, flush, pause),
            Deed::Read => self.read(vault),
            Deed::RepairIndex => {
                let stop = AtomicBool::new(false);
                vault.rebuild_index(Duration::ZERO, &stop, &Silent)?;
                Ok(())
            }
            Deed::RepairPacks => self.repair_packs(vault),
            Deed::RepairPoints { forget } => self.repair_points(vault, forget),
            Deed::Forget(number) => self.forget(vault, number),
            Deed::Prune { repack, instant } => {
                let stop = AtomicBool::new(false);
                vault.prune(&prune_options(repack, instant), &stop, &Silent)?;
                Ok(())
            }
            Deed::Copy => self.copy(vault),
            Deed::Reopen => Ok(()),
        }
    }

    /// What is damaged is torn, and torn packs are in no point that anybody has: nothing may be lost.
    fn repair_packs(&self, vault: &Vault) -> Result<(), Trouble> {
        let stop = AtomicBool::new(false);
        let options = RepairPacks {
            packs: &[],
            dry_run: false,
            retry_lock: Duration::ZERO,
            stop: &stop,
        };
        let mut keep =
            |_, bytes: &mut dyn std::io::Read| std::io::copy(bytes, &mut std::io::sink()).map(drop);
        let repaired = vault.repair_packs(&options, &mut keep, &Silent)?;
        for pack in &repaired.packs {
            let note = format!("{}: repaired pack {}: {}", self.name, pack.id, pack.why);
            self.simulation.note(note);
        }
        Ok(())
    }

    /// Every point is whole, so there is never anything to repair, and no point goes.
    fn repair_points(&self, vault: &Vault, forget: bool) -> Result<(), Trouble> {
        let stop = AtomicBool::new(false);
        let points = vault.snapshots()?.found;
        let options = RepairSnapshots {
            drop_files: false,
            forget,
            dry_run: false,
            tags: Vec::new(),
            writer: options(),
            stop: &stop,
        };
        let repaired = vault.repair_snapshots(&points, &options, &Silent)?;
        match repaired
            .points
            .iter()
            .find(|p| vault.snapshot(p.id).is_ok())
        {
            Some(point) => Err(Trouble::Finding(format!(
                "point {} was repaired, and nothing ailed it: {:?}",
                point.id.short(),
                point.outcome
            ))),
            None => Ok(()),
        }
    }

    fn forget(&self, vault: &Vault, number: u64) -> Result<(), Trouble> {
        let stop = AtomicBool::new(false);
        let points: Vec<_> = {
            let model = self.model.lock();
            let attempts = model.attempts.iter().enumerate();
            attempts
                .filter(|(_, a)| !a.forgetting)
                .filter_map(|(n, a)| Some((n, a.acknowledged?)))
                .collect()
        };
        let Some((number, id)) = points.get(number as usize % points.len().max(1)).copied() else {
            return Ok(());
        };
        self.model.lock().attempts[number].forgetting = true;
        vault.forget(&[id], Duration::ZERO, &stop)?;
        self.model.lock().attempts[number].forgotten = true;
        Ok(())
    }

    fn copy(&self, vault: &Vault) -> Result<(), Trouble> {
        let stop = AtomicBool::new(false);
        let points = vault.snapshots()?.found;
        let options = CopyOptions {
            writer: options(),
            ..CopyOptions::default()
        };
        let report = vault.copy_to(self.copies, &points, &options, &stop, &Silent)?;
        if let Some(error) = report.stopped {
            return Err(error.into());
        }
        for (id, copied) in report.points {
            if let Copied::Damaged(error) = copied
                && vault.snapshot(id).is_ok()
                && self.calm
            {
                let what = format!("point {} cannot be copied: {error}", id.short());
                return Err(Trouble::Finding(what));
            }
        }
        Ok(())
    }

    fn back_up(
        &self,
        vault: &Vault,
        files: Files,
        flush: bool,
        pause: Option<Duration>,
    ) -> Result<(), Trouble> {
        let number = self.model.lock().begin(files.clone());
        let writer = vault.writer(options())?;
        if flush {
            let half = files.iter().take(files.len() / 2);
            let half = half.map(|(p, b)| (p.clone(), b.clone())).collect();
            model::save(&writer, &half)?;
            writer.flush()?;
        }
        let root = model::save(&writer, &files)?;
        if let Some(pause) = pause {
            self.simulation.sleep(pause);
        }
        let snapshot = Snapshot {
            time: time(self.simulation),
            tree: Some(root),
            paths: vec![format!("/lifeboat/{}", self.name)],
            hostname: self.name.clone(),
            tags: vec![format!("attempt-{number}")],
            ..Snapshot::default()
        };
        let id = writer.commit(snapshot)?;
        // Nothing happens between the acknowledgement and this.
        self.model.lock().attempts[number].acknowledged = Some(id);
        self.simulation
            .note(format!("{}: attempt {number} is acknowledged", self.name));
        Ok(())
    }

    /// What is there is whole, also while others work.
    fn read(&self, vault: &Vault) -> Result<(), Trouble> {
        let reader = vault.reader()?;
        for (id, snapshot) in vault.snapshots()?.found {
            let read = read_point(&reader, id, &snapshot, self.model);
            match read {
                Err(Trouble::Vault(error)) if vault.snapshot(id).is_ok() => {
                    if self.calm {
                        let what = format!("point {} cannot be read: {error}", id.short());
                        return Err(Trouble::Finding(what));
                    }
                    return Err(Trouble::Vault(error));
                }
                // Forgotten meanwhile.
                Err(Trouble::Vault(_)) => {}
                read => read?,
            }
        }
        Ok(())
    }
}

/// Reads a point and compares.
pub fn read_point(
    reader: &lifeboat_vault::Reader,
    id: SnapshotId,
    snapshot: &Snapshot,
    model: &Mutex<Model>,
) -> Result<(), Trouble> {
    let finding = |what: &str| Err(Trouble::Finding(format!("point {}: {what}", id.short())));
    let Some(tree) = snapshot.tree else {
        return finding("it has no tree");
    };
    let files = model::load(reader, tree)?;
    let model = model.lock();
    let Some(number) = model.number(snapshot) else {
        return finding("nobody made it");
    };
    if model.attempts[number].files != files {
        return finding("its content is not what was backed up");
    }
    Ok(())
}

/// Small packs, so that few bytes make many objects.
fn options() -> WriterOptions {
    WriterOptions {
        pack_size: 8 << 10,
        threads: 1,
        compression_level: 1,
        ..WriterOptions::default()
    }
}

fn prune_options(repack: bool, instant: bool) -> PruneOptions {
    PruneOptions {
        max_unused: match repack {
            true => MaxUnused::Percent(0.0),
            false => MaxUnused::Unlimited,
        },
        instant,
        pack_size: 8 << 10,
        threads: 1,
        ..PruneOptions::default()
    }
}

fn time(simulation: &Simulation) -> String {
    let now = simulation.now();
    Timestamp {
        secs: 1_893_456_000 + now.as_secs().cast_signed(),
        nanos: now.subsec_nanos(),
    }
    .to_rfc3339()
}

/// In calm weather only others stand in the way, or one's own long pause.
fn may_happen(error: &VaultError) -> bool {
    matches!(error.kind(), ErrorKind::Locked)
        || matches!(error, VaultError::LockLost(..) | VaultError::ReuseLost(_))
}

fn describe(deed: &Deed) -> String {
    match deed {
        Deed::Backup { files, pause, .. } => {
            format!("backup of {} files, pause {pause:?}", files.len())
        }
        other => format!("{other:?}"),
    }
}

/// What ended a deed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Vault(#[from] VaultError),
    /// A promise was broken.
    #[error("FINDING: {0}")]
    Finding(String),
}
