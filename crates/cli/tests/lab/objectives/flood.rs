//! A thousand events a second: an engine that tells far more than anybody wants to hear.
//!
//! Nothing here can make a real engine do so; a stand-in passes everything on to a real one, and adds the events to the
//! stream that the agent reads.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::json;

use super::{Agent, app, captures, now, until};
use crate::support::Lab;

/// Events a second.
const RATE: u32 = 1_000;

/// In front of an engine; its event stream floods while `on`.
struct Flood {
    socket: PathBuf,
    on: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    fn before(lab: &Lab, engine: &PrivateEngine) -> Self {
        let socket = lab.path("flood.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (on, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let real = engine.socket();
        let (flooding, count) = (Arc::clone(&on), Arc::clone(&sent));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect(&real).unwrap();
                let (flooding, count) = (Arc::clone(&flooding), Arc::clone(&count));
                std::thread::spawn(move || pass(client, engine, &flooding, &count));
            }
        });
        Self { socket, on, sent }
    }
}

/// Passes one connection on. A stream of events comes in chunks, a chunk an event; between two of them ours go in.
fn pass(client: UnixStream, engine: UnixStream, on: &Arc<AtomicBool>, sent: &Arc<AtomicU64>) {
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
    let (mut began, mut last) = (false, Instant::now());
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
        let due = last.elapsed().as_millis() * u128::from(RATE) / 1000;
        last = Instant::now();
        if began && events.load(Ordering::SeqCst) && on.load(Ordering::SeqCst) {
            let mut chunks = Vec::new();
            for number in 0..due.min(u128::from(RATE)) {
                let text = event(number);
                chunks.extend_from_slice(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
                sent.fetch_add(1, Ordering::SeqCst);
            }
            if out.write_all(&chunks).is_err() {
                break;
            }
        }
    }
    let _ = out.shutdown(std::net::Shutdown::Both);
}

/// A container that nobody knows begins or ends.
fn event(number: u128) -> String {
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
    let flood = Flood::before(&lab, &engine);
    let host = format!("--engine=unix://{}", flood.socket.display());
    let agent = Agent::start_with(&lab, &engine, &[&host]);
    app(&engine, "before", &json!({"lifeboat.rpo": "10s"}));
    until(60, "a point", &lab, || {
        !captures(&lab, "/before").is_empty()
    });
    flood.on.store(true, Ordering::SeqCst);
    let (began, (cpu, _)) = (Instant::now(), used(agent.pid()));
    // A new app is found all the same, and the objective of the one that is there is kept.
    let created = now();
    app(&engine, "during", &json!({"lifeboat.rpo": "10s"}));
    until(40, "the new one", &lab, || {
        !captures(&lab, "/during").is_empty()
    });
    let found = captures(&lab, "/during")[0].0 - created;
    while began.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = began.elapsed().as_secs_f64();
    let (after, memory) = used(agent.pid());
    let told = flood.sent.load(Ordering::SeqCst);
    println!(
        "{told} events in {seconds:.0} s: {:.0} % of a core, {memory:.0} MiB; a new app was captured after {found} ms",
        100.0 * (after - cpu) / seconds
    );
    // One stream at least, each with a thousand a second.
    assert!(told as f64 > 0.7 * seconds * f64::from(RATE), "{told}");
    assert!(found < 12_000, "{found} ms");
    assert!(memory < 200.0, "{memory} MiB");
    flood.on.store(false, Ordering::SeqCst);
    let made = captures(&lab, "/before").len();
    until(30, "it goes on", &lab, || {
        captures(&lab, "/before").len() > made
    });
    let mut oldest = 0;
    for pair in captures(&lab, "/before").windows(2) {
        oldest = oldest.max(pair[1].1 - pair[0].0);
    }
    assert!(oldest <= 10_000, "the RPO was missed: {oldest} ms");
    agent.kill();
}
