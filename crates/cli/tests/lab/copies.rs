//! Copies of small apps and of a Compose project: interrupted, refused, let out, taken away.

use std::net::{IpAddr, Ipv4Addr};

use lifeboat_testkit::{
    compose::{CONTAINERS, Project},
    engine::PrivateEngine,
    sample_app::diff,
};
use serde_json::json;

use crate::{
    beside::left_of_copies,
    support::Lab,
    tiny::{self, IDLE},
};

/// A small app by itself, with a volume, a bind, a port, a proxy's label and a static way out.
fn small(lab: &Lab, engine: &PrivateEngine) {
    let html = lab.path("html");
    fs_err::create_dir_all(&html).unwrap();
    fs_err::write(html.join("index.html"), "from the bind").unwrap();
    tiny::create(
        engine,
        "web",
        json!({
            "Cmd": ["sh", "-c", "echo kept >/data/file; exec httpd -f -p 8080 -h /www"],
            "Labels": {"traefik.enable": "true", "example": "x"},
            "Env": ["VIRTUAL_HOST=web.example"],
            "ExposedPorts": {"8080/tcp": {}},
            "HostConfig": {
                "Binds": [format!("{}:/www", html.display()), "webdata:/data"],
                "PortBindings": {"8080/tcp": [{"HostPort": "18081"}]},
                "RestartPolicy": {"Name": "always"},
            },
        }),
    );
    tiny::start(engine, "web");
}

#[test]
fn an_interrupted_copy_is_finished_or_taken_away() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    small(&lab, &engine);
    lab.json(Some(&engine), &["backup", "web"], 0);
    let names = tiny::names(&engine);
    let original = tiny::inspect(&engine, "web");
    let args = ["restore", "web", "--as", "web-try"];
    for step in [
        "restore-begin",
        "restore-networks",
        "restore-volumes",
        "restore-binds",
        "restore-containers",
        "restore-start",
        "restore-validate",
    ] {
        for finish in [true, false] {
            lab.killed(Some(&engine), &args, step);
            if finish {
                // With other options it would be half of one and half of the other.
                let line = "restore web --as web-try --network-access";
                tiny::refused(&lab, Some(&engine), line, 1, &["other options"]);
                // By its own command, or by what finds it.
                match step {
                    "restore-binds" | "restore-start" => {
                        lab.json(Some(&engine), &["restore", "--continue"], 0)
                    }
                    _ => lab.json(Some(&engine), &args, 0),
                };
                assert!(tiny::runs(&engine, "web-try"), "{step}");
                let kept = engine
                    .api()
                    .exec_ok("web-try", &["cat", "/data/file"])
                    .unwrap();
                assert_eq!(kept, "kept\n", "{step}");
                let made = tiny::names(&engine);
                let would = lab.json(Some(&engine), &["rm", "web-try", "--dry-run"], 0);
                assert!(would.to_string().contains("web-try"), "{would:#}");
                assert_eq!(tiny::names(&engine), made, "{step}: a dry run");
            }
            // Before it has started, what finds it takes it away as well.
            match step {
                "restore-volumes" | "restore-containers" if !finish => {
                    lab.json(Some(&engine), &["restore", "--undo"], 0)
                }
                _ => lab.json(Some(&engine), &["rm", "web-try", "--yes"], 0),
            };
            assert_eq!(tiny::names(&engine), names, "{step} {finish}");
            assert_eq!(
                left_of_copies(&lab),
                Vec::<String>::new(),
                "{step} {finish}"
            );
        }
    }
    assert_eq!(
        diff(&original, &tiny::inspect(&engine, "web")),
        Vec::<String>::new()
    );
    engine.destroy().unwrap();
}

#[test]
fn with_access_to_the_network_its_ports_are_on_free_ports_of_the_loopback() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    small(&lab, &engine);
    lab.json(Some(&engine), &["backup", "web"], 0);
    let copy = lab.json(
        Some(&engine),
        &["restore", "web", "--as", "web-try", "--network-access"],
        0,
    );
    let address = copy["addresses"][0]["address"].as_str().unwrap();
    let (host, port) = address.split_once(':').unwrap();
    assert_eq!((host, port == "18081"), ("127.0.0.1", false));
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (status, body) = engine
        .http_get(local, port.parse().unwrap(), "/index.html")
        .unwrap();
    assert_eq!((status, body.as_str()), (200, "from the bind"));
    let told = copy["changes"].to_string();
    for word in [
        "traefik.enable (reverse proxy)",
        "VIRTUAL_HOST",
        "web-try_bridge",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let raw = tiny::inspect(&engine, "web-try");
    assert_eq!(raw["Config"]["Labels"]["example"], "x");
    assert!(raw["Config"]["Labels"].get("traefik.enable").is_none());
    // What the copy writes is its own.
    let write = [
        "sh",
        "-c",
        "echo copy >/www/index.html; echo copy >/data/file",
    ];
    engine.api().exec_ok("web-try", &write).unwrap();
    assert_eq!(
        fs_err::read_to_string(lab.path("html/index.html")).unwrap(),
        "from the bind"
    );
    assert_eq!(
        engine.api().exec_ok("web", &["cat", "/data/file"]).unwrap(),
        "kept\n"
    );
    lab.json(Some(&engine), &["rm", "web-try", "--yes"], 0);
    assert!(tiny::runs(&engine, "web"));
    engine.destroy().unwrap();
}

#[test]
fn what_reaches_the_host_or_others_is_refused_all_at_once() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let proxy = json!({"Name": "proxy", "Driver": "bridge"});
    engine.api().post("/networks/create", &proxy).unwrap();
    tiny::run_with(&engine, "other", IDLE, json!({"NetworkMode": "proxy"}));
    let labels = |service: &str| json!({"com.docker.compose.project": "grip", "com.docker.compose.service": service});
    let socket = engine
        .docker_host()
        .trim_start_matches("unix://")
        .to_owned();
    for (service, host) in [
        ("proxied", json!({"NetworkMode": "proxy"})),
        ("hosted", json!({"NetworkMode": "host", "PidMode": "host"})),
        ("privileged", json!({"Privileged": true})),
        (
            "socket",
            json!({"Binds": [format!("{socket}:/var/run/docker.sock"), "/dev:/hostdev:ro", "/etc/localtime:/etc/localtime"]}),
        ),
        (
            "device",
            json!({"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]}),
        ),
    ] {
        let name = format!("grip-{service}-1");
        let body =
            json!({"Cmd": ["sh", "-c", IDLE], "Labels": labels(service), "HostConfig": host});
        tiny::create(&engine, &name, body);
        // Not every machine that runs this lets a privileged container start.
        if service != "privileged" {
            tiny::start(&engine, &name);
        }
    }
    lab.run(Some(&engine), &["backup", "grip"], 0);
    let names = tiny::names(&engine);
    let flags = [
        "network:proxy",
        "host-network",
        "host-pid",
        "privileged",
        "engine-socket",
        "bind:/dev",
        "devices",
    ];
    let words: Vec<String> = flags.iter().map(|f| format!("`--allow {f}`")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    tiny::refused(&lab, Some(&engine), "restore grip --as grip-try", 1, &words);
    assert_eq!(tiny::names(&engine), names);
    assert_eq!(left_of_copies(&lab), Vec::<String>::new());

    let mut args = vec!["restore", "grip", "--as", "grip-try"];
    for flag in flags {
        args.extend(["--allow", flag]);
    }
    lab.json(Some(&engine), &args, 0);
    let raw = tiny::inspect(&engine, "grip-try-socket-1");
    let binds = raw["HostConfig"]["Binds"].to_string();
    assert!(
        binds.contains("/etc/localtime:/etc/localtime:ro"),
        "{binds}"
    );
    lab.json(Some(&engine), &["rm", "grip-try", "--yes"], 0);
    assert_eq!(
        tiny::names(&engine),
        names,
        "the network of others is still there"
    );
    engine.destroy().unwrap();
}

#[test]
fn only_what_is_its_own_is_removed() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    small(&lab, &engine);
    lab.json(Some(&engine), &["backup", "web"], 0);
    lab.json(Some(&engine), &["restore", "web", "--as", "web-try"], 0);
    // Somebody put another container, without our label, in the copy's place.
    tiny::remove(&engine, "web-try");
    tiny::run(&engine, "web-try", IDLE, &[]);
    let removal = lab.json(Some(&engine), &["rm", "web-try", "--yes"], 3);
    assert!(
        removal["stays"][0].as_str().unwrap().contains("web-try"),
        "{removal}"
    );
    assert!(tiny::runs(&engine, "web-try"));
    // A label alone does not do either.
    let labels = json!({"lifeboat.copy": "forged"});
    tiny::create(
        &engine,
        "forged",
        json!({"Cmd": ["true"], "Labels": labels}),
    );
    tiny::refused(&lab, Some(&engine), "rm forged --yes", 1, &["no copy"]);
    tiny::refused(&lab, Some(&engine), "rm ../etc --yes", 1, &["no copy"]);
    // Once it is out of the way, the rest goes, when its name is typed.
    tiny::remove(&engine, "web-try");
    let names = tiny::names(&engine);
    assert!(!typed(&lab, &engine, "y\n"));
    assert_eq!(tiny::names(&engine), names);
    assert!(typed(&lab, &engine, "web-try\n"));
    assert!(tiny::runs(&engine, "web"));
    assert_eq!(left_of_copies(&lab), Vec::<String>::new());
    engine.destroy().unwrap();
}

#[test]
fn a_compose_project_runs_beside_itself_and_compose_finds_nothing_to_change() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    lab.json(Some(&engine), &["backup", "notes"], 0);
    let names = tiny::names(&engine);
    let copy = lab.json(Some(&engine), &["restore", "notes", "--as", "notes-try"], 0);
    assert_eq!(
        copy["running"].as_array().unwrap().len(),
        CONTAINERS.len(),
        "{copy:#}"
    );
    // Its secret and its binds are files of its own; what Compose had put into the layer is there.
    let api = engine.api();
    let greeting = ["cat", "/etc/greeting", "/run/secrets/token"];
    let of = |name: &str| api.exec_ok(name, &greeting).unwrap();
    assert_eq!(of("notes-try-api-1"), of("notes-api-1"));
    let copies = lab.path("state/copies/notes-try").display().to_string();
    let raw = tiny::inspect(&engine, "notes-try-api-1");
    for mount in raw["Mounts"].as_array().unwrap() {
        let source = mount["Source"].as_str().unwrap();
        assert!(
            mount["Type"] != "bind" || source.starts_with(&copies),
            "{mount}"
        );
    }
    assert_eq!(
        project.up_dry_run_changes(&engine).unwrap(),
        Vec::<String>::new()
    );
    lab.json(Some(&engine), &["rm", "notes-try", "--yes"], 0);
    assert_eq!(tiny::names(&engine), names);
    assert_eq!(left_of_copies(&lab), Vec::<String>::new());
    assert_eq!(
        project.up_dry_run_changes(&engine).unwrap(),
        Vec::<String>::new()
    );
    engine.destroy().unwrap();
}

/// `rm web-try` on a terminal, with this answer; whether it was done.
fn typed(lab: &Lab, engine: &PrivateEngine, answer: &str) -> bool {
    use std::io::Write;
    let rm = lab.command(Some(engine), &["rm", "web-try"]);
    let line = format!("{} rm web-try", rm.get_program().display());
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]);
    for (name, value) in rm.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let piped = std::process::Stdio::piped;
    let mut child = terminal.stdin(piped()).stdout(piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(answer.as_bytes()).unwrap();
    // Open until the end: what closes is the terminal.
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = tiny::stdout(&output);
    assert!(said.contains("Type web-try to remove"), "{said}");
    output.status.success()
}
