//! `mount`: until a signal comes or somebody unmounts it.

use std::path::Path;

use lifeboat_mount::{Mount, MountError, MountOptions, MountedPoint};
use lifeboat_plan::identity::AppIdentity;
use lifeboat_recovery::inspect::PointFilter;
use lifeboat_vault::Vault;

use crate::{
    args::MountArgs,
    exit::{Exit, Failure, Result},
    session::{Session, absolute},
    signals,
};

/// Mounts and serves.
pub fn run(session: &Session, args: &MountArgs) -> Result<Exit> {
    if session.out.is_json() {
        return Err(Failure::usage(
            "`mount` has no output that could be JSON; leave -o json out",
        ));
    }
    let place = absolute(Path::new(&args.dir))?;
    let vault = session.open_vault()?;
    let filter = args.filter.filter(&[], &session.global);
    // What is wrong with the filter is said before anything is mounted.
    filter.select(&vault)?;
    let reader = vault.reader()?;
    let options = MountOptions {
        allow_other: args.allow_other,
        cache: args.cache << 20,
    };
    let source = move || points(&vault, &filter);
    let mut mount = Mount::new(reader, source, &place, &options)?;
    let unmounter = mount.unmounter();
    signals::on_first(move || unmounter.unmount())?;
    let said = format!(
        "the points are in {}; end with ctrl-C, or `umount` it",
        mount.place().display()
    );
    session.reporter.finish();
    session.reporter.note(&said, session.global.quiet);
    mount.serve()?;
    Ok(Exit::Done)
}

fn points(vault: &Vault, filter: &PointFilter) -> std::result::Result<Vec<MountedPoint>, String> {
    let snapshots = filter.select(vault).map_err(|e| e.to_string())?;
    for (id, error) in &snapshots.unreadable {
        tracing::warn!("point {} is left out: {error}", id.short());
    }
    let mounted = snapshots.found.into_iter().filter_map(|(id, snapshot)| {
        let identity = AppIdentity::from_snapshot_paths(&snapshot.paths);
        Some(MountedPoint {
            id,
            tree: snapshot.tree?,
            host: match &identity {
                Some(identity) => identity.host.to_string(),
                None => snapshot.hostname,
            },
            app: identity.map(|identity| identity.name.to_string()),
            time: snapshot.time,
            tags: snapshot.tags,
        })
    });
    Ok(mounted.collect())
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        Failure::new(error.to_string())
    }
}
