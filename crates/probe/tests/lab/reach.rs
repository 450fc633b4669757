//! Where a container is asked: its own address, its loopback, another's network.

use lifeboat_plan::probe::Outcome;
use serde_json::json;

use crate::{failure, shared, simply, start};

/// busybox' web server, at an address of the container's.
fn web(at: &str) -> serde_json::Value {
    let script =
        format!("mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p {at} -h /www");
    json!(["sh", "-c", script])
}

#[test]
fn from_within_its_network() {
    let (_, engine) = shared();
    let engine = &engine;
    let good = |container, check| {
        let outcome = simply(engine, container, check);
        assert_eq!(outcome, Outcome::Success, "{check}");
    };
    // On its own network, on all addresses.
    let bridge = start(&**engine, "reach-bridge", json!({"Cmd": web("8080")}));
    crate::until_good(engine, &bridge, &[("liveness", "tcp://:8080")]);
    good(&bridge, "http://:8080/");
    assert_eq!(
        failure(simply(engine, &bridge, "tcp://:9")),
        "nobody listens on port 9"
    );

    // Loopback alone.
    let lonely = start(
        &**engine,
        "reach-loopback",
        json!({"Cmd": web("127.0.0.1:8080")}),
    );
    crate::until_good(engine, &lonely, &[("liveness", "tcp://:8080")]);
    good(&lonely, "http://:8080/index.html");

    // No network at all.
    let none = json!({"Cmd": web("8080"), "HostConfig": {"NetworkMode": "none"}});
    let none = start(&**engine, "reach-none", none);
    crate::until_good(engine, &none, &[("liveness", "tcp://:8080")]);
    good(&none, "http://:8080/");

    // Another container's network: what listens on the address of that one.
    let mode = format!("container:{}", bridge.id);
    let address = bridge.raw["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        .as_str()
        .unwrap();
    let shares =
        json!({"Cmd": web(&format!("{address}:8081")), "HostConfig": {"NetworkMode": mode}});
    let shares = start(&**engine, "reach-shares", shares);
    crate::until_good(engine, &shares, &[("liveness", "tcp://:8081")]);
    good(&shares, "http://:8080/");

    // The host's.
    let host = json!({"Cmd": web("18081"), "HostConfig": {"NetworkMode": "host"}});
    let host = start(&**engine, "reach-host", host);
    crate::until_good(engine, &host, &[("liveness", "tcp://:18081")]);

    // An engine whose network is ours: from here, and what listens on loopback alone still from within.
    let (private, _) = shared();
    let outcomes = private.in_network(|| {
        let engine: std::sync::Arc<dyn lifeboat_engine::Engine> =
            std::sync::Arc::new(crate::connect(private));
        assert!(engine.network_is_ours());
        let all = [
            (&bridge, "http://:8080/"),
            (&lonely, "http://:8080/"),
            (&host, "tcp://:18081"),
            (&none, "tcp://:8080"),
        ];
        all.map(|(container, check)| simply(&engine, container, check))
    });
    assert_eq!(outcomes.unwrap(), [const { Outcome::Success }; 4]);
    assert!(!engine.network_is_ours());

    for container in [&shares, &bridge, &lonely, &none, &host] {
        engine.remove_container(&container.id, true, true).unwrap();
    }
    // What does not run is no failure of its own.
    let gone = simply(engine, &none, "tcp://:8080");
    assert!(matches!(gone, Outcome::Unknown(_)), "{gone:?}");
}
