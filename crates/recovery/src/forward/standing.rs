//! The ports of all copies, open as long as the agent runs.
//!
//! It looks each second which copies there are. What is open stands in `copies/NAME.ports` for others to read, and is
//! true as long as somebody holds the lock `copies/ports.lock` ([`addresses`]). A copy keeps its ports over a restart of
//! the agent where they are still free.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use lifeboat_engine::Engine;
use rustix::fs::{FlockOperation, flock};

use super::{Address, Forwarder};
use crate::{Places, Result, copies};

const LOOK: Duration = Duration::from_secs(1);

/// Connects to the engine; asked again for each copy, since engines come and go.
pub type Connect = Arc<dyn Fn() -> lifeboat_engine::Result<Arc<dyn Engine>> + Send + Sync>;

/// Holds the ports of all copies open until it is dropped.
pub struct Standing {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Standing {
    /// Begins.
    pub fn begin(connect: Connect, places: Places) -> Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("copies-ports".to_owned())
            .spawn(move || hold(&connect, &places, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock_path(places: &Places) -> PathBuf {
    places.copies().join("ports.lock")
}

fn ports_path(places: &Places, name: &str) -> PathBuf {
    places.copies().join(format!("{name}.ports"))
}

/// Where the ports of a copy answer that somebody holds open all the time; `None` where nobody does.
pub fn addresses(places: &Places, name: &str) -> Option<Vec<Address>> {
    copies::record(places, name).ok()?;
    let lock = fs_err::File::open(lock_path(places)).ok()?;
    if flock(lock.file(), FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    read(places, name)
}

fn read(places: &Places, name: &str) -> Option<Vec<Address>> {
    let text = fs_err::read(ports_path(places, name)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn hold(connect: &Connect, places: &Places, stopped: &Receiver<()>) {
    let mut lock: Option<File> = None;
    // With the containers that it leads to: a copy may be taken away and made again under its name.
    let mut open: BTreeMap<String, Opened> = BTreeMap::new();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let names: Vec<String> = copies::names(places)
            .into_iter()
            .filter(|name| copies::is_recorded(places, name))
            .collect();
        open.retain(|name, (containers, _)| {
            let same = |record: copies::Record| record.containers == *containers;
            let stays = copies::record(places, name).is_ok_and(same);
            if !stays {
                let _ = fs_err::remove_file(ports_path(places, name));
            }
            stays
        });
        told.retain(|name, _| names.contains(name));
        if names.is_empty() {
            continue;
        }
        if lock.is_none() {
            lock = take(places);
        }
        if lock.is_none() {
            continue;
        }
        for name in names {
            if open.contains_key(&name) {
                continue;
            }
            match forward(connect, places, &name) {
                Ok(Some(opened)) => drop(open.insert(name, opened)),
                Ok(None) => {}
                // Said once, and tried again: its containers may not be there yet.
                Err(error) => {
                    let why = error.to_string();
                    if told.get(&name) != Some(&why) {
                        tracing::warn!("the ports of the copy {name} are not open: {why}");
                        told.insert(name, why);
                    }
                }
            }
        }
    }
}

fn take(places: &Places) -> Option<File> {
    let file = fs_err::File::create(lock_path(places)).ok()?;
    let (file, _) = file.into_parts();
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

type Opened = (BTreeMap<String, String>, Forwarder);

fn forward(connect: &Connect, places: &Places, name: &str) -> Result<Option<Opened>> {
    let record = copies::record(places, name)?;
    if record.network_access || record.ports.is_empty() {
        return Ok(None);
    }
    let engine = connect()?;
    // Those of before, where they can be had.
    let before = read(places, name).unwrap_or_default();
    let mut wanted = record.ports.clone();
    for port in wanted.iter_mut().filter(|port| port.local.is_none()) {
        let same = before
            .iter()
            .find(|a| a.container == port.container && a.port == port.port);
        port.local = same.and_then(|a| a.address.rsplit_once(':')?.1.parse().ok());
    }
    let forwarder = Forwarder::open(&engine, &wanted, &record.containers)
        .or_else(|_| Forwarder::open(&engine, &record.ports, &record.containers))?;
    for warning in &forwarder.warnings {
        tracing::info!("the copy {name}: {warning}");
    }
    let text = serde_json::to_vec(forwarder.addresses()).unwrap_or_default();
    let path = ports_path(places, name);
    let half = path.with_extension("ports-tmp");
    fs_err::write(&half, text)?;
    fs_err::rename(half, path)?;
    Ok(Some((record.containers, forwarder)))
}
