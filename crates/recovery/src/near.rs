//! What reads the files of the engine's host has to run there.

use lifeboat_engine::{Endpoint, Engine};

use crate::{RecoveryError, Result};

/// Refuses an engine that is on another host, before a path of the same name here is taken for its own.
/// One on a local socket is proved later, where it matters; one through a socket proxy is proved now.
/// Through TLS or ssh nothing is read at all: a freeze has to be ended through the same address by a
/// watchdog that has no files and no keys.
pub fn refuse_far(engine: &dyn Engine, what: &str) -> Result<()> {
    let address = engine.endpoint();
    match address.parse()? {
        Endpoint::Unix(_) => Ok(()),
        Endpoint::Tcp { tls: None, .. } => Ok(engine.prove_local(None)?),
        Endpoint::Tcp { .. } | Endpoint::Ssh(_) => Err(RecoveryError::Refused(format!(
            "{what} reads the files of the engine's own host, and {address} is reached over the network; run lifeboat on that host, with the engine's socket (only `restore`, `points` and `ls` work from afar)"
        ))),
    }
}
