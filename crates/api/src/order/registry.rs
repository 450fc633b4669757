//! Orders about registries.

use lifeboat_plan::schedule::Order;

use super::{Line, order};
use crate::{
    model::{RegistryCheckWanted, RegistryForgetWanted, RegistryRestoreWanted, RegistryWanted},
    problem::Problem,
};

/// `HOST[:PORT]`, or an id: what a registry or its point is named by.
fn address(text: &str) -> Result<&str, Problem> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let is = (1..=300).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('-');
    is.then_some(text).ok_or_else(|| {
        Problem::bad("a registry is named by its address, HOST or HOST:PORT, its point by an id")
    })
}

/// `registry backup` of a part.
pub fn registry(wanted: &RegistryWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["registry", "backup"]);
    line.values("repo", &wanted.repositories)?
        .values("tag", &wanted.tags)?
        .name(&wanted.name);
    Ok(order(format!("registry {}", wanted.name), None, line))
}

/// `registry check`.
pub fn registry_check(wanted: &RegistryCheckWanted) -> Result<Order, Problem> {
    let mut line = Line::new(&["registry", "check"]);
    line.flag("read-data", wanted.read_data);
    if let Some(point) = &wanted.point {
        line.name(address(point)?);
    }
    Ok(order("registry check".to_owned(), None, line))
}

/// `registry forget`.
pub fn registry_forget(wanted: &RegistryForgetWanted) -> Result<Order, Problem> {
    if wanted.keep_last.is_none() && wanted.keep_tags.is_empty() && wanted.keep_within.is_none() {
        return Err(Problem::bad(
            "no rule says what stays: give `keep_last`, `keep_tags` or `keep_within`",
        ));
    }
    let last = wanted.keep_last.map(|last| last.to_string());
    let mut line = Line::new(&["registry", "forget"]);
    line.values("repo", &wanted.repositories)?
        .value("keep-last", last.as_deref())?
        .values("keep-tag", &wanted.keep_tags)?
        .value("keep-within", wanted.keep_within.as_deref())?
        .flag("untagged", wanted.untagged)
        .flag("dry-run", wanted.dry_run);
    if let Some(registry) = &wanted.registry {
        line.name(address(registry)?);
    }
    Ok(order("registry forget".to_owned(), None, line))
}

/// `registry restore`.
pub fn registry_restore(wanted: &RegistryRestoreWanted) -> Result<Order, Problem> {
    let to = address(&wanted.to)?;
    let renames: Vec<String> = wanted
        .renames
        .iter()
        .map(|(o, n)| format!("{o}={n}"))
        .collect();
    let mut line = Line::new(&["registry", "restore"]);
    line.value("to", Some(to))?
        .values("repo", &wanted.repositories)?
        .values("rename", &renames)?
        .flag("plain-http", wanted.plain_http);
    if let Some(point) = &wanted.point {
        line.name(address(point)?);
    }
    Ok(order(format!("registry restore to {to}"), None, line))
}
