//! Ports of the host that somebody has, and addresses that the host has not.

use std::net::IpAddr;

use lifeboat_engine::HostNetwork;
use lifeboat_plan::{inventory::ContainerState, manifest::RunState};

use super::Ground;
use crate::restore::{
    journal::Intent,
    maps::{Published, published},
};

pub(super) fn ports(on: &Ground<'_>, found: &mut Vec<String>) {
    let stopped = |name: &str| {
        let mut all = on.manifest.containers.iter();
        all.any(|c| c.name == name && c.state == RunState::Stopped)
    };
    let wanted = published(&on.definitions.containers);
    let taken = taken(on);
    let starting = on.ours.contains(&Intent::Starting);
    // What is told of one binding of a port needs no telling of another one.
    let mut told = Vec::new();
    for port in wanted.iter().filter(|port| !stopped(&port.container)) {
        if told.contains(&(port.protocol(), port.number)) {
            continue;
        }
        let was = on.definitions.renamed.ports.get(&port.number);
        let was = was.unwrap_or(&port.number);
        let what = format!("port {} of {}", shown(port), port.container);
        let way_out =
            format!("stop that first, or publish the app's on another one (--map-port {was}:NEW)");
        let holder = taken.iter().find(|other| port.meets(other));
        if let Some(other) = holder {
            found.push(format!(
                "{what} is published by the container {} already; {way_out}",
                other.container
            ));
            told.push((port.protocol(), port.number));
            continue;
        }
        let Some(network) = on.network.filter(|_| !starting) else {
            continue;
        };
        if let Some(who) = listener(network, port) {
            found.push(format!("{what} is taken by {who}; {way_out}"));
            told.push((port.protocol(), port.number));
        } else if !is_here(network, &port.address) {
            found.push(format!(
                "{what} is published on {}, which is no address of this host; publish it on another one (--map-port {was}:ADDRESS:{})",
                port.address, port.number
            ));
        }
    }
}

fn shown(port: &Published) -> String {
    match port.protocol() {
        "tcp" => port.number.to_string(),
        other => format!("{}/{other}", port.number),
    }
}

/// What running containers publish, those of the interrupted run left out.
fn taken(on: &Ground<'_>) -> Vec<Published> {
    let runs = [
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Restarting,
    ];
    let others = on.here.containers.iter().filter(|c| {
        runs.contains(&c.state) && !on.ours.contains(&Intent::Container(c.name.clone()))
    });
    let mut all = std::collections::BTreeMap::new();
    for container in others {
        // Ports that the engine chose stand there as well.
        let actual = container.raw["NetworkSettings"]["Ports"].clone();
        let bindings = serde_json::json!({"HostConfig": {"PortBindings": actual}});
        all.insert(container.name.clone(), bindings);
    }
    published(&all)
}

/// Who listens on a port.
fn listener(network: &HostNetwork, port: &Published) -> Option<String> {
    let every = |address: IpAddr| address.is_unspecified();
    let wanted: Option<IpAddr> = port.address.parse().ok();
    let meets = |address: IpAddr| {
        every(address) || wanted.is_none_or(|wanted| every(wanted) || wanted == address)
    };
    let found = network
        .listening
        .iter()
        .find(|l| l.protocol == port.protocol() && l.port == port.number && meets(l.address))?;
    Some(match found.process() {
        Some((name, pid)) => format!("the process {name} ({pid})"),
        None => format!("something that listens on {}", found.address),
    })
}

fn is_here(network: &HostNetwork, address: &str) -> bool {
    match address.parse::<IpAddr>() {
        Ok(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || network.addresses.contains(&address)
        }
        Err(_) => true,
    }
}
