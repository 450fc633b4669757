//! Who asks, and what they may: roles, tokens, peers of the socket.

mod peer;
mod role;
mod token;

pub use peer::{Groups, Peer};
pub use role::{Caller, Role};
pub use token::{Issued, NotIssued, TokenError, Tokens};
