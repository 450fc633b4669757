//! What labels, settings and HEALTHCHECK make.

mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::inventory::Container;

fn container(labels: &[(&str, &str)]) -> Container {
    Container {
        name: "shop-db-1".to_owned(),
        labels: labels
            .iter()
            .map(|(k, v)| (format!("lifeboat.{k}"), (*v).to_owned()))
            .collect(),
        ..Container::default()
    }
}

fn of(labels: &[(&str, &str)]) -> Probes {
    read(&container(labels), &Settings::default())
}

fn checked(labels: &[(&str, &str)], test: serde_json::Value) -> Probes {
    let mut container = container(labels);
    container.raw = json!({"Config": {"Healthcheck": {"Test": test}}});
    read(&container, &Settings::default())
}

fn settings(table: serde_json::Value) -> Settings {
    serde_json::from_value(table).unwrap()
}

#[test]
fn the_defaults_are_kubernetes() {
    let probes = of(&[("liveness", "http://:8080/health")]);
    assert!(probes.findings.is_empty() && probes.startup.is_none() && probes.readiness.is_none());
    let rows: Vec<String> = probes
        .rows()
        .into_iter()
        .map(|(k, v, o)| format!("{k}={v} ({o})"))
        .collect();
    assert_eq!(
        rows,
        [
            "liveness=http://:8080/health (label lifeboat.liveness)",
            "liveness.period=10s (default)",
            "liveness.timeout=1s (default)",
            "liveness.failures=3 (default)",
            "liveness.successes=1 (default)",
            "liveness.delay=0s (default)",
        ]
    );
}

#[test]
fn every_kind_is_read_and_shown_as_it_was_written() {
    for text in [
        "http://:8080/path?a=b",
        "https://:8443/",
        "tcp://:5432",
        "grpc://:50051/shop.Orders",
        "grpcs://:50051/",
        "amqp://probe@:5672/shop%2Feu",
        "exec:pg_isready -U postgres",
        r#"exec:["sh","-c","a && b"]"#,
        "sql:postgres://app@:5432/shop",
        "sql:mysql://root@:3306/",
        "redis://:6379",
        "redis://me@:6380",
    ] {
        let probes = of(&[("readiness", text)]);
        assert_eq!(probes.findings, [], "{text}");
        assert_eq!(probes.readiness.unwrap().check.value.to_string(), text);
    }
    let words = of(&[("liveness", r#"exec:sh -c 'echo "a b" | wc' c\ d"#)])
        .liveness
        .unwrap();
    let command = ["sh", "-c", "echo \"a b\" | wc", "c d"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(words.check.value, Check::Exec { command });
    assert!(of(&[("liveness", "none")]).is_empty());
    assert_eq!(
        of(&[("liveness", "amqp://:5672")])
            .liveness
            .unwrap()
            .check
            .value
            .to_string(),
        "amqp://:5672/%2F"
    );
}

#[test]
fn details_belong_to_their_kind() {
    let probes = of(&[
        ("liveness", "http://:80"),
        ("liveness.status", "2xx,301-302,404"),
        ("liveness.header.X-A", "b"),
        ("liveness.header.Authorization", "env:TOKEN"),
        ("liveness.body", "^ok"),
        ("liveness.json", "a.b[1]=c"),
        ("liveness.host", "shop.example"),
    ]);
    assert_eq!(probes.findings, []);
    let Check::Http(http) = probes.liveness.unwrap().check.value else {
        panic!("no http");
    };
    assert!(
        http.accepts(204)
            && http.accepts(302)
            && http.accepts(404)
            && !http.accepts(303)
            && !http.accepts(500)
    );
    assert!(!http.follows(302) && http.follows(307));
    assert_eq!(http.headers.len(), 2);
    let test = http.json.unwrap();
    test.check(&json!({"a": {"b": [0, "c"]}})).unwrap();
    test.check(&json!({"a": {"b": ["c"]}})).unwrap_err();
    test.check(&json!(7)).unwrap_err();
}

/// Labels, and what is said about them. In each case there is no liveness probe.
#[test]
fn what_is_not_understood_is_off_and_said() {
    for (labels, at, said) in [
        (
            &[("livenes", "tcp://:1")][..],
            "lifeboat.livenes",
            "did you mean `liveness`?",
        ),
        (
            &[("liveness", "tcp://:1"), ("liveness.perod", "5s")],
            "lifeboat.liveness.perod",
            "did you mean `period`?",
        ),
        (
            &[("liveness", "tcp://:1"), ("livenss.period", "5s")],
            "lifeboat.livenss.period",
            "did you mean `liveness`?",
        ),
        (
            &[("liveness", "htp://:1")],
            "lifeboat.liveness",
            "did you mean `http`",
        ),
        (
            &[("liveness", "tcp://db:5432")],
            "lifeboat.liveness",
            "no host is named",
        ),
        (
            &[("liveness", "http://example.com/")],
            "lifeboat.liveness",
            "no host is named",
        ),
        (
            &[("liveness", "tcp://:70000")],
            "lifeboat.liveness",
            "65535",
        ),
        (
            &[("liveness", "tcp://")],
            "lifeboat.liveness",
            "a port is missing",
        ),
        (
            &[("liveness", "exec:a && b")],
            "lifeboat.liveness",
            "write exec:sh -c",
        ),
        (
            &[("liveness", "exec:'a")],
            "lifeboat.liveness",
            "not closed",
        ),
        (
            &[("liveness", "docker")],
            "lifeboat.liveness",
            "no HEALTHCHECK",
        ),
        (
            &[("liveness", "tcp://:1"), ("liveness.period", "soon")],
            "lifeboat.liveness.period",
            "10s, 500ms",
        ),
        (
            &[("liveness", "tcp://:1"), ("liveness.period", "0s")],
            "lifeboat.liveness.period",
            "between 1s and 1d",
        ),
        (
            &[("liveness", "tcp://:1"), ("liveness.failures", "0")],
            "lifeboat.liveness.failures",
            "from 1 to 1000",
        ),
        (
            &[("liveness", "tcp://:1"), ("liveness.successes", "2")],
            "lifeboat.liveness.successes",
            "as in Kubernetes",
        ),
        (
            &[("liveness", "tcp://:1"), ("liveness.status", "200")],
            "lifeboat.liveness.status",
            "nothing to a tcp probe",
        ),
        (
            &[("liveness", "http://:1"), ("liveness.query", "x")],
            "lifeboat.liveness.query",
            "which knows status",
        ),
        (
            &[("liveness", "http://:1"), ("liveness.body", "(")],
            "lifeboat.liveness.body",
            "not understood",
        ),
        (
            &[("liveness.period", "5s")],
            "lifeboat.liveness.period",
            "nothing says what is asked",
        ),
    ] {
        let probes = of(labels);
        assert!(probes.liveness.is_none(), "{labels:?}");
        let finding = probes.findings.first().unwrap();
        assert_eq!(finding.at, at, "{labels:?}");
        assert!(finding.what.contains(said), "{labels:?}: {finding}");
    }
    // Other labels of ours, and a probe beside one that is misspelt, are left alone.
    let others = [
        ("start", "managed"),
        ("keep", "true"),
        ("on-unhealthy", "stop"),
        ("app", "shop"),
        ("retain", "7d"),
    ];
    assert_eq!(of(&others).findings, []);
    let beside = of(&[("livenes", "tcp://:1"), ("readiness", "tcp://:2")]);
    assert!(beside.readiness.is_some() && beside.findings.len() == 1);
}

#[test]
fn secrets_are_named_never_written_and_never_repeated() {
    for labels in [
        &[("liveness", "amqp://me:hunter2@:5672/")][..],
        &[
            ("liveness", "redis://:6379"),
            ("liveness.password", "hunter2"),
        ],
        &[("liveness", "redis:hunter2")],
        &[
            ("liveness", "http://:80"),
            ("liveness.header.Authorization", "Bearer hunter2"),
        ],
        &[
            ("liveness", "http://:80"),
            ("liveness.header.X-API-Key", "hunter2"),
        ],
        &[
            ("liveness", "redis://:6379"),
            ("liveness.password", "host-file:/hunter2"),
        ],
    ] {
        let probes = of(labels);
        assert!(
            probes.liveness.is_none() && !probes.findings.is_empty(),
            "{labels:?}"
        );
        assert!(
            !format!("{:?}", probes.findings).contains("hunter2"),
            "{:?}",
            probes.findings
        );
    }
    // The settings are the administrator's own, and may name a file of the host.
    let table = json!({"shop-*": {"liveness": {"check": "redis://:6379", "password": "host-file:/etc/key"}}});
    let probes = read(&container(&[]), &settings(table));
    assert_eq!(probes.findings, []);
    assert!(probes.liveness.is_some());
}

#[test]
fn health_checks_are_the_default_where_there_is_one() {
    let probes = checked(&[], json!(["CMD", "true"]));
    let liveness = probes.liveness.unwrap();
    assert_eq!(
        (liveness.check.value, liveness.check.origin),
        (Check::Docker, Origin::HealthCheck)
    );
    assert_eq!(liveness.timing.failures.value, 1);
    assert!(probes.readiness.is_some() && probes.startup.is_none());
    for none in [json!(["NONE"]), json!([]), json!(null)] {
        assert!(checked(&[], none).is_empty());
    }
    let own = checked(
        &[("liveness", "tcp://:1"), ("readiness", "none")],
        json!(["CMD", "true"]),
    );
    assert_eq!(own.liveness.unwrap().check.value, Check::Tcp { port: 1 });
    assert!(own.readiness.is_none());
    // What is misspelt does not fall back on it.
    assert!(
        checked(&[("liveness", "tpc://:1")], json!(["CMD", "true"]))
            .liveness
            .is_none()
    );
    let slower = checked(&[("liveness.failures", "4")], json!(["CMD", "true"]));
    assert_eq!(slower.liveness.unwrap().timing.failures.value, 4);
}

#[test]
fn labels_go_before_settings_and_names_before_patterns() {
    let table = json!({
        "shop-db-1": {"liveness": {"check": "tcp://:1", "failures": 5}},
        "shop-*": {"liveness": {"check": "http://:2", "period": "7s", "failures": 9}, "readiness": "tcp://:3"},
        "other": {"startup": "tcp://:4"},
    });
    let settings = settings(table);
    let probes = read(&container(&[]), &settings);
    let liveness = probes.liveness.unwrap();
    assert_eq!(liveness.check.value, Check::Tcp { port: 1 });
    assert_eq!(
        (
            liveness.timing.failures.value,
            liveness.timing.period.value.as_secs()
        ),
        (5, 7)
    );
    let at = Origin::Settings("probes.\"shop-*\".liveness.period".to_owned());
    assert_eq!(liveness.timing.period.origin, at);
    assert!(probes.startup.is_none() && probes.readiness.is_some());

    let probes = read(
        &container(&[("liveness", "tcp://:9"), ("liveness.period", "3s")]),
        &settings,
    );
    let liveness = probes.liveness.unwrap();
    assert_eq!(liveness.check.value, Check::Tcp { port: 9 });
    assert_eq!(
        (
            liveness.timing.failures.value,
            liveness.timing.period.value.as_secs()
        ),
        (5, 3)
    );
    // By project and service.
    let mut named = container(&[]);
    named.name = "anything".to_owned();
    named.labels = BTreeMap::from([
        (crate::label::PROJECT.to_owned(), "shop".to_owned()),
        (crate::label::SERVICE.to_owned(), "db".to_owned()),
    ]);
    let by_service: Settings =
        serde_json::from_value(json!({"shop/db": {"liveness": "tcp://:5"}})).unwrap();
    assert!(read(&named, &by_service).liveness.is_some());
    let typo: Settings =
        serde_json::from_value(json!({"shop/db": {"livenes": "tcp://:5"}})).unwrap();
    assert_eq!(read(&named, &typo).findings.len(), 1);
}

#[test]
fn a_database_that_recovers_is_left_to_it() {
    let probes = of(&[("liveness", "tcp://:1"), ("readiness", "tcp://:1")]);
    let second = Duration::from_secs;
    let mut health = Health::new(&probes, second(0));
    let mut said = Vec::new();
    let mut take = |health: &mut Health, which, outcome: Outcome, now| {
        let (next, changes) = health.clone().step(&probes, which, outcome, second(now));
        *health = next;
        said.extend(changes);
    };
    let bad = || Outcome::Failure("refused".to_owned());
    let recovering = || Outcome::Recovering("starting up".to_owned());
    take(&mut health, Which::Readiness, Outcome::Success, 1);
    for (now, outcome) in [
        bad(),
        bad(),
        recovering(),
        Outcome::Unknown(String::new()),
        recovering(),
        bad(),
        bad(),
    ]
    .into_iter()
    .enumerate()
    {
        take(&mut health, Which::Liveness, outcome, now as u64);
    }
    assert!(health.verdict().alive);
    for now in 10..13 {
        take(&mut health, Which::Readiness, recovering(), now);
    }
    assert!(!health.verdict().ready && health.since(Which::Readiness) == second(12));
    take(&mut health, Which::Liveness, bad(), 20);
    assert!(!health.verdict().alive);
    let why = || "starting up".to_owned();
    assert_eq!(
        said,
        [
            Change::Ready,
            Change::Recovering { why: why() },
            Change::Recovering { why: why() },
            Change::NotReady {
                failures: 3,
                why: why()
            },
            Change::Unresponsive {
                failures: 3,
                why: "refused".to_owned()
            },
        ]
    );
}
