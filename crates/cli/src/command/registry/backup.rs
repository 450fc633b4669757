//! `registry backup`.

use lifeboat_images::registry::FetchOptions;
use lifeboat_recovery::registry::backup::{self, RegistryBackupOptions, RegistryProtected};

use super::{connect, listed};
use crate::{
    args::RegistryBackupArgs,
    exit::{Exit, Result},
    human,
    session::Session,
};

/// Makes a point.
pub fn run(session: &Session, args: &RegistryBackupArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let client = connect(&ctx, &args.registry, &args.access)?;
    let options = RegistryBackupOptions {
        fetch: FetchOptions {
            repositories: args.repositories.clone(),
            tags: args.tags.clone(),
            platforms: args.platforms.clone(),
            jobs: args.access.jobs.into(),
        },
        tags: args.point_tags.clone(),
        retry_lock: session.global.retry_lock,
    };
    session.reporter.subject(&args.registry);
    let done = backup::backup(&ctx, &client, &options);
    session.reporter.finish();
    let done = done?;
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.text(&render(&done))?;
    }
    session.remind_of_sheet();
    Ok(if done.findings.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render(done: &RegistryProtected) -> String {
    let point = done.id.short();
    let mut text = format!(
        "{}: recovery point {point}, {}, {}, {} in {}\n",
        human::escape(done.registry.as_bytes()),
        human::plural(done.repositories, "repository"),
        human::plural(done.tags, "tag"),
        human::size(done.bytes),
        human::seconds(done.seconds),
    );
    text.push_str(&format!(
        "  fetched {} in {}, the vault grew by {}\n",
        human::size(done.fetched_bytes),
        human::plural(done.fetched, "object"),
        human::size(done.added)
    ));
    text.push_str(&listed(
        "Not in the point, because the registry does not have it or has it damaged:",
        &done.findings,
    ));
    text
}
