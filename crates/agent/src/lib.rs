//! What runs all the time on a host: here the supervisor. It is asked through a [`Handle`].
//!
//! Decisions are [`lifeboat_plan::supervise`]'s, which does no I/O; this crate brings it what happens and does what it
//! says. One owner for each thing, and one way to end:
//!
//! | owner | thread | owns |
//! | --- | --- | --- |
//! | `run` | the caller's | the world, the state file, the event log |
//! | `follow` | `agent-events` | the engine's event stream; lists after each gap and every 30 s |
//! | `hands` | `agent-look` (2), `agent-start` (4), `agent-stop` (8) | what is done at the engine |
//! | `hands` | `agent-fetch` (2) | waiting for what is fetched for what is gone |
//! | `keeping` | `agent-keep` | when definitions go into the vault |
//! | `probing` | `agent-probes` and the prober's own | the probes |
//! | `upkeep`, `host` | `agent-upkeep`, `agent-pulse` | what has to be done now and then; how the host is |
//! | `service` | `agent-watch` | what a service manager is told; whether the loops turn |
//!
//! They talk to `run` through one channel. [`Stopper::stop`] ends them: the stream first, then the hands, which finish
//! what they began, and last the state is written.
//!
//! **Crashes.** The world is written, durably, before anything is done. What was under way at a crash is looked at again
//! after the first listing; a container that lies between our stop and our start is started. The event log may lose its
//! last lines; nothing depends on it. Only one agent runs in a state directory ([`Error::Running`]).

mod asides;
mod ask;
mod blame;
mod clock;
mod definitions;
mod diagnose;
mod error;
mod follow;
mod hands;
mod help;
mod host;
mod keeping;
mod lock;
pub mod log;
mod making;
mod needs;
mod options;
mod probing;
mod process;
mod recreate;
mod replicas;
mod run;
pub mod service;
mod state;
mod tidy;
mod translate;
mod upkeep;

pub use ask::{Handle, Refused, Status};
pub use clock::Clock;
pub use definitions::{Definitions, Kind as DefinitionKind};
pub use error::{Error, Result};
pub use help::{Held, Help, Helper};
pub use options::{Connect, Options};
pub use run::{Agent, Stopper};
