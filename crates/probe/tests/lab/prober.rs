//! The prober: what it reports, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_plan::probe::{Change, Which};
use lifeboat_probe::{Options, Prober, Report};
use serde_json::json;

use crate::{facts, labels, shared, start};

type Reports = crossbeam_channel::Receiver<Report>;

/// The next one, however slow the machine is.
fn next(reports: &Reports) -> Report {
    reports
        .recv_timeout(Duration::from_secs(120))
        .expect("a report")
}

/// A container is stopped (SIGSTOP) as a program that hangs: noticed within period times failures and two seconds; held
/// while it is paused; begun anew when it is started again.
#[test]
fn what_hangs_is_noticed_and_what_is_held_is_left_alone() {
    let (_, engine) = shared();
    let script = "trap '' TERM; httpd -f -p 8080 & echo $! >/pid; wait; sleep 3600";
    let container = start(&*engine, "prober", json!({"Cmd": ["sh", "-c", script]}));
    let (prober, reports) = Prober::start(Arc::clone(&engine), Options::default()).unwrap();
    let probes = labels(
        &container,
        &[
            ("startup", "exec:test -e /up"),
            ("startup.period", "1s"),
            ("startup.failures", "1000"),
            ("liveness", "http://:8080/"),
            ("liveness.status", "200-499"),
            ("liveness.period", "1s"),
            ("liveness.timeout", "1s"),
            ("liveness.failures", "2"),
            ("readiness", "tcp://:8080"),
            ("readiness.period", "1s"),
            ("readiness.failures", "1"),
        ],
    );
    prober.watch(&container, probes.clone());
    std::thread::sleep(Duration::from_millis(2500));
    // It has not started: nothing else is asked, and nothing is said.
    assert!(reports.try_recv().is_err());
    let state = prober.state(&container.id).unwrap();
    assert!(!state.verdict.started && !state.verdict.ready && state.verdict.alive);
    assert!(state.answers.contains_key(&Which::Startup) && state.answers.len() == 1);

    let exec = |command: &str| {
        shared()
            .0
            .api()
            .exec_ok(&container.id, &["sh", "-c", command])
            .unwrap()
    };
    exec("touch /up");
    assert_eq!(next(&reports).change, Change::Started);
    let ready = next(&reports);
    assert_eq!(
        (ready.change, ready.which),
        (Change::Ready, Which::Readiness)
    );
    assert!(ready.verdict.started && ready.verdict.ready && ready.verdict.alive);

    exec("kill -STOP $(cat /pid)");
    let began = Instant::now();
    let hangs = next(&reports);
    let took = began.elapsed();
    let why = "no answer within 1s".to_owned();
    assert_eq!(hangs.change, Change::Unresponsive { failures: 2, why });
    assert!(!hangs.verdict.alive);
    println!("noticed after {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(
        reports.recv_timeout(Duration::from_secs(3)).is_err(),
        "it is said once"
    );
    exec("kill -CONT $(cat /pid)");
    assert_eq!(next(&reports).change, Change::Responsive);

    // Frozen, for a backup say.
    prober.hold(&container.id);
    engine.pause(&container.id).unwrap();
    assert!(reports.recv_timeout(Duration::from_secs(4)).is_err());
    engine.unpause(&container.id).unwrap();
    prober.resume(&container.id);
    assert!(reports.recv_timeout(Duration::from_secs(2)).is_err());
    assert!(prober.state(&container.id).unwrap().verdict.alive);

    // The same run and the same probes go on as they were; another run begins anew.
    prober.watch(&facts(&*engine, &container.id), probes.clone());
    assert!(reports.recv_timeout(Duration::from_secs(2)).is_err());
    engine.stop(&container.id, Some(Duration::ZERO)).unwrap();
    engine.start(&container.id).unwrap();
    let again = facts(&*engine, &container.id);
    prober.watch(&again, probes);
    // What the old run said at its end may be on its way still, and is told by its start.
    let started = std::iter::repeat_with(|| next(&reports))
        .find(|report| report.run != hangs.run)
        .unwrap();
    assert_eq!(started.change, Change::Started);
    assert_eq!(next(&reports).change, Change::Ready);

    prober.forget(&container.id);
    engine.stop(&container.id, Some(Duration::ZERO)).unwrap();
    assert!(reports.recv_timeout(Duration::from_secs(3)).is_err());
    assert!(prober.states().is_empty());
    engine.remove_container(&container.id, true, true).unwrap();
    let began = Instant::now();
    drop(prober);
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// One that hangs for as long as it may keeps another of the same container waiting in nothing.
#[test]
fn what_hangs_keeps_nobody_waiting() {
    let (_, engine) = shared();
    let none = json!({"HostConfig": {"NetworkMode": "none"}});
    let container = start(&*engine, "prober-many", none);
    crate::hostile::serve(&container, 4001, |stream| {
        std::thread::sleep(Duration::from_secs(8));
        drop(stream);
    });
    crate::hostile::serve(&container, 4002, drop);
    let (prober, reports) = Prober::start(Arc::clone(&engine), Options::default()).unwrap();
    let probes = labels(
        &container,
        &[
            ("liveness", "http://:4001/"),
            ("liveness.period", "1s"),
            ("liveness.timeout", "5s"),
            ("liveness.failures", "1"),
            ("readiness", "tcp://:4002"),
            ("readiness.period", "1s"),
        ],
    );
    let began = Instant::now();
    prober.watch(&container, probes);
    // It would be the other way round if one waited for the other.
    assert_eq!(next(&reports).change, Change::Ready);
    let hangs = next(&reports).change;
    assert!(
        matches!(hangs, Change::Unresponsive { failures: 1, .. }),
        "{hangs:?}"
    );
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5), "{took:?}");
    drop(prober);
    engine.remove_container(&container.id, true, true).unwrap();
}
