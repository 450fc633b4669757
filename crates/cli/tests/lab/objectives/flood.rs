//! A thousand events a second: an engine that tells far more than anybody wants to hear.
//!
//! A real engine tells a thousand a second at best; a stand-in passes everything on to a real one, and adds the
//! events to the stream that the agent reads.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::json;

use super::{Agent, app, captures, now, until};
use crate::support::Lab;

/// Events a second.
const RATE: u32 = 1_000;
/// So many are told before the flood is called one.
const TOLD: u64 = 14_000;
/// So many go into a stream at once, at most.
const AT_ONCE: u64 = 5_000;
/// In milliseconds: long enough that a machine with other work keeps it.
const RPO: i64 = 20_000;

/// In front of an engine; its event streams flood, each with so many events a second.
pub struct Flood {
    pub socket: PathBuf,
    pour: Arc<Pour>,
}

/// What is poured into each stream, and how fast.
struct Pour {
    rate: AtomicU32,
    sent: AtomicU64,
    /// Events that belong together: what was begun with is ended with.
    together: u64,
    event: Box<dyn Fn(u64) -> String + Send + Sync>,
}

impl Flood {
    pub fn before(
        lab: &Lab,
        engine: &PrivateEngine,
        together: u64,
        event: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Self {
        let socket = lab.path("flood.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let pour = Arc::new(Pour {
            rate: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            together,
            event: Box::new(event),
        });
        let (real, pours) = (engine.socket(), Arc::clone(&pour));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect(&real).unwrap();
                let pours = Arc::clone(&pours);
                std::thread::spawn(move || pass(client, engine, &pours));
            }
        });
        Self { socket, pour }
    }

    /// So many events a second from now on.
    pub fn pours(&self, rate: u32) {
        self.pour.rate.store(rate, Ordering::SeqCst);
    }

    /// So many were sent.
    pub fn sent(&self) -> u64 {
        self.pour.sent.load(Ordering::SeqCst)
    }
}

/// Passes one connection on. A stream of events comes in chunks, a chunk an event; between two of them ours go in.
fn pass(client: UnixStream, engine: UnixStream, pour: &Pour) {
    let events = Arc::new(AtomicBool::new(false));
    let (mut asks, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
    let is_events = Arc::clone(&events);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = asks.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]);
            if text.contains("/events") {
                is_events.store(true, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut out) = (engine, client);
    from.set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    let mut buffer = vec![0; 1 << 16];
    let (mut began, mut last, mut number) = (false, Instant::now(), 0_u64);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                began = true;
                if out.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        let rate = u64::from(pour.rate.load(Ordering::SeqCst));
        let due = u64::try_from(last.elapsed().as_millis()).unwrap() * rate / 1000;
        let due = match rate {
            0 => number.next_multiple_of(pour.together) - number,
            _ => due.min(AT_ONCE),
        };
        last = Instant::now();
        if began && events.load(Ordering::SeqCst) && due > 0 {
            let mut chunks = Vec::new();
            for number in number..number + due {
                let text = (pour.event)(number);
                chunks.extend_from_slice(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
            }
            if out.write_all(&chunks).is_err() {
                break;
            }
            number += due;
            pour.sent.fetch_add(due, Ordering::SeqCst);
        }
    }
    let _ = out.shutdown(std::net::Shutdown::Both);
}

/// A container that nobody knows begins or ends.
fn event(number: u64) -> String {
    let id = format!("{number:064x}");
    let action = if number.is_multiple_of(2) {
        "start"
    } else {
        "die"
    };
    let nanos = now() * 1_000_000;
    let event = json!({
        "Type": "container", "Action": action, "status": action, "id": id,
        "Actor": {"ID": id, "Attributes": {"name": format!("ghost-{number}"), "exitCode": "1"}},
        "scope": "local", "time": nanos / 1_000_000_000, "timeNano": nanos,
    });
    format!("{event}\n")
}

/// Seconds of processor that a process has used, and the memory that it has, in MiB.
pub fn used(pid: u32) -> (f64, f64) {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let statm = fs_err::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: f64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    (ticks / 100.0, pages * 4096.0 / 1_048_576.0)
}

#[test]
fn a_thousand_events_a_second_hold_nothing_up() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    let flood = Flood::before(&lab, &engine, 2, event);
    let host = format!("--engine=unix://{}", flood.socket.display());
    let agent = Agent::start_with(&lab, &engine, &[&host]);
    let labels = json!({"lifeboat.rpo": format!("{RPO}ms")});
    app(&engine, "before", &labels);
    until("a point", &lab, || !captures(&lab, "/before").is_empty());
    flood.pours(RATE);
    let (began, (cpu, _)) = (Instant::now(), used(agent.pid()));
    // A new app is found all the same, and the objective of the one that is there is kept.
    let created = now();
    app(&engine, "during", &labels);
    until("the new one", &lab, || {
        !captures(&lab, "/during").is_empty()
    });
    let found = captures(&lab, "/during")[0].0 - created;
    std::thread::sleep(Duration::from_secs(20).saturating_sub(began.elapsed()));
    // A busy machine gives the agent less time, and what it does not take waits in its stream, which stays full.
    until("it was told thousands", &lab, || flood.sent() >= TOLD);
    let seconds = began.elapsed().as_secs_f64();
    let (after, memory) = used(agent.pid());
    let told = flood.sent();
    println!(
        "{told} events in {seconds:.0} s: {:.0} % of a core, {memory:.0} MiB; a new app was captured after {found} ms",
        100.0 * (after - cpu) / seconds
    );
    assert!(found < RPO, "{found} ms");
    assert!(memory < 200.0, "{memory} MiB");
    flood.pours(0);
    let made = captures(&lab, "/before").len();
    until("it goes on", &lab, || {
        captures(&lab, "/before").len() > made
    });
    let mut oldest = 0;
    for pair in captures(&lab, "/before").windows(2) {
        oldest = oldest.max(pair[1].1 - pair[0].0);
    }
    assert!(oldest <= RPO, "the RPO was missed: {oldest} ms");
    agent.kill();
}
