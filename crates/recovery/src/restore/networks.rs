//! Networks back, where none of that name is.

use std::collections::BTreeSet;

use lifeboat_engine::Engine;
use lifeboat_plan::manifest::Manifest;

use super::{
    journal::{Intent, RestoreJournal},
    point::Definitions,
    step::Work,
};
use crate::{Context, Result};

/// Makes the networks of `manifest`.
pub fn make_networks(
    ctx: &Context,
    engine: &dyn Engine,
    manifest: &Manifest,
    definitions: &Definitions,
    journal: &mut RestoreJournal,
) -> Result<()> {
    let here = engine.inventory()?.networks;
    let existing: BTreeSet<String> = here.into_iter().map(|n| n.name).collect();
    for network in &manifest.networks {
        ctx.stop_if_cancelled()?;
        if existing.contains(&network.name) {
            // Shared, or made by the run that was interrupted; anything else was refused.
            if !journal.has(&Intent::Network(network.name.clone())) {
                ctx.is_there(Work::Network, &network.name);
            }
            continue;
        }
        ctx.take(Work::Network, &network.name);
        journal.intend(Intent::Network(network.name.clone()))?;
        let id = engine.create_network(&definitions.network_body(&network.name)?)?;
        journal.intend(Intent::NetworkMade(id))?;
    }
    ctx.taken();
    Ok(())
}
