//! What is asked through the engine: commands in the container, and its HEALTHCHECK.

use std::time::{Duration, Instant};

use lifeboat_plan::probe::Outcome;
use serde_json::json;

use crate::{ask, facts, failure, shared, simply, start};

const SECOND: u64 = 1_000_000_000;

#[test]
fn commands() {
    let (_, engine) = shared();
    let container = start(&*engine, "exec", json!({}));
    let says = |command: &str| simply(&engine, &container, command);
    assert_eq!(says("exec:true"), Outcome::Success);
    assert_eq!(says("exec:sh -c 'test \"$PATH\"'"), Outcome::Success);
    assert_eq!(
        failure(says("exec:sh -c 'echo out; echo no room >&2; exit 7'")),
        "the command ends with 7: no room"
    );
    let missing = failure(says("exec:no-such-program"));
    assert!(
        missing.contains("no-such-program") || missing.contains("127"),
        "{missing}"
    );

    // Floods are read and dropped; what takes too long is killed, its children too.
    let flood = [("liveness", "exec:yes"), ("liveness.timeout", "1s")];
    let began = Instant::now();
    let late = "the command takes longer than 1s";
    assert_eq!(failure(ask(&engine, &container, &flood)), late);
    let hangs = "exec:sh -c 'sleep 1234 & sleep 1235; true'";
    let hangs = [("liveness", hangs), ("liveness.timeout", "1s")];
    assert_eq!(failure(ask(&engine, &container, &hangs)), late);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    let left = crate::shared()
        .0
        .api()
        .exec_ok(&container.id, &["ps"])
        .unwrap();
    assert!(
        !left.contains("sleep 123") && !left.contains("yes"),
        "{left}"
    );
    assert!(left.contains("sleep 3600"), "{left}");

    engine.pause(&container.id).unwrap();
    let paused = says("exec:true");
    assert!(matches!(paused, Outcome::Unknown(_)), "{paused:?}");
    engine.unpause(&container.id).unwrap();
    engine.remove_container(&container.id, true, true).unwrap();
}

#[test]
fn the_containers_own_health_check() {
    let (_, engine) = shared();
    let check = json!({
        "Test": ["CMD-SHELL", "echo looking; test -e /good || { echo broken pipe; exit 1; }"],
        "Interval": SECOND, "Timeout": 5 * SECOND, "Retries": 1,
    });
    let container = start(&*engine, "docker", json!({"Healthcheck": check}));
    // Nobody said anything: the engine's word is taken.
    let probes = crate::labels(&container, &[]);
    assert_eq!(
        probes.liveness.as_ref().unwrap().check.origin.to_string(),
        "HEALTHCHECK of the container"
    );
    let look = || {
        let probe = probes.readiness.as_ref().unwrap();
        lifeboat_probe::ask_once(engine.clone(), &container, probe).unwrap()
    };
    let wait = |wanted: &dyn Fn(&Outcome) -> bool| {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let outcome = look();
            if wanted(&outcome) {
                return outcome;
            }
            assert!(Instant::now() < end, "{outcome:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert_eq!(
        look(),
        Outcome::Unknown("its HEALTHCHECK is starting".to_owned())
    );
    let bad = wait(&|o| matches!(o, Outcome::Failure(_)));
    assert_eq!(failure(bad), "its HEALTHCHECK says unhealthy: broken pipe");
    shared()
        .0
        .api()
        .exec_ok(&container.id, &["touch", "/good"])
        .unwrap();
    wait(&|o| *o == Outcome::Success);
    let id = container.id.clone();
    assert_eq!(
        facts(&*engine, &id).raw["State"]["Health"]["Status"],
        "healthy"
    );
    engine.remove_container(&id, true, true).unwrap();
}
