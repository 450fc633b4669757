//! Telling people: messages to the places that they have, and dead man's switches.
//!
//! A [`Target`] is read from an URL as Shoutrrr and Apprise have them; what is secret in it is never shown (its
//! [`Display`](std::fmt::Display) names the service and the host alone). [`Sender`] has a thread of its own: whoever
//! hands a message in never waits, a target that hangs holds up no other, and what cannot be delivered after a few
//! tries is remembered as that target's trouble, to be seen in `status`.
//!
//! A [`Heartbeat`] is a dead man's switch: somebody else's clock that tells people when *nothing* comes any more.
//!
//! No redirect is followed (a secret could go with it), answers are read within bounds, and programs are run only from
//! files that nobody but root can change.

mod exec;
mod heartbeat;
mod http;
mod mail;
mod message;
mod sender;
mod target;

pub use heartbeat::{Beat, Heartbeat};
pub use http::Services;
pub use message::{Level, Message};
pub use sender::{Options, Sender, Trouble};
pub use target::{Target, TargetError};

use std::sync::Arc;

/// Why a message was not delivered: one sentence, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSent(pub String);

/// Where something goes.
#[derive(Debug, Clone)]
pub enum Place {
    /// To people.
    Target(Arc<Target>),
    /// To a dead man's switch.
    Heartbeat(Arc<Heartbeat>),
}
