//! The API of the agent: one way in for everybody, over a socket of this machine and, where it is asked for, over the network.
//!
//! | room | holds |
//! | --- | --- |
//! | [`guard`] | roles, tokens, peers of the socket |
//! | `gate` | what each request goes through: path, caller, body, key, audit log |
//! | `routes` | the resources under `/api/v1`, and the OpenAPI document made of the same lines |
//! | [`model`] | what goes over the wire |
//! | [`problem`] | errors as RFC 9457 has them |
//! | [`audit`] | who changed what, hash-chained |
//! | `once` | requests with an `Idempotency-Key` |
//! | `order` | what is asked for, as a command of this program |
//! | `mask` | what only an admin sees is left out |
//! | [`settings`] | `[api]` in `lifeboat.toml` |
//! | [`serve`] | listening, TLS, bounds |
//! | [`client`] | what commands of this program ask with |
//!
//! It holds no logic of its own: what containers do is [`lifeboat_agent`]'s, objectives and jobs are
//! [`lifeboat_objectives`]'s. No command, address of a message or probe can be set through it.

mod ask;
pub mod audit;
pub mod client;
mod error;
mod gate;
pub mod guard;
mod mask;
pub mod model;
mod once;
mod order;
pub mod problem;
mod routes;
pub mod serve;
pub mod settings;
mod shared;

pub use error::{Error, Result};
pub use order::app_of;
pub use routes::{Outcome, document};
pub use shared::{Parts, Shared};
