//! The supervisor: what dies, hangs or vanishes is brought back, and what a person did is left as it is.
//!
//! [`World::step`] takes what happened and says what is to be done; it does no I/O, has no clock and no randomness
//! of its own, so one seed and one list of events replay a whole history.
//!
//! - [`Rules`]: what labels and restart policy ask for. [`Facts`]: what supervision needs to know of a container.
//! - [`Event`], [`Effect`]: what goes in and what comes out. [`Unit`]: one container's state.
//! - `engine_events`, `listing`: what the engine tells, as it happens and when asked.
//! - `consider`: whether something has to be done with a container; `queue`: when it is done.
//! - `untold`: what has ended and was not told of yet.
//! - `host`, `blame`: what the host runs short of, and who takes it. `replicas`, `rolling`: several of one.
//! - `shutdown`: a person's stop and an engine's shutdown, which look the same. `cascade`: who follows whom.
//! - [`view`]: what is shown.
//!
//! What holds, whatever happens (the property tests assert it):
//!
//! - nothing is done to a container that a person stopped, killed, paused or removed, to one that is not
//!   supervised, or while somebody else works on it or it is in maintenance;
//! - at most [`MOST_STARTS`] starts are under way, and never two things at once with one container;
//! - after each failure the wait doubles, from 10 s to 300 s; 10 minutes of health reset it;
//! - what ended well and is not to run for ever is never run again.
//!
//! A [`World`] can be written down and read again: what a crash of the agent leaves is the state before the effects
//! that were under way, and the next listing says what came of them.

mod backoff;
pub mod blame;
mod cascade;
mod consider;
mod engine_events;
mod event;
mod facts;
pub mod host;
mod listing;
mod moment;
mod outcome;
mod queue;
pub mod replicas;
pub mod rolling;
mod rules;
mod shutdown;
#[cfg(test)]
mod tests;
mod unit;
mod untold;
pub mod view;
mod world;

pub use backoff::Backoff;
pub use event::{
    Did, Effect, Event, Failed, Happened, Kind, Lack, Note, Process, Seen, State, Trouble, What,
};
pub use facts::{ASIDE, Facts, Need, NeedCondition, Policy, Slot, app_of, signal};
pub use moment::Moment;
pub use rules::{KNOWN_LABELS, ON_VOLUME_LOST, OnUnhealthy, OnVolumeLost, Rules};
pub use unit::{Doing, Exit, Health, Phase, Unit, Wanted};
pub use world::{MOST_STARTS, World};
