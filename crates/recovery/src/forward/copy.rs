//! The ports of a copy that is there already.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_engine::Engine;

use super::{Address, Forwarder};
use crate::{Places, Result, copies};

/// How a copy's ports are reached.
pub enum Opened {
    /// The engine publishes them: the copy has access to the network.
    Published(Vec<Address>),
    /// We forward them, as long as this is held.
    Forwarded(Forwarder),
}

/// Opens the ports of the copy `name`, as its record has them.
pub fn of_copy(engine: &Arc<dyn Engine>, places: &Places, name: &str) -> Result<Opened> {
    let record = copies::record(places, name)?;
    if record.network_access {
        return Ok(Opened::Published(published(
            engine.as_ref(),
            &record.containers,
        )?));
    }
    let forwarder = Forwarder::open(engine, &record.ports, &record.containers)?;
    Ok(Opened::Forwarded(forwarder))
}

/// Where the ports that the engine publishes answer.
pub(crate) fn published(
    engine: &dyn Engine,
    containers: &BTreeMap<String, String>,
) -> Result<Vec<Address>> {
    let mut found = Vec::new();
    for (name, id) in containers {
        let raw = engine.inspect_container(id)?;
        let ports = raw["NetworkSettings"]["Ports"].as_object();
        for (port, bindings) in ports.into_iter().flatten() {
            for binding in bindings.as_array().into_iter().flatten() {
                let text = |key: &str| binding[key].as_str().unwrap_or_default();
                found.push(Address {
                    container: name.clone(),
                    port: port.clone(),
                    address: format!("{}:{}", text("HostIp"), text("HostPort")),
                });
            }
        }
    }
    Ok(found)
}
