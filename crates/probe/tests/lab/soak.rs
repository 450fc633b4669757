//! What a thousand probes cost. `cargo test -p lifeboat-probe --release --test lab -- --ignored --nocapture soak_`

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lifeboat_plan::probe::Change;
use lifeboat_probe::{Options, Prober};
use serde_json::json;

use crate::{labels, shared, start};

const CONTAINERS: usize = 20;
const ASKED: Duration = Duration::from_secs(60);
/// Answers that the servers gave.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// Time that the threads of a name have used, and what the process holds in memory.
fn used(names: &[&str]) -> Duration {
    let mut ticks = 0;
    for entry in fs_err::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = fs_err::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let name = stat.split(['(', ')']).nth(1).unwrap().to_owned();
        if names.iter().any(|wanted| name.starts_with(wanted)) {
            let numbers = stat.rsplit_once(") ").unwrap().1;
            let mut numbers = numbers
                .split(' ')
                .skip(11)
                .map(|n| n.parse::<u64>().unwrap());
            ticks += numbers.next().unwrap() + numbers.next().unwrap();
        }
    }
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

fn resident() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// 1,000 probes each 10 s, half TCP and half HTTP, by one prober: 20 containers, each taken for 25 of them by shorter and
/// shorter ids (all of which its processes are known by). The time is that of the prober's threads; the servers run
/// beside it in this process and are not counted.
#[test]
#[ignore = "a minute: a measurement"]
fn soak_a_thousand_probes() {
    let (_, engine) = shared();
    let mut containers = Vec::new();
    for number in 0..CONTAINERS {
        let none = json!({"HostConfig": {"NetworkMode": "none"}});
        let container = start(&*engine, &format!("soak-{number}"), none);
        crate::hostile::serve(&container, 8080, |mut stream| {
            SERVED.fetch_add(1, Ordering::Relaxed);
            let mut head = [0; 1024];
            if stream.read(&mut head).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        containers.push(container);
    }
    let before = resident();
    let (prober, reports) = Prober::start(Arc::clone(&engine), Options::default()).unwrap();
    for container in &containers {
        let given = [
            ("liveness", "http://:8080/health"),
            ("readiness", "tcp://:8080"),
        ];
        let probes = labels(container, &given);
        for length in 40..65 {
            let mut one = container.clone();
            one.id.truncate(length);
            prober.watch(&one, probes.clone());
        }
    }
    // All have been asked once.
    std::thread::sleep(Duration::from_secs(12));
    let (at, cpu, served) = (
        Instant::now(),
        used(&["probe"]),
        SERVED.load(Ordering::Relaxed),
    );
    std::thread::sleep(ASKED);
    let took = at.elapsed();
    let cpu = used(&["probe"]) - cpu;
    let asked = SERVED.load(Ordering::Relaxed) - served;
    let share = cpu.as_secs_f64() / took.as_secs_f64() * 100.0;
    println!(
        "{asked} answers in {:.1} s; probers: {:.2} % of a core; memory {} KiB, {} KiB before",
        took.as_secs_f64(),
        share,
        resident(),
        before
    );
    assert!((5_400..6_600).contains(&asked), "{asked}");
    let changes: Vec<Change> = reports.try_iter().map(|report| report.change).collect();
    let bad: Vec<_> = changes
        .iter()
        .filter(|change| **change != Change::Ready)
        .collect();
    assert!(
        bad.is_empty() && changes.len() == 500,
        "{} {bad:?}",
        changes.len()
    );
    drop(prober);
    for container in &containers {
        engine.remove_container(&container.id, true, true).unwrap();
    }
}
