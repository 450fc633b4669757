//! `init`. The sheet holds the key: it goes to a terminal or to a private file, never into JSON.

use std::path::{Path, PathBuf};

use lifeboat_recovery::setup::{self, InitOptions, Initialised};
use lifeboat_store::{Capabilities, LockMode, LockPolicy};
use lifeboat_vault::Environment;
use serde::Serialize;

use crate::{
    args::InitArgs,
    exit::{Exit, Failure, Result},
    human,
    password::{self, Source},
    session::{PROGRAM, Session, absolute},
};

/// What `-o json` says. No key, no sheet.
#[derive(Serialize)]
struct Report<'a> {
    vault_id: &'a str,
    location: &'a str,
    key_file: Option<&'a Path>,
    sheet: Option<&'a Path>,
    warnings: &'a [String],
    /// What the store can do; of a directory it is known.
    store: Option<StoreReport>,
    /// How points are locked.
    object_lock: Option<LockPolicy>,
}

#[derive(Serialize)]
struct StoreReport {
    exclusive_create: bool,
    append_only: bool,
    lists_at_once: bool,
}

impl From<Capabilities> for StoreReport {
    fn from(can: Capabilities) -> Self {
        Self {
            exclusive_create: can.exclusive_create,
            append_only: can.append_only,
            lists_at_once: can.lists_at_once,
        }
    }
}

/// For people.
fn sentence(can: &Capabilities) -> String {
    let words = [
        if can.exclusive_create {
            "never replaces what is there"
        } else {
            "replaces what is written again"
        },
        if can.append_only {
            "is append-only (forget and prune must run where it is not)"
        } else {
            "lets objects be deleted"
        },
        if can.lists_at_once {
            "lists at once what was written"
        } else {
            "lists only later what was written"
        },
    ];
    format!("the store {}", words.join(", "))
}

/// Makes a vault.
pub fn run(session: &Session, args: &InitArgs) -> Result<Exit> {
    // Before anything is made: a vault whose sheet cannot be written would be half a vault.
    let sheet = args
        .sheet
        .as_deref()
        .map(|path| new_file(session, path))
        .transpose()?;
    let source = password::named_source(&session.global);
    let password = source.as_ref().map(password::read).transpose()?;
    let made = setup::init(
        &session.places,
        Environment::system(PROGRAM),
        InitOptions {
            vault: session.named_vault().map(str::to_owned),
            password: password.as_ref().map(|password| password.to_vec()),
            password_file: match &source {
                Some(Source::File(path)) => Some(absolute(path)?),
                _ => None,
            },
            access: session.access().clone(),
            object_lock: args.lock_policy().map_err(Failure::usage)?,
            site: session.global.site.clone(),
            host: session.global.host.clone(),
        },
    )?;
    if let Some(path) = &sheet {
        made.sheet.write(path).map_err(|e| {
            Failure::new(format!(
                "the vault was made, but its recovery sheet could not be written: {e}; {}",
                keep(&made)
            ))
        })?;
    }
    for warning in &made.warnings {
        session.reporter.warn_once(warning);
    }
    show(session, &made, sheet.as_deref())?;
    Ok(Exit::Done)
}

fn show(session: &Session, made: &Initialised, sheet: Option<&Path>) -> Result<()> {
    let out = &session.out;
    if out.is_json() {
        out.json(&Report {
            vault_id: &made.vault_id,
            location: &made.location,
            key_file: made.key_file.as_deref(),
            sheet,
            warnings: &made.warnings,
            store: made.capabilities.map(StoreReport::from),
            object_lock: made.object_lock,
        })?;
    } else {
        out.line(&format!(
            "vault {} made at {}",
            made.vault_id, made.location
        ))?;
        if let Some(can) = &made.capabilities {
            out.line(&sentence(can))?;
        }
        if let Some(lock) = made.object_lock {
            out.line(&format!(
                "every point is locked for {} from its backup on ({}): {} delete it before",
                human::period(lock.seconds),
                lock.mode.as_str(),
                match lock.mode {
                    LockMode::Compliance => "nobody can",
                    LockMode::Governance => "only who may bypass that can",
                }
            ))?;
        }
        if let Some(key) = &made.key_file {
            out.line(&format!("key generated in {}", key.display()))?;
        }
        match sheet {
            Some(path) => out.line(&format!("recovery sheet written to {}", path.display()))?,
            None if out.is_terminal() => {
                out.line(&format!("\n{}", made.sheet.text().trim_end()))?
            }
            None => {}
        }
    }
    if sheet.is_none() && (out.is_json() || !out.is_terminal()) {
        session.reporter.warn_once(&format!(
            "the recovery sheet was not shown, as standard output is no terminal; {}",
            keep(made)
        ));
    }
    Ok(())
}

/// What to do where there is no sheet.
fn keep(made: &Initialised) -> String {
    match &made.key_file {
        Some(key) => format!(
            "copy {} to a place away from this machine: without it the vault is lost",
            key.display()
        ),
        None => "keep the password in a place away from this machine: without it the vault is lost"
            .to_owned(),
    }
}

/// The sheet's path, if a new file can stand there and the vault does not hold it.
pub(super) fn new_file(session: &Session, path: &Path) -> Result<PathBuf> {
    let path = absolute(path)?;
    if fs_err::symlink_metadata(&path).is_ok() {
        return Err(Failure::usage(format!(
            "{} is there already; name a new file for the recovery sheet",
            path.display()
        )));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        return Err(Failure::usage(format!(
            "{} is no directory; name another place for the recovery sheet",
            folder.display()
        )));
    }
    let Some(vault) = session.vault_directory() else {
        return Ok(path);
    };
    let vault = absolute(&vault)?;
    if path.starts_with(&vault) {
        return Err(Failure::usage(format!(
            "the recovery sheet holds the key and must not lie in the vault; name a place outside {}",
            vault.display()
        )));
    }
    Ok(path)
}
