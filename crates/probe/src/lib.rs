//! Asks containers whether they do their work: carries out what [`lifeboat_plan::probe`] describes.
//!
//! - [`Prober`]: all probes of all containers, on one thread; tells what changed over a channel.
//! - [`ask_once`]: one question now.
//!
//! **Where it asks.** At the container's own addresses, never anywhere else: no check names a host, no redirect leads
//! off it. Where the engine's network is ours, from here; else, and where nobody answers from here (`network_mode:
//! none`, another container's network, what listens on loopback alone), from within the container's network
//! namespace: a thread of its own enters it for as long as it takes to make a socket, which stays in it.
//!
//! **What it costs.** Whatever is asked may hang, flood or lie: each question ends at its time-out, keeps at most
//! [`MOST_READ`] bytes of what it hears, follows at most [`MOST_REDIRECTS`] redirects, and of all probes at most
//! [`Options::at_once`] are on their way at once. Commands in containers take a thread each while they run; of these
//! there are at most [`Options::commands_at_once`].
//!
//! **What is no failure.** That the engine does not answer, or that a container's network cannot be entered, says
//! nothing about the container: [`Outcome::Unknown`](lifeboat_plan::probe::Outcome::Unknown).
//!
//! Secrets are read where a check's reference says, at each question, and are in no error and no report.

mod ask;
mod error;
mod prober;
mod reach;
mod secret;
mod target;

pub use ask::{MOST_READ, MOST_REDIRECTS, ask_once};
pub use error::{Error, Result};
pub use prober::{LastAnswer, Options, Prober, Report, State};
