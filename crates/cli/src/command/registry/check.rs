//! `registry check`.

use lifeboat_recovery::registry::{
    self,
    check::{self, RegistryChecked},
};

use super::listed;
use crate::{
    args::RegistryCheckArgs,
    exit::{Exit, Result},
    human,
    session::Session,
};

/// Checks a point.
pub fn run(session: &Session, args: &RegistryCheckArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let point = registry::resolve(&ctx.vault, args.point.as_deref())?;
    let done = check::check(&ctx, &point, args.read_data);
    session.reporter.finish();
    let done = done?;
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.text(&render(&done))?;
    }
    Ok(if !done.damaged.is_empty() {
        Exit::Failed
    } else if !done.source.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

fn render(done: &RegistryChecked) -> String {
    let short: String = done.point.chars().take(8).collect();
    let verdict = match (done.damaged.is_empty(), done.source.is_empty()) {
        (false, _) => "damaged",
        (true, false) => "whole, but for what the registry lacked",
        (true, true) => "whole",
    };
    let mut text = format!(
        "{}: recovery point {short} is {verdict}: {}, {} read\n",
        human::escape(done.registry.as_bytes()),
        human::plural(done.blobs, "manifest and blob")
            .replace("manifest and blobs", "manifests and blobs"),
        human::size(done.bytes_read)
    );
    text.push_str(&listed("Damaged or missing in the vault:", &done.damaged));
    text.push_str(&listed(
        "The registry did not have, or had damaged, when it was backed up:",
        &done.source,
    ));
    text
}
