//! What an app that is gone is made again from, though nobody is there to type a command: its definition, its images, its
//! volumes.
//!
//! The agent captures definitions after each change ([`definitions::keep`]), as snapshots of their own, which are no points
//! of the app; and has brought what it lacks: [`definitions::find`], [`images::bring`], [`volumes::bring`]. Each goes on
//! where an interrupted one was.

pub mod definitions;
pub mod held;
pub mod images;
pub mod volumes;

use lifeboat_engine::Engine;
use lifeboat_plan::{identity::AppIdentity, name::AppName};

use crate::{Context, Result, protect};

/// The identity of an app of this host by its name.
///
/// # Errors
/// It is no name, or the engine does not answer.
pub fn identity(ctx: &Context, engine: &dyn Engine, app: &str) -> Result<AppIdentity> {
    let name = AppName::new(app).map_err(lifeboat_plan::Error::from)?;
    protect::identity_of(ctx, &engine.facts()?, &name)
}
