//! `restore --as`: a copy beside the app that runs, of which nothing changes; and `rm`.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_testkit::{
    engine::PrivateEngine,
    sample_app::{Acked, CONTAINERS, SampleApp, WEB_PORT, diff},
};
use serde_json::{Value, json};

use crate::{
    support::{Lab, began},
    tiny,
};

/// Asks the original's web front all the time.
pub struct Client {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    errors: Arc<AtomicU64>,
}

impl Client {
    pub fn ask_while<T>(engine: &PrivateEngine, work: impl FnOnce() -> T) -> (T, u64, u64) {
        let client = Self {
            stop: Arc::default(),
            answers: Arc::default(),
            errors: Arc::default(),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !client.stop.load(Ordering::SeqCst) {
                    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
                    let good = engine
                        .http_get(local, WEB_PORT, "/index.html")
                        .is_ok_and(|(status, body)| status == 200 && body.contains("shop"));
                    let counter = if good {
                        &client.answers
                    } else {
                        &client.errors
                    };
                    counter.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let done = work();
            client.stop.store(true, Ordering::SeqCst);
            let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
            (done, count(&client.answers), count(&client.errors))
        })
    }
}

/// What inspect says of the original's containers, with ids, process ids, addresses and counters.
fn inspects(engine: &PrivateEngine) -> Value {
    let mut all = json!({});
    for name in CONTAINERS {
        let mut raw = tiny::inspect(engine, name);
        // Probes go on (and a freeze of the backup may have met one).
        raw["State"]["Health"] = Value::Null;
        raw["ExecIDs"] = Value::Null;
        all[*name] = raw;
    }
    all
}

#[test]
fn a_copy_runs_beside_the_app_and_nothing_of_the_app_changes() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "--all"], 0);
    let point = report["protected"][0].clone();
    let promised = Acked::before(&app.acked().unwrap(), began(&point));
    assert!(!promised.is_empty());
    let names = tiny::names(&engine);
    let (before, raw) = (app.fingerprint(&engine).unwrap(), inspects(&engine));

    let dry = lab.json(
        Some(&engine),
        &["restore", "shop", "--as", "shop-try", "-n"],
        0,
    );
    let renamed = dry["renamed"].as_array().unwrap();
    for (kind, old, new) in [
        ("container", "shop-db-1", "shop-try-db-1"),
        ("volume", "shop_pgdata", "shop-try_pgdata"),
        ("network", "shop_backend", "shop-try_backend"),
    ] {
        let wanted = json!({"kind": kind, "old": old, "new": new});
        assert!(renamed.contains(&wanted), "{wanted} in {renamed:#?}");
    }
    assert_eq!(tiny::names(&engine), names, "a dry run changes nothing");

    let (copy, answers, errors) = Client::ask_while(&engine, || {
        lab.json(Some(&engine), &["restore", "shop", "--as", "shop-try"], 0)
    });
    assert!(answers > 20, "{answers}");
    assert_eq!(errors, 0, "of {answers} answers of the original");
    assert_eq!(copy["running"].as_array().unwrap().len(), 4, "{copy:#}");
    assert_eq!(copy["stopped"], json!(["shop-try-migrate-1"]));
    let differences = diff(&before, &app.fingerprint(&engine).unwrap());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let differences = diff(&raw, &inspects(&engine));
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    answers_inside(&engine, promised.len());
    is_shut_in(&engine);
    is_marked(&lab, &engine);

    // A second one of the same name, and the app's own name.
    let used = tiny::refused(
        &lab,
        Some(&engine),
        "restore shop --as shop-try",
        1,
        &["lifeboat rm shop-try"],
    );
    assert!(used.contains("nothing was changed"), "{used}");
    tiny::refused(
        &lab,
        Some(&engine),
        "restore shop --as shop",
        1,
        &["is the app itself"],
    );

    // Nobody to be asked; then away with it.
    tiny::refused(&lab, Some(&engine), "rm shop-try", 2, &["--yes"]);
    tiny::refused(
        &lab,
        Some(&engine),
        "rm shop --yes",
        1,
        &["no copy", "shop-try"],
    );
    let (gone, answers, errors) = Client::ask_while(&engine, || {
        lab.json(Some(&engine), &["rm", "shop-try", "--yes"], 0)
    });
    assert_eq!(
        (gone["stays"].as_array().unwrap().len(), errors),
        (0, 0),
        "{answers}"
    );
    assert_eq!(tiny::names(&engine), names);
    assert_eq!(left_of_copies(&lab), Vec::<String>::new());
    let differences = diff(&before, &app.fingerprint(&engine).unwrap());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let differences = diff(&raw, &inspects(&engine));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    engine.destroy().unwrap();
}

/// The copy's web front serves, its database has what the point promised and takes more.
fn answers_inside(engine: &PrivateEngine, promised: usize) {
    let api = engine.api();
    let page = ["wget", "-qO-", "http://127.0.0.1:8080/index.html"];
    assert!(
        api.exec_ok("shop-try-web-1", &page)
            .unwrap()
            .contains("shop")
    );
    let count = || -> usize {
        let psql = [
            "psql",
            "-h",
            "/tmp",
            "-XqAt",
            "-c",
            "select count(*) from ledger",
        ];
        let rows = api.exec_ok("shop-try-db-1", &psql).unwrap();
        rows.trim().parse().unwrap()
    };
    let rows = count();
    assert!(rows >= promised, "{rows} of {promised}");
    // Its worker finds its own database by its alias.
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while count() <= rows {
        assert!(
            std::time::Instant::now() < end,
            "the copy's worker writes nothing"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Nothing of the host is reached, nothing of the original, no name from outside. (Docker 20.10 sets a
/// default route even in internal networks; here nothing answers at its end.)
fn is_shut_in(engine: &PrivateEngine) {
    let api = engine.api();
    let web = "shop-try-web-1";
    // The host's end of a bridge has a link-local address; the copy has none to reach it from.
    let v6 = api.exec(web, &["cat", "/proc/net/if_inet6"]).unwrap();
    assert!(!v6.stdout.contains("eth"), "{v6:?}");
    let port = WEB_PORT.to_string();
    // (`wget -T` of this busybox crashes.)
    let connects = |from: &str, address: &str, port: &str| {
        let tried = api.exec(from, &["nc", "-w", "3", address, port]).unwrap();
        assert!([0, 1].contains(&tried.code), "{tried:?}");
        tried.code == 0
    };
    let gateway_of = |network: &str| {
        let raw = api.get(&format!("/networks/{network}")).unwrap();
        let gateway = raw["IPAM"]["Config"][0]["Gateway"].as_str();
        (raw["Internal"] == true, gateway.map(str::to_owned))
    };
    let (_, host) = gateway_of("shop_frontend");
    let host = host.unwrap();
    assert!(connects("shop-web-1", &host, &port), "the original reaches");
    let mut outside = vec![
        ("172.28.5.10".to_owned(), "5432"),
        ("172.28.5.1".to_owned(), port.as_str()),
        (host, port.as_str()),
    ];
    for network in ["shop-try_frontend", "shop-try_backend"] {
        let (internal, gateway) = gateway_of(network);
        assert!(internal, "{network}");
        // From 28 on an internal network has none.
        outside.extend(gateway.map(|gateway| (gateway, port.as_str())));
    }
    for (address, port) in outside {
        assert!(!connects(web, &address, port), "{address}:{port} answers");
    }
    let own = api
        .exec(web, &["ping", "-c", "1", "-W", "2", "db"])
        .unwrap();
    assert!(own.stdout.contains("PING db (10."), "{own:?}");
    let foreign = api
        .exec(web, &["timeout", "20", "ping", "-c", "1", "example.org"])
        .unwrap();
    assert_ne!(foreign.code, 0, "{foreign:?}");
    let ports = tiny::inspect(engine, web)["NetworkSettings"]["Ports"].clone();
    let published = ports.as_object().unwrap().values().any(|b| b.is_array());
    assert!(!published, "{ports}");
}

/// Every object carries the label; the copy is shown as one, and is not protected.
fn is_marked(lab: &Lab, engine: &PrivateEngine) {
    let raw = tiny::inspect(engine, "shop-try-worker-1");
    let labels = &raw["Config"]["Labels"];
    assert_eq!(labels["lifeboat.copy"], "shop-try");
    assert_eq!(labels["lifeboat.enable"], "false");
    assert_eq!(labels["com.docker.compose.project"], "shop-try");
    assert!(
        labels
            .get("com.docker.compose.project.working_dir")
            .is_none()
    );
    assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "no");
    let acked = lab.path("state/copies/shop-try/binds");
    let source = raw["HostConfig"]["Binds"][0].as_str().unwrap().to_owned();
    assert!(source.starts_with(acked.to_str().unwrap()), "{source}");

    let apps = lab.json(Some(engine), &["apps"], 0);
    let apps: Vec<_> = apps["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (&a["name"], &a["kind"]))
        .collect();
    assert!(
        apps.contains(&(&json!("shop-try"), &json!("copy"))),
        "{apps:?}"
    );
    let all = lab.json(Some(engine), &["backup", "--all", "-n"], 0);
    let named: Vec<_> = all["protected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["app"].to_string())
        .collect();
    assert!(
        named.len() == 2 && !named.iter().any(|n| n.contains("try")),
        "{named:?}"
    );
    tiny::refused(
        lab,
        Some(engine),
        "backup shop-try",
        1,
        &["never protected"],
    );
}

pub fn left_of_copies(lab: &Lab) -> Vec<String> {
    let mut left = Vec::new();
    for folder in ["state/copies", "state/journal"] {
        for entry in fs_err::read_dir(lab.path(folder)).into_iter().flatten() {
            left.push(entry.unwrap().path().display().to_string());
        }
    }
    left
}
