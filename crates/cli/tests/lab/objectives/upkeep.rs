//! Upkeep by the agent alone: copies with an RPO of their own, points and tags forgotten, space freed, the vault checked.

use std::path::Path;

use lifeboat_testkit::{
    engine::PrivateEngine,
    images,
    restic::newest_restic,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::json;

use super::{Agent, app, captures, jobs, until};
use crate::support::Lab;

/// How many jobs of this kind were done.
fn done(lab: &Lab, what: &str) -> usize {
    let jobs = jobs(lab);
    let of_kind = jobs.iter().filter(|job| job["work"]["task"] == what);
    of_kind
        .filter(|job| job["outcome"]["result"] == "done")
        .count()
}

/// The moments of a vault's points of this app, the oldest first.
fn points(lab: &Lab, vault: &Path, app: &str) -> Vec<String> {
    let vault = vault.to_str().unwrap();
    let listed = lab.json(None, &["--vault", vault, "points"], 0);
    let points = listed["points"].as_array().unwrap().iter();
    let of_app = points.filter(|point| point["app"] == app);
    let mut times: Vec<String> = of_app
        .map(|point| point["time"].as_str().unwrap().to_owned())
        .collect();
    times.sort();
    times
}

/// A command in the further vault; what it answers, if that is JSON.
fn in_far(
    lab: &Lab,
    engine: Option<&PrivateEngine>,
    far: &Path,
    password: &Path,
    args: &[&str],
) -> serde_json::Value {
    let output = lab
        .command(engine, &["--no-agent", "--vault", far.to_str().unwrap()])
        .args(["--password-file", password.to_str().unwrap()])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The newest restic is content with a vault, each byte read.
fn restic_is_content(vault: &Path, password: &Path) {
    let output = std::process::Command::new(newest_restic().unwrap())
        .args(["--no-cache", "check", "--read-data", "-r"])
        .arg(vault)
        .arg("--password-file")
        .arg(password)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn copies_forget_prune_and_check_go_by_their_own_schedules() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    // A further vault with a password of its own.
    let (far, password) = (lab.path("far"), lab.path("far.key"));
    fs_err::write(&password, "another password\n").unwrap();
    let settings = format!(
        "[copy.far]\nto = \"{}\"\nrpo = \"15s\"\npassword-file = \"{}\"\nretain = \"1\"\ncheck = \"10s\"\n[upkeep]\nforget = \"8s\"\nprune = \"9s\"\ncheck = \"10s\"\n",
        far.display(),
        password.display()
    );
    lab.command(None, &["--vault", far.to_str().unwrap()])
        .args(["--config-dir", lab.path("far-etc").to_str().unwrap()])
        .args(["--state-dir", lab.path("far-state").to_str().unwrap()])
        .args(["--password-file", password.to_str().unwrap(), "init"])
        .args(["--sheet", lab.path("far-sheet").to_str().unwrap()])
        .output()
        .map(|made| assert!(made.status.success(), "{made:?}"))
        .unwrap();
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    // What another host keeps there is none of this one's.
    app(&engine, "theirs", &json!({"lifeboat.enable": "false"}));
    for _ in 0..2 {
        let backup = ["--host", "another", "backup", "theirs"];
        in_far(&lab, Some(&engine), &far, &password, &backup);
    }
    let agent = Agent::start(&lab, &engine);
    // The first forget comes before there is any point, which is no failure.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let labels = json!({"lifeboat.rpo": "10s", "lifeboat.retain": "2"});
    app(&engine, "notes", &labels);

    let tasks = ["copy", "forget", "prune", "check"];
    let there = ["forget_in", "prune_in", "check_in"];
    until("each of them twice", &lab, || {
        let all = tasks.iter().chain(&there);
        all.clone().all(|task| done(&lab, task) >= 2)
    });
    // Forgotten at home by the label, and there by what that vault keeps.
    until("forgotten", &lab, || {
        captures(&lab, "/notes").len() >= points(&lab, &lab.vault(), "notes").len() + 2
    });
    let held = |host: &str| {
        let listed = in_far(&lab, None, &far, &password, &["points", "-o", "json"]);
        let points = listed["points"].as_array().unwrap().iter();
        points.filter(|point| point["host"] == host).count()
    };
    until("forgotten there", &lab, || {
        done(&lab, "copy") >= 3 && held("lab") == 1
    });
    assert_eq!(held("another"), 2);
    drop(agent);
    let listed = lab.run(None, &["jobs", "-n", "1000"], 0);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for line in [
        "copy far",
        "forget",
        "prune",
        "check",
        "forget in far",
        "prune far",
        "check far",
        "capture default/lab/notes",
    ] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    let failed = jobs(&lab)
        .into_iter()
        .filter(|job| job["outcome"]["result"] == "failed");
    assert_eq!(failed.collect::<Vec<_>>(), [] as [serde_json::Value; 0]);

    restic_is_content(&lab.vault(), &lab.key());
    restic_is_content(&far, &password);
}

#[test]
fn tags_are_forgotten_by_the_agents_rules() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    lab.init();
    let registry = RegistryServer::start(&lab.path("r"), RegistryOptions::default()).unwrap();
    let busybox = images::busybox().unwrap();
    let image = format!("docker-archive:{}", busybox.tar.display());
    let name = registry.address();
    for tag in ["1", "2", "v1"] {
        registry.push(&image, &format!("team/app:{tag}")).unwrap();
    }
    lab.run(None, &["registry", "backup", &name], 0);
    // It lives on in the vault alone; only its tags are looked after.
    drop(registry);
    let settings = format!("[registry.\"{name}\".forget]\nevery = \"3s\"\nkeep-tag = [\"v*\"]\n");
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    let _agent = Agent::start(&lab, &engine);
    let tags = || {
        let record = lab
            .command(None, &["dump", "latest", "/registry.json"])
            .output()
            .unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record.stdout).unwrap_or_default();
        let tags = record["repositories"]["team/app"]["tags"].as_object();
        tags.map(|tags| tags.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    assert_eq!(tags().len(), 3);
    until("only what a rule keeps is left", &lab, || tags() == ["v1"]);
    until("its record", &lab, || done(&lab, "forget_tags") >= 1);
    let listed = lab.run(None, &["jobs"], 0);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains(&format!("registry forget {name}")),
        "{listed}"
    );
    assert!(
        !listed.contains(&format!("registry {name}")),
        "it is not backed up: {listed}"
    );
}
