//! Podman as an engine, through its Docker API: an app there, back there, and over to Docker.

use std::{path::Path, process::Output};

use lifeboat_testkit::{
    engine::{PrivatePodman, Release},
    images,
};
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, IDLE, stderr},
};

fn start(lab: &Lab, name: &str) -> PrivatePodman {
    let podman = PrivatePodman::start(&lab.path(name), "lab").unwrap();
    images::busybox()
        .unwrap()
        .load_through(&podman.api())
        .unwrap();
    podman
}

/// The program against Podman.
fn lifeboat(lab: &Lab, podman: &PrivatePodman, args: &[&str], code: i32) -> Output {
    let mut command = lab.command(None, args);
    command.env("DOCKER_HOST", podman.docker_host());
    let output = command.output().unwrap();
    let said = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}: {said}\n{}",
        podman.log_tail()
    );
    output
}

fn notes() -> Value {
    json!({
        "Image": "lifeboat/busybox:latest",
        "Cmd": ["sh", "-c", format!("[ -e /data/file ] || echo kept > /data/file; {IDLE}")],
        "Env": ["COLOUR=blue"],
        "StopTimeout": 1,
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"com.docker.compose.project": "notes", "com.docker.compose.service": "web", "owner": "ann"},
        "HostConfig": {
            "Binds": ["notes_data:/data"],
            "NetworkMode": "notes_net",
            "PortBindings": {"80/tcp": [{"HostPort": "18088"}]},
            "CapAdd": ["SYS_NICE"],
            "RestartPolicy": {"Name": "always"},
        },
        "NetworkingConfig": {"EndpointsConfig": {"notes_net": {"Aliases": ["front"]}}},
    })
}

/// What a container is, as far as a person chose it.
fn chosen(api: &lifeboat_testkit::api::Client) -> Value {
    let raw = api.get("/containers/notes/json").unwrap();
    let mut environment: Vec<&str> = raw["Config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e.as_str().unwrap())
        .filter(|e| e.starts_with("COLOUR"))
        .collect();
    environment.sort_unstable();
    let networks: Vec<&String> = raw["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    json!({
        "environment": environment, "command": raw["Config"]["Cmd"],
        "owner": raw["Config"]["Labels"]["owner"], "networks": networks,
        "ports": raw["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"],
        "restart": raw["HostConfig"]["RestartPolicy"]["Name"],
        "volume": raw["Mounts"][0]["Name"], "running": raw["State"]["Running"],
    })
}

fn kept(volume: &Path) {
    assert_eq!(
        fs_err::read_to_string(volume.join("file")).unwrap(),
        "kept\n"
    );
}

#[test]
fn an_app_comes_back_on_podman_and_goes_over_to_docker_and_back() {
    let lab = Lab::new();
    lab.init();
    let podman = start(&lab, "p");
    let api = podman.api();
    api.post("/volumes/create", &json!({"Name": "notes_data"}))
        .unwrap();
    api.post(
        "/networks/create",
        &json!({"Name": "notes_net", "Driver": "bridge"}),
    )
    .unwrap();
    api.create_container("notes", &notes()).unwrap();
    api.post("/containers/notes/start", &Value::Null).unwrap();
    let was = chosen(&api);
    let apps = lifeboat(&lab, &podman, &["apps", "-o", "json"], 0);
    let apps: Value = serde_json::from_slice(&apps.stdout).unwrap();
    assert_eq!(apps["apps"][0]["name"], "notes");
    assert_eq!(apps["apps"][0]["level"], "crash", "{apps:#}");
    let report = lifeboat(&lab, &podman, &["backup", "notes", "-o", "json"], 0);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["protected"][0]["level"], "crash", "{report:#}");
    assert!(report["protected"][0]["stall_seconds"].as_f64().unwrap() > 0.0);
    drop(podman);

    let second = start(&lab, "q");
    lifeboat(&lab, &second, &["restore", "notes"], 0);
    assert_eq!(chosen(&second.api()), was);
    kept(&lab.path("q/root/volumes/notes_data/_data"));
    drop(second);

    // The same point on Docker, of either kind.
    for (name, release) in [("d", Release::Distribution), ("n", Release::Newest)] {
        let docker = lab.engine_of(name, release);
        lab.json(Some(&docker), &["restore", "notes"], 0);
        assert_eq!(chosen(&docker.api()), was);
        kept(&docker.volume_path("notes_data").unwrap());
    }
}

#[test]
fn what_podman_leaves_out_is_said_before_and_the_rest_comes_over_from_docker() {
    let lab = Lab::new();
    lab.init();
    let docker = tiny::engine(&lab, "d");
    let api = docker.api();
    api.post(
        "/networks/create",
        &json!({"Name": "notes_net", "Driver": "bridge"}),
    )
    .unwrap();
    api.create_container("notes", &notes()).unwrap();
    tiny::start(&docker, "notes");
    let was = chosen(&api);
    tiny::run(&docker, "friend", IDLE, &[]);
    tiny::run_with(&docker, "linked", IDLE, json!({"Links": ["friend:f"]}));
    lab.json(Some(&docker), &["backup", "--all"], 0);
    docker.destroy().unwrap();

    let podman = start(&lab, "p");
    lifeboat(&lab, &podman, &["restore", "friend"], 0);
    let refused = stderr(&lifeboat(&lab, &podman, &["restore", "linked"], 1));
    assert!(refused.contains("linked to other containers"), "{refused}");
    assert_eq!(podman.api().find("/containers/linked/json").unwrap(), None);
    lifeboat(&lab, &podman, &["restore", "notes"], 0);
    assert_eq!(chosen(&podman.api()), was);
    kept(&lab.path("p/root/volumes/notes_data/_data"));
}
