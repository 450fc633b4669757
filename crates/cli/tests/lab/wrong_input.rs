//! What a person does wrong, or what goes wrong around a run, with an engine there.

use std::{os::unix::fs::PermissionsExt, process::Command};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny::{self, Held, IDLE, noise, refused, says, stderr, stdout},
};

#[test]
fn a_socket_that_one_may_not_use_is_named() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    // As on a host: everybody sees the socket, and only its group may use it.
    for dir in [lab.path(""), engine.dir().to_owned()] {
        fs_err::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let ours = lab.command(Some(&engine), &["apps"]);
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    nobody.arg(ours.get_program()).args(ours.get_args());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => nobody.env(name, value),
            None => nobody.env_remove(name),
        };
    }
    let output = nobody.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    says(&output, &["docker.sock", "permission", "root"]);
    refused(&lab, None, "apps", 1, &["/nowhere.sock"]);
    engine.destroy().unwrap();
}

/// An app `web` with a volume, a network of its own and a bind.
fn create_web(lab: &Lab, engine: &PrivateEngine) {
    let api = engine.api();
    api.post("/networks/create", &json!({"Name": "web_net"}))
        .unwrap();
    fs_err::create_dir_all(lab.path("srv/html")).unwrap();
    fs_err::write(lab.path("srv/html/index.html"), "open\n").unwrap();
    let bind = format!("{}:/www", lab.path("srv/html").display());
    let host = json!({"Binds": ["web_data:/data", bind], "NetworkMode": "web_net"});
    tiny::run_with(engine, "web", IDLE, host);
    fs_err::write(engine.volume_path("web_data").unwrap().join("row"), "1\n").unwrap();
}

#[test]
fn names_that_are_wrong_and_names_in_use() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    create_web(&lab, &engine);
    let some = Some(&engine);
    lab.json(some, &["backup", "web"], 0);

    let report = lab.json(some, &["backup", "wbe"], 1);
    let error = report["failed"][0]["error"].as_str().unwrap();
    assert!(error.contains("did you mean `web`"), "{error}");
    for line in [
        "restore wbe",
        "restore wbe --dry-run",
        "ls wbe",
        "restore wbe --target /nowhere",
    ] {
        refused(&lab, some, line, 1, &["wbe", "did you mean `web`"]);
    }
    refused(
        &lab,
        some,
        "restore web@12345678",
        1,
        &["12345678", "lifeboat points"],
    );
    refused(&lab, some, "restore a/b/c/d", 1, &["a/b/c/d"]);

    // All obstacles at once, and each is named with its way out.
    let before = tiny::names(&engine);
    let html = lab.path("srv/html");
    let html = html.to_str().unwrap();
    for line in ["restore web", "restore default/lab/web@latest"] {
        let words = [
            "container named web",
            "volume named web_data",
            "network named web_net",
            html,
            "nothing was changed",
        ];
        refused(&lab, some, line, 1, &words);
    }
    assert_eq!(tiny::names(&engine), before);
    assert!(tiny::runs(&engine, "web"));
    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "web_data");
    refused(
        &lab,
        some,
        "restore web",
        1,
        &["network named web_net", html],
    );
    engine.api().delete("/networks/web_net").unwrap();
    let said = refused(&lab, some, "restore web", 1, &[html]);
    assert!(!said.contains("web_net"), "{said}");
    assert_eq!(tiny::names(&engine), Vec::<String>::new());
    fs_err::remove_dir_all(html).unwrap();
    lab.json(some, &["restore", "web"], 0);
    assert!(tiny::runs(&engine, "web"));
    assert_eq!(
        fs_err::read_to_string(lab.path("srv/html/index.html")).unwrap(),
        "open\n"
    );
    assert_eq!(
        fs_err::read_dir(lab.path("srv")).unwrap().count(),
        1,
        "a copy was left in sight"
    );
    engine.destroy().unwrap();
}

#[test]
fn a_bind_that_is_gone_is_missed_and_one_that_was_left_out_has_to_be_there() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    create_web(&lab, &engine);
    let some = Some(&engine);
    let html = lab.path("srv/html");
    let path = html.to_str().unwrap();
    let first = lab.json(some, &["backup", "web"], 0);
    let first = only(&first)["id"].as_str().unwrap().to_owned();

    // Empty, as when its disk is not mounted.
    fs_err::remove_file(html.join("index.html")).unwrap();
    let output = lab.run(some, &["backup", "web"], 3);
    for word in [path, "held data", "not mounted"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    // It stays so until the data is back: the empty point is no new normal.
    lab.run(some, &["backup", "web"], 3);
    fs_err::remove_dir(&html).unwrap();
    let output = lab.run(some, &["backup", "web"], 3);
    assert!(stderr(&output).contains(path), "{}", stderr(&output));
    let table = stdout(&lab.run(some, &["points", "web"], 0));
    assert!(table.contains("incomplete"), "{table}");

    // Left out on purpose, with data in it: said, and no error.
    fs_err::create_dir(&html).unwrap();
    fs_err::write(html.join("index.html"), "open\n").unwrap();
    let report = lab.json(some, &["backup", "web", "--exclude-bind", path], 0);
    let without = only(&report)["id"].as_str().unwrap().to_owned();
    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "web_data");
    engine.api().delete("/networks/web_net").unwrap();
    for there in [true, false] {
        fs_err::remove_dir_all(&html).unwrap();
        if there {
            fs_err::create_dir(&html).unwrap();
        }
        refused(
            &lab,
            some,
            &format!("restore web@{without}"),
            1,
            &[path, "not in the point", "nothing was changed"],
        );
        assert_eq!(tiny::names(&engine), Vec::<String>::new());
        if !there {
            fs_err::create_dir(&html).unwrap();
        }
    }
    fs_err::write(html.join("index.html"), "by hand\n").unwrap();
    lab.json(some, &["restore", &format!("web@{without}")], 0);
    assert!(tiny::runs(&engine, "web"));
    assert_eq!(
        fs_err::read_to_string(html.join("index.html")).unwrap(),
        "by hand\n"
    );

    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "web_data");
    engine.api().delete("/networks/web_net").unwrap();
    fs_err::remove_dir_all(&html).unwrap();
    lab.json(some, &["restore", &format!("web@{first}")], 0);
    assert_eq!(
        fs_err::read_to_string(html.join("index.html")).unwrap(),
        "open\n"
    );
    engine.destroy().unwrap();
}

#[test]
fn an_app_alone_is_its_newest_complete_point_and_latest_the_newest() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    create_web(&lab, &engine);
    let some = Some(&engine);
    let html = lab.path("srv/html");
    let index = html.join("index.html");
    let id_of = |report: &Value| only(report)["id"].as_str().unwrap().to_owned();
    let whole = id_of(&lab.json(some, &["backup", "web"], 0));
    fs_err::remove_file(&index).unwrap();
    let half = id_of(&lab.json(some, &["backup", "web"], 3));
    let (whole, half) = (&whole[..8], &half[..8]);

    // Whatever takes an app's name says what was passed over, and how to name it.
    let place = format!("/binds{}/index.html", html.display());
    let said = stderr(&lab.run(None, &["ls", "web", &place], 0));
    for word in [
        whole,
        half,
        html.to_str().unwrap(),
        "held data",
        "`web@latest`",
        &format!("`web@{half}`"),
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    for other in ["web@latest", "latest", &format!("web@{half}"), half] {
        let said = stderr(&lab.run(None, &["ls", other], 0));
        assert_eq!(said, "", "{other}");
        lab.run(None, &["ls", other, &place], 1);
    }

    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "web_data");
    engine.api().delete("/networks/web_net").unwrap();
    fs_err::remove_dir_all(&html).unwrap();
    let output = lab.run(some, &["restore", "web"], 0);
    assert!(stderr(&output).contains("is incomplete"));
    assert!(tiny::runs(&engine, "web"));
    assert_eq!(fs_err::read_to_string(&index).unwrap(), "open\n");

    // Where none is complete the newest is taken.
    let line = ["forget", &format!("web@{whole}"), "--even-newest"];
    lab.run(None, &line, 0);
    let said = stderr(&lab.run(None, &["ls", "web"], 0));
    assert!(
        said.contains(half) && said.contains("none of the app is complete"),
        "{said}"
    );
    lab.run(None, &["ls", "web", &place], 1);
    engine.destroy().unwrap();
}

#[test]
fn a_container_that_vanishes_during_the_backup_is_said() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    for step in [
        "discover", "images", "layers", "precopy", "freeze", "frozen",
    ] {
        for (name, service) in [("pair-stay", "stay"), ("pair-go", "go")] {
            let labels = json!({"com.docker.compose.project": "pair", "com.docker.compose.service": service});
            let host = json!({"Binds": [format!("pair_{service}:/data")]});
            tiny::create(
                &engine,
                name,
                json!({"Cmd": ["sh", "-c", IDLE], "Labels": labels, "HostConfig": host}),
            );
            tiny::start(&engine, name);
            fs_err::write(
                engine
                    .volume_path(&format!("pair_{service}"))
                    .unwrap()
                    .join("row"),
                "1\n",
            )
            .unwrap();
        }
        let mut held = Held::start(&lab, lab.command(some, &["backup", "pair", "-o", "json"]));
        held.until(step);
        tiny::remove(&engine, "pair-go");
        let output = held.end();
        let text = stderr(&output);
        assert!(
            [Some(0), Some(3)].contains(&output.status.code()),
            "{step}: {text}"
        );
        assert!(text.contains("pair-go"), "{step}: it is not said: {text}");
        assert!(!text.contains("panicked"), "{text}");
        // Who stays, runs.
        assert!(tiny::runs(&engine, "pair-stay"), "{step}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        // Its data is in the point, since its volume did not go.
        let id = only(&report)["id"].as_str().unwrap();
        let listed = stdout(&lab.run(some, &["ls", id, "/volumes", "-r"], 0));
        assert!(listed.contains("/volumes/pair_go/row"), "{step}: {listed}");
        tiny::remove(&engine, "pair-stay");
    }
    lab.run(None, &["check"], 0);
    engine.destroy().unwrap();
}

#[test]
fn files_that_change_and_vanish_while_they_are_read_spoil_nothing() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    // There is always one file, named after the number in it; and a log that grows.
    let script = "i=0; while true; do i=$((i+1)); echo $i > /data/tmp; mv /data/tmp /data/row-$i; \
                  rm -f /data/row-$((i-1)); echo $i >> /data/log; done";
    tiny::run(&engine, "churn", script, &["churn_data:/data"]);
    let dir = engine.volume_path("churn_data").unwrap();
    fs_err::write(dir.join("large"), noise(30_000_000, 9)).unwrap();
    for round in 0..3 {
        let report = lab.json(some, &["backup", "churn"], 0);
        assert_eq!(only(&report)["level"], "crash");
        assert_eq!(only(&report)["incomplete"], json!([]));
        let id = only(&report)["id"].as_str().unwrap();
        let target = lab.path(&format!("out{round}"));
        lab.run(
            None,
            &["restore", id, "--target", target.to_str().unwrap()],
            0,
        );
        let out = target.join("volumes/churn_data");
        let mut rows: Vec<u64> = Vec::new();
        for entry in fs_err::read_dir(&out).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let Some(number) = name.strip_prefix("row-") else {
                continue;
            };
            let content = fs_err::read_to_string(entry.path()).unwrap();
            assert_eq!(content.trim(), number, "a file of two instants");
            rows.push(number.parse().unwrap());
        }
        assert!(rows.len() == 1 || rows.len() == 2, "no instant: {rows:?}");
        let log = fs_err::read_to_string(out.join("log")).unwrap();
        let last: u64 = log.lines().last().unwrap().parse().unwrap();
        let newest = *rows.iter().max().unwrap();
        assert!(newest - last <= 1, "no instant: {rows:?}, {last}");
    }
    // Plain folders have no instant; what vanished is not missed, what changed is whole or said.
    let output = lab
        .command(None, &["backup", "--path", dir.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        [Some(0), Some(3)].contains(&output.status.code()),
        "{}",
        stderr(&output)
    );
    lab.run(None, &["check", "--read-data"], 0);
    engine.destroy().unwrap();
}
