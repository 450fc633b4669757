//! A registry of the vault over time: what no rule keeps goes, and two servers on two hosts take pushes for the same one.

use std::{
    path::Path,
    process::{Command, Output},
};

use lifeboat_images::Digest;
use serde_json::{Value, json};

use crate::{
    registry_accept::{skopeo, skopeo_does},
    registry_serve::{Served, docker_does},
    support::Lab,
    tiny::{self, says, stderr, stdout},
};

const NAME: &str = "registry.example";
const LINE: [&str; 5] = ["--accept", "--name", NAME, "--listen", "127.0.0.1:0"];

/// A small image that is like no other number's, as a folder that skopeo copies from.
fn image(lab: &Lab, number: u32) -> String {
    let dir = lab.path(&format!("image-{number}"));
    if !dir.exists() {
        fs_err::create_dir_all(&dir).unwrap();
        let blob = |bytes: &[u8], kind: &str| -> Value {
            let digest = Digest::of(bytes).to_string();
            fs_err::write(dir.join(&digest["sha256:".len()..]), bytes).unwrap();
            json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
        };
        let layer = [number.to_be_bytes().repeat(128), vec![0; 1024]].concat();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": [number.to_string()]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(&layer, "application/vnd.oci.image.layer.v1.tar")],
        });
        fs_err::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        fs_err::write(dir.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    }
    format!("dir:{}", dir.display())
}

fn push(served: &Served, image: &str, name: &str) -> Output {
    let to = format!("docker://{}/{name}", served.address());
    skopeo(&["copy", "--dest-tls-verify=false", image, &to])
}

fn pushed(lab: &Lab, served: &Served, number: u32, name: &str) {
    let output = push(served, &image(lab, number), name);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Whether a tag can be pulled, layers and all.
fn pulls(lab: &Lab, served: &Served, name: &str) -> Result<(), String> {
    let to = lab.path("pulled");
    let _ = fs_err::remove_dir_all(&to);
    let from = format!("docker://{}/{name}", served.address());
    let to = format!("dir:{}", to.display());
    let output = skopeo(&["copy", "--src-tls-verify=false", &from, &to]);
    match output.status.success() {
        true => Ok(()),
        false => Err(stderr(&output)),
    }
}

fn tags(served: &Served, repository: &str) -> Vec<String> {
    let from = format!("docker://{}/{repository}", served.address());
    let said = skopeo_does(&["list-tags", "--tls-verify=false", &from]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let tags = said["Tags"].as_array().unwrap().iter();
    let mut tags: Vec<String> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

/// Tags of a dry run or of a real one: those that stay, those that go.
fn judged(done: &Value) -> (Vec<String>, Vec<String>) {
    let tags = done["tags"].as_array().unwrap().iter();
    let (stay, go): (Vec<&Value>, Vec<&Value>) =
        tags.partition(|tag| !tag["stays"].as_array().unwrap().is_empty());
    let names = |tags: Vec<&Value>| {
        let names = tags.into_iter().map(|tag| tag["tag"].as_str().unwrap());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    (names(stay), names(go))
}

#[test]
fn registry_tags_that_no_rule_keeps_go_and_what_apps_name_stays() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "one");
    let served = Served::here(&lab, &LINE);
    for number in 1..=5 {
        pushed(&lab, &served, number, &format!("team/app:v{number}"));
    }
    pushed(&lab, &served, 3, "team/app:stable");
    pushed(&lab, &served, 9, "other:1");
    // An app that was set up with v1.
    let name = format!("{NAME}/team/app:v1");
    docker_does(&engine, &format!("tag lifeboat/busybox:latest {name}"));
    docker_does(&engine, &format!("run -d --name shop {name} sleep 1000"));
    lab.json(Some(&engine), &["backup", "shop"], 0);
    engine.destroy().unwrap();

    let forget = |more: &[&str], code: i32| {
        let line = [&["registry", "forget", NAME][..], more].concat();
        lab.run(None, &line, code)
    };
    says(
        &lab.run(
            None,
            &["registry", "forget", "elsewhere", "--keep-last", "1"],
            1,
        ),
        &["no registry"],
    );
    assert!(stderr(&forget(&[], 2)).contains("--keep-last"));
    let rules = ["--repo", "team/*", "--keep-last", "2", "--keep-tag", "v4*"];
    let said = stdout(&forget(&[&rules[..], &["--dry-run"]].concat(), 0));
    for line in [
        "stays  team/app:v1: the newest recovery point of default/lab/shop names it",
        "stays  team/app:v4: its name",
        "goes   team/app:v2 (since ",
        "2 tags and 1 manifest of registry.example would go",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let all = ["stable", "v1", "v2", "v3", "v4", "v5"];
    assert_eq!(tags(&served, "team/app"), all);
    let before = newest(&lab);

    let done = forget(&[&rules[..], &["-o", "json"]].concat(), 0);
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    // `stable` keeps what v3 was.
    let (stay, go) = judged(&done);
    assert_eq!(
        (stay, go),
        (
            vec!["stable".into(), "v1".into(), "v4".into(), "v5".into()],
            vec!["v2".to_owned(), "v3".into()]
        )
    );
    // The server that has been running all the time.
    pushed(&lab, &served, 6, "team/app:v6");
    assert_eq!(
        tags(&served, "team/app"),
        ["stable", "v1", "v4", "v5", "v6"]
    );
    for name in ["team/app:stable", "team/app:v1", "team/app:v6", "other:1"] {
        pulls(&lab, &served, name).unwrap();
    }
    let said = pulls(&lab, &served, "team/app:v2").unwrap_err();
    assert!(said.contains("manifest unknown"), "{said}");
    // Earlier points have it.
    let short = &before[..8];
    pulls(&lab, &served, &format!("point-{short}/team/app:v2")).unwrap();
    // Nothing more goes, and no point is made for that.
    let there = newest(&lab);
    let said = stdout(&forget(&["--keep-last", "9"], 0));
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(newest(&lab), there);
    says(
        &lab.run(None, &["registry", "forget", short, "--keep-last", "1"], 1),
        &["never changes"],
    );
    served.stop();
    lab.run(None, &["registry", "check", "--read-data"], 0);
    lab.run(None, &["check", "--read-data"], 0);
}

/// The newest point of the registry.
fn newest(lab: &Lab) -> String {
    let points = lab.json(None, &["points"], 0);
    let points = points["points"].as_array().unwrap();
    let of_registry =
        |point: &&Value| point.to_string().contains(NAME) && !point.to_string().contains("/shop");
    let newest = points.iter().rfind(of_registry).unwrap();
    newest["id"].as_str().unwrap().to_owned()
}

/// Another host: the same vault, and a state directory of its own.
fn elsewhere(lab: &Lab, state: &Path) -> Served {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.arg("--state-dir").arg(state);
    command.env("LIFEBOAT_VAULT", lab.vault());
    Served::run(lab, command, &LINE)
}

/// Within seconds: what the other one made is looked for now and then.
fn shows(served: &Served, all: &[String]) {
    let clock = std::time::Instant::now();
    loop {
        let there = tags(served, "team/app");
        if there == all {
            return;
        }
        let lost = all.iter().filter(|tag| !there.contains(tag));
        let lost: Vec<_> = lost.collect();
        assert!(
            clock.elapsed().as_secs() < 15,
            "it lacks {lost:?} and shows {there:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn registry_two_hosts_take_pushes_for_one_registry_and_neither_loses_any() {
    let lab = Lab::new();
    lab.init();
    let states = ["here", "there"].map(|name| lab.path(name));
    let mut servers = states.each_ref().map(|state| elsewhere(&lab, state));
    let mut answered = Vec::new();
    for round in 0..3 {
        // Both at once, each its own.
        let names: Vec<Vec<(u32, String)>> = (0..2_u32)
            .map(|host| {
                let numbers = (0..3).map(|n| (round * 100 + host * 10 + n, n));
                numbers
                    .map(|(number, n)| (number, format!("team/app:r{round}-h{host}-{n}")))
                    .collect()
            })
            .collect();
        for (number, _) in names.iter().flatten() {
            image(&lab, *number);
        }
        let lab = &lab;
        std::thread::scope(|scope| {
            for (served, names) in servers.iter().zip(&names) {
                scope.spawn(move || {
                    for (number, name) in names {
                        pushed(lab, served, *number, name);
                    }
                });
            }
        });
        answered.extend(names.into_iter().flatten().map(|(_, name)| name));
        let mut all: Vec<String> = answered
            .iter()
            .map(|name| name.split(':').nth(1).unwrap().to_owned())
            .collect();
        all.sort();
        for served in &servers {
            shows(served, &all);
        }
        // What one deleted, the other has not any more.
        let first = all.remove(0);
        let to = format!("docker://{}/team/app:{first}", servers[0].address());
        skopeo_does(&["delete", "--tls-verify=false", &to]);
        answered.retain(|name| !name.ends_with(&first));
        shows(&servers[1], &all);
        if round == 1 {
            // One of them goes as in a power cut, while it takes a push.
            let [one, other] = servers;
            let to = format!("docker://{}/team/app:lost", other.address());
            let mut under_way = Command::new("skopeo")
                .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
                .args([&image(lab, 999), &to])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(150));
            other.kill();
            let _ = under_way.wait();
            servers = [one, elsewhere(lab, &states[1])];
            for served in &servers {
                std::thread::sleep(std::time::Duration::from_secs(4));
                let tags = tags(served, "team/app");
                assert!(all.iter().all(|tag| tags.contains(tag)), "{tags:?}");
            }
            let to = format!("docker://{}/team/app:lost", servers[0].address());
            // Answered or not: it may be there.
            let _ = skopeo(&["delete", "--tls-verify=false", &to]);
        }
    }
    for (number, name) in answered.iter().enumerate() {
        pulls(&lab, &servers[number % 2], name).unwrap();
    }
    for served in servers {
        served.stop();
    }
    lab.run(None, &["registry", "check", "--read-data"], 0);
}
