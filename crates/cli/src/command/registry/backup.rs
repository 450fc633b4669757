//! `registry backup`.

use std::path::Path;

use lifeboat_images::registry::{FetchOptions, RegistryStorage, Source};
use lifeboat_recovery::{
    Context, RecoveryError,
    registry::backup::{self, RegistryBackupOptions, RegistryProtected},
};

use super::{connect, listed, usage};
use crate::{
    args::RegistryBackupArgs,
    exit::{Exit, Failure, Result},
    human,
    session::{Session, absolute},
};

/// Makes a point.
pub fn run(session: &Session, args: &RegistryBackupArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let source = source(&ctx, args)?;
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
    let done = backup::backup(&ctx, source.as_ref(), &options);
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

/// The registry over the line, or its own storage.
fn source(ctx: &Context, args: &RegistryBackupArgs) -> Result<Box<dyn Source>> {
    let is_folder = args.registry.starts_with(['/', '.']);
    match (&args.name, is_folder) {
        (None, false) => Ok(Box::new(connect(ctx, &args.registry, &args.access)?)),
        (Some(_), false) => Err(Failure::usage(
            "--name goes with the folder of a registry's storage, which begins with / or .",
        )),
        (None, true) => Err(Failure::usage(format!(
            "{} is a folder: say with --name what images call its registry, HOST or HOST:PORT",
            args.registry
        ))),
        (Some(name), true) => {
            let address = name.parse().map_err(usage)?;
            let folder = absolute(Path::new(&args.registry))?;
            let storage = RegistryStorage::open(&folder, &address);
            Ok(Box::new(storage.map_err(RecoveryError::from)?))
        }
    }
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
