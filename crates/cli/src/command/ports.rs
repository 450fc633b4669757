//! `ports`, and `restore --as NAME --ports`: a copy's ports on 127.0.0.1, as long as somebody waits.

use std::{sync::Arc, time::Duration};

use lifeboat_capture::Cancel;
use lifeboat_engine::Engine;
use lifeboat_recovery::{
    copies,
    forward::{self, Address, Forwarder, Opened, standing},
};
use serde::Serialize;

use crate::{
    args::PortsArgs,
    exit::{Exit, Failure, Result},
    session::Session,
    signals,
    table::{Align, Table},
};

/// How often it is looked whether the copy is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    addresses: &'a [Address],
}

/// Shows the addresses; where they are ours, stays until a signal comes. Needs no vault.
pub fn run(session: &Session, args: &PortsArgs) -> Result<Exit> {
    if let Some(addresses) = standing::addresses(&session.places, &args.name) {
        show(session, &args.name, &addresses)?;
        session.reporter.note(
            "the agent keeps them open as long as it runs",
            session.global.quiet,
        );
        return Ok(Exit::Done);
    }
    let engine = session.connect()?;
    let cancel = Cancel::new();
    let on_signal = cancel.clone();
    signals::on_first(move || on_signal.cancel())?;
    match forward::of_copy(&engine, &session.places, &args.name)? {
        Opened::Published(addresses) => {
            show(session, &args.name, &addresses)?;
            session.reporter.note(
                "the engine publishes them: the copy has access to the network",
                session.global.quiet,
            );
            Ok(Exit::Done)
        }
        Opened::Forwarded(forwarder) => {
            warn(session, &forwarder);
            if forwarder.addresses().is_empty() {
                return Err(Failure::new(format!(
                    "{} has no port to open: what it is a copy of publishes none",
                    args.name
                )));
            }
            show(session, &args.name, forwarder.addresses())?;
            stay(session, &args.name, forwarder, &cancel);
            Ok(Exit::Done)
        }
    }
}

/// Opens the ports of a copy that was just made; `None` where there is nothing to open.
pub fn open(session: &Session, engine: &Arc<dyn Engine>, name: &str) -> Result<Option<Forwarder>> {
    match forward::of_copy(engine, &session.places, name)? {
        Opened::Forwarded(forwarder) => {
            warn(session, &forwarder);
            Ok((!forwarder.addresses().is_empty()).then_some(forwarder))
        }
        Opened::Published(_) => Ok(None),
    }
}

/// What the agent opens of a copy that was just made, if one runs; it looks each second.
pub fn by_the_agent(session: &Session, name: &str) -> Vec<Address> {
    for _ in 0..40 {
        if let Some(addresses) = standing::addresses(&session.places, name) {
            return addresses;
        }
        if !agent_runs(session) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Vec::new()
}

/// Whether an agent that looks after this state folder answers.
fn agent_runs(session: &Session) -> bool {
    let socket = super::agent::socket(session);
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Forwards until a signal comes or the copy is taken away. To be ended is how it ends well.
pub fn stay(session: &Session, name: &str, forwarder: Forwarder, cancel: &Cancel) {
    session.reporter.note(
        &format!("the ports of {name} are open until Ctrl-C; the copy stays"),
        session.global.quiet,
    );
    while !cancel.is_cancelled() {
        if !copies::is_recorded(&session.places, name) {
            session
                .reporter
                .note(&format!("{name} was taken away"), session.global.quiet);
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    forwarder.close();
}

fn warn(session: &Session, forwarder: &Forwarder) {
    for sentence in &forwarder.warnings {
        session.reporter.warn_once(sentence);
    }
}

fn show(session: &Session, name: &str, addresses: &[Address]) -> Result<()> {
    if session.out.is_json() {
        return session.out.json(&Shown { name, addresses });
    }
    session.out.text(&render(addresses, session.out.width()))
}

fn render(addresses: &[Address], width: Option<u16>) -> String {
    let columns = [
        ("CONTAINER", Align::Left),
        ("PORT", Align::Left),
        ("ANSWERS AT", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for address in addresses {
        table.row([
            address.container.clone(),
            address.port.clone(),
            address.address.clone(),
        ]);
    }
    table.render()
}
