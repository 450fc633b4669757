//! `registry restore`.

use lifeboat_images::registry::PushOptions;
use lifeboat_recovery::registry::{
    self,
    restore::{self, RegistryRestoreOptions, RegistryRestored},
};

use super::{connect, listed};
use crate::{
    args::RegistryRestoreArgs,
    exit::{Exit, Result},
    human,
    session::Session,
};

/// Pushes a point.
pub fn run(session: &Session, args: &RegistryRestoreArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let point = registry::resolve(&ctx.vault, args.point.as_deref())?;
    let client = connect(&ctx, &args.to, &args.access)?;
    let options = RegistryRestoreOptions {
        repositories: args.repositories.clone(),
        push: PushOptions {
            renames: args.renames(),
            jobs: args.access.jobs.into(),
        },
    };
    let done = restore::restore(&ctx, &point, &client, &options);
    session.reporter.finish();
    let done = done?;
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.text(&render(&done))?;
    }
    Ok(if done.findings.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render(done: &RegistryRestored) -> String {
    let short: String = done.point.chars().take(8).collect();
    let mut text = format!(
        "{} (recovery point {short}) is in {}: {}, {}, each asked for afterwards; {} sent, {} there already, in {}\n",
        human::escape(done.registry.as_bytes()),
        human::escape(done.to.as_bytes()),
        human::plural(done.manifests, "manifest"),
        human::plural(done.tags, "tag"),
        human::plural(done.blobs, "blob"),
        done.known,
        human::seconds(done.seconds),
    );
    text.push_str(&listed("Not brought back:", &done.findings));
    text
}
