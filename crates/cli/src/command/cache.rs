//! `cache`: needs no vault.

use std::time::{Duration, UNIX_EPOCH};

use lifeboat_store::cache::{self, CachedVault};
use serde::Serialize;

use crate::{
    args::CacheArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report {
    directory: String,
    vaults: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    vault_id: String,
    /// RFC 3339.
    used: String,
    bytes: Option<u64>,
    old: bool,
    removed: bool,
}

/// Shows or cleans the cache.
pub fn run(session: &Session, args: &CacheArgs) -> Result<Exit> {
    let Some(dir) = session.cache_dir() else {
        return Err(Failure::new(
            "there is no folder for a cache: neither --cache-dir nor HOME is set",
        ));
    };
    let failed = |e| Failure::new(format!("look through the cache in {}: {e}", dir.display()));
    let age = Duration::from_secs(u64::from(args.max_age) * 24 * 3600);
    let vaults = cache::vaults(&dir, age, !args.no_size).map_err(failed)?;
    if args.cleanup {
        cache::clean(&dir, age).map_err(failed)?;
    }
    let entry = |vault: CachedVault| -> Result<Entry> {
        let used = vault.used.duration_since(UNIX_EPOCH).unwrap_or_default();
        let used = i64::try_from(used.as_secs()).unwrap_or(i64::MAX);
        let used = jiff::Timestamp::from_second(used);
        let used = used.map_err(|e| Failure::new(format!("the cache's time: {e}")))?;
        Ok(Entry {
            removed: args.cleanup && vault.old,
            vault_id: vault.id,
            used: used.to_string(),
            bytes: vault.bytes,
            old: vault.old,
        })
    };
    let report = Report {
        directory: dir.display().to_string(),
        vaults: vaults.into_iter().map(entry).collect::<Result<_>>()?,
    };
    if session.out.is_json() {
        session.out.json(&report)?;
        return Ok(Exit::Done);
    }
    if report.vaults.is_empty() {
        let note = format!("nothing is kept in {}", report.directory);
        session.reporter.note(&note, session.global.quiet);
        return Ok(Exit::Done);
    }
    let columns = [
        ("VAULT", Align::Left),
        ("LAST USED", Align::Left),
        ("SIZE", Align::Right),
        ("NOTES", Align::Left),
    ];
    let mut table = Table::new(&columns, session.out.width());
    for vault in &report.vaults {
        let notes = match (vault.removed, vault.old) {
            (true, _) => "taken away",
            (false, true) => "old",
            _ => "",
        };
        table.row([
            vault.vault_id.chars().take(8).collect(),
            human::local_time(&vault.used),
            vault.bytes.map(human::size).unwrap_or_default(),
            notes.to_owned(),
        ]);
    }
    session.out.text(&table.render())?;
    Ok(Exit::Done)
}
