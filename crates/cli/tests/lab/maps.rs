//! Mappings for the target: an app restored otherwise than it was, and what is wrong with a mapping.

use std::{
    net::TcpListener,
    process::{Child, Stdio},
    time::Duration,
};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, IDLE, refused},
};

/// A web front by itself with one of everything, on a network with addresses of its own.
fn create_web(lab: &Lab, engine: &PrivateEngine) {
    let api = engine.api();
    let network = json!({"Name": "web_net", "IPAM": {"Config": [{"Subnet": "10.77.1.0/24", "Gateway": "10.77.1.1"}]},
        "Labels": {"com.docker.compose.config-hash": "h"}});
    api.post("/networks/create", &network).unwrap();
    fs_err::create_dir_all(lab.path("srv/html")).unwrap();
    fs_err::write(lab.path("srv/html/index.html"), "open\n").unwrap();
    let bind = format!("{}:/www", lab.path("srv/html").display());
    tiny::create(
        engine,
        "web",
        json!({
            "Cmd": ["sh", "-c", "exec httpd -f -p 8080 -h /www"],
            "Env": ["DB_HOST=old.example", "KEEP=1"],
            "ExposedPorts": {"8080/tcp": {}},
            "HostConfig": {
                "Binds": ["web_data:/data", bind], "NetworkMode": "web_net",
                "PortBindings": {"8080/tcp": [{"HostPort": "18090"}]},
            },
            "NetworkingConfig": {"EndpointsConfig": {"web_net": {"IPAMConfig": {"IPv4Address": "10.77.1.9"}}}},
        }),
    );
    tiny::start(engine, "web");
    fs_err::write(engine.volume_path("web_data").unwrap().join("row"), "1\n").unwrap();
    let tag = "/images/lifeboat%2Fbusybox:latest/tag?repo=lifeboat/other&tag=2";
    api.post(tag, &Value::Null).unwrap();
}

#[test]
fn an_app_comes_back_with_all_mappings_at_once() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    create_web(&lab, &engine);
    lab.json(some, &["backup", "web"], 0);
    // Everything that it had is in the way, and its port is somebody else's.
    tiny::remove(&engine, "web");
    let port = json!({"PortBindings": {"80/tcp": [{"HostPort": "18090"}]}});
    let body =
        json!({"Cmd": ["sh", "-c", IDLE], "ExposedPorts": {"80/tcp": {}}, "HostConfig": port});
    tiny::create(&engine, "other", body);
    tiny::start(&engine, "other");
    let before = tiny::names(&engine);
    let html = lab.path("srv/html").display().to_string();
    let words = [
        "--map-volume web_data:NEW",
        "--map-network web_net:NEW",
        &format!("--map-bind {html}:NEW"),
        "port 18090 of web is published by the container other already",
        "--map-port 18090:NEW",
        "nothing was changed",
    ];
    refused(&lab, some, "restore web", 1, &words);

    // The secret comes from a file; nothing shows it.
    let file = lab.path("map.yaml");
    let text = "env:\n  DB_HOST: s3cret.example\n  web:EXTRA: '1'\nsubnets:\n  10.77.1.0/24: 10.88.1.0/24\n";
    fs_err::write(&file, text).unwrap();
    let srv = lab.path("srv").display().to_string();
    let new = lab.path("new").display().to_string();
    let bind = format!("{srv}:{new}");
    let file = file.display().to_string();
    let maps = [
        "--map-port",
        "18090:127.0.0.1:18091",
        "--map-bind",
        &bind,
        "--map-network",
        "web_net:front",
        "--map-volume",
        "web_data:front_data",
        "--map-image",
        "lifeboat/busybox:lifeboat/other:2",
        "--map-file",
        &file,
    ];
    let with = |more: &[&'static str]| -> Vec<String> {
        let words = ["restore", "web"].iter().chain(&maps).chain(more);
        words.map(|word| (*word).to_owned()).collect()
    };
    let args = with(&["-n"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let plan = lab.json(some, &args, 0);
    let text = tiny::stdout(&lab.run(some, &args, 0));
    for mapped in [
        json!({"kind": "port", "of": "web", "old": "18090", "new": "127.0.0.1:18091"}),
        json!({"kind": "bind", "old": html, "new": format!("{new}/html")}),
        json!({"kind": "network", "old": "web_net", "new": "front"}),
        json!({"kind": "subnet", "of": "web_net", "old": "10.77.1.0/24", "new": "10.88.1.0/24"}),
        json!({"kind": "volume", "old": "web_data", "new": "front_data"}),
        json!({"kind": "image", "of": "web", "old": "lifeboat/busybox", "new": "lifeboat/other:2"}),
        json!({"kind": "variable", "of": "web", "old": "DB_HOST", "new": "another value"}),
        json!({"kind": "variable", "of": "web", "old": "EXTRA", "new": "added"}),
    ] {
        let all = plan["mappings"].as_array().unwrap();
        assert!(all.contains(&mapped), "{mapped} in {all:#?}");
        assert!(text.contains(mapped["new"].as_str().unwrap()), "{text}");
    }
    assert!(!plan.to_string().contains("s3cret"), "{plan}");
    assert_eq!(tiny::names(&engine), before);

    // Interrupted, it goes on with the same mappings alone.
    let args = with(&[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    lab.killed(some, &args, "restore-containers");
    refused(&lab, some, "restore web", 1, &["other mappings"]);
    let done = lab.json(some, &["restore", "--continue"], 0);
    assert_eq!(done["mappings"], plan["mappings"]);
    assert!(!done.to_string().contains("s3cret"), "{done}");

    let raw = tiny::inspect(&engine, "web");
    assert_eq!(raw["Config"]["Image"], "lifeboat/other:2");
    let env = raw["Config"]["Env"].to_string();
    for entry in ["DB_HOST=s3cret.example", "KEEP=1", "EXTRA=1"] {
        assert!(env.contains(entry), "{env}");
    }
    let endpoint = &raw["NetworkSettings"]["Networks"]["front"];
    assert_eq!(endpoint["IPAddress"], "10.88.1.9");
    let network = engine.api().get("/networks/front").unwrap();
    assert_eq!(
        network["Labels"],
        json!({}),
        "no hash that Compose would act on"
    );
    let row = engine.volume_path("front_data").unwrap().join("row");
    assert_eq!(fs_err::read_to_string(row).unwrap(), "1\n");
    let local = [127, 0, 0, 1].into();
    let (status, body) = engine.http_get(local, 18091, "/index.html").unwrap();
    assert_eq!((status, body.as_str()), (200, "open\n"));
    // What was there is as it was.
    let now = tiny::names(&engine);
    assert!(before.iter().all(|name| now.contains(name)), "{now:?}");
    assert_eq!(now.len(), before.len() + 3, "{now:?}");
    engine.destroy().unwrap();
}

/// A process that listens, ended with the test.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_wrong_mapping_has_its_sentence() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    create_web(&lab, &engine);
    lab.json(some, &["backup", "web"], 0);
    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "web_data");
    engine.api().delete("/networks/web_net").unwrap();
    fs_err::remove_dir_all(lab.path("srv")).unwrap();
    let before = tiny::names(&engine);
    // What cannot be read: arguments that are wrong, all at once, and no vault is opened for it.
    let long = "v".repeat(256);
    let line = format!(
        "restore web --map-port 80 --map-bind srv:/x --map-volume web_data:{long} --map-env A --map-subnet 10.0.0.0/8:x --map-image x --map-network a:-b --map-file /nowhere.yaml --vault /nowhere"
    );
    let words = [
        "--map-port 80: it is written OLD:NEW",
        "--map-bind srv:/x: both are absolute paths",
        "longer than 255 characters",
        "--map-env A: it is written KEY=VALUE",
        "--map-subnet 10.0.0.0/8:x",
        "--map-image x",
        "--map-network a:-b",
        "/nowhere.yaml",
    ];
    refused(&lab, some, &line, 2, &words);
    // What fits nothing, together with what stands in the way.
    let mut busybox = engine.netns_command("busybox");
    busybox.args(["nc", "-l", "-p", "18095"]);
    busybox.stdin(Stdio::piped()).stdout(Stdio::null());
    let listener = Listener(busybox.stderr(Stdio::null()).spawn().unwrap());
    // 18095 in the kernel's table.
    let mut table = engine.netns_command("cat");
    table.arg("/proc/net/tcp6").arg("/proc/net/tcp");
    while !String::from_utf8(table.output().unwrap().stdout)
        .unwrap()
        .contains(":46AF ")
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let taken = json!({"Name": "taken", "IPAM": {"Config": [{"Subnet": "10.77.0.0/16"}]}});
    engine.api().post("/networks/create", &taken).unwrap();
    let line = "restore web --map-port 18090:18095 --map-port 99:100 --map-bind /nowhere:/x --map-volume data:x1 --map-network web_nett:x2 --map-image mysql=y --map-image lifeboat/busybox=no/such:1 --map-env NOPE=1 --map-env api:A=1";
    let words = [
        "no published port 99; it has 18090",
        "no bind source or project folder /nowhere",
        "no volume data; it has web_data",
        "did you mean web_net?",
        "no container of the image mysql",
        "no/such:1 is not on this engine",
        "no container has the variable NOPE",
        "no service or container api",
        "port 18095 of web is taken by the process busybox",
        "--map-port 18090:NEW",
        "10.77.1.0/24 of the network web_net overlaps with that of taken",
        "web (10.77.1.9)",
        "--map-subnet 10.77.1.0/24:NEW",
        "nothing was changed",
    ];
    refused(&lab, some, line, 1, &words);
    let line = "restore web --map-port 18090:192.0.2.7:18090 --map-network web_net:taken -n";
    let output = lab.run(some, &line.split(' ').collect::<Vec<_>>(), 1);
    let text = tiny::stdout(&output);
    assert!(
        text.contains("192.0.2.7, which is no address of this host"),
        "{text}"
    );
    drop(listener);
    let mut now = tiny::names(&engine);
    now.retain(|name| name != "network taken");
    assert_eq!(now, before);
    // Attached to the network that is there, in which its address is.
    let line = "restore web --map-network web_net:taken";
    let done = lab.json(some, &line.split(' ').collect::<Vec<_>>(), 0);
    assert!(
        done["warnings"].to_string().contains("attached to it"),
        "{done:#}"
    );
    let raw = tiny::inspect(&engine, "web");
    let endpoint = &raw["NetworkSettings"]["Networks"]["taken"];
    assert_eq!(endpoint["IPAddress"], "10.77.1.9");
    engine.destroy().unwrap();
}

#[test]
fn a_copy_is_mapped_as_well() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    create_web(&lab, &engine);
    lab.json(some, &["backup", "web"], 0);
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let line = format!(
        "restore web --as web-try --map-bind {}:/x --map-subnet 10.77.1.0/24:auto --map-port 18090:{port} --map-volume web_data:web-try",
        lab.path("srv").display()
    );
    let words = [
        "--map-bind is not for a copy",
        "--map-subnet is not for a copy",
        &format!("127.0.0.1:{port} cannot be had"),
    ];
    refused(&lab, some, &line, 1, &words);
    drop(held);
    let map = format!("18090:{port}");
    let args = [
        "restore",
        "web",
        "--as",
        "web-try",
        "--map-port",
        &map,
        "--map-volume",
        "web_data:trial",
        "--map-env",
        "DB_HOST=new.example",
        "--map-network",
        "web_net:trial_net",
    ];
    // How long it takes is not known before it was done, and told from what was measured after.
    let dry = ["restore", "web", "--as", "web-dry", "-n"];
    let plan = lab.json(some, &dry, 0);
    assert_eq!(plan["estimate"]["seconds"], Value::Null, "{plan:#}");
    let done = lab.json(some, &args, 0);
    assert_eq!(done["ports"][0]["local"], port, "{done:#}");
    let plan = lab.json(some, &dry, 0);
    for name in ["data", "containers", "start", "validate"] {
        let of = |all: &Value| {
            let found = all.as_array().unwrap().iter();
            found.clone().find(|s| s["name"] == name).unwrap().clone()
        };
        let told = of(&plan["estimate"]["parts"]);
        let measured = of(&done["segments"])["seconds"].as_f64().unwrap();
        let seconds = told["seconds"].as_f64().unwrap();
        assert!((seconds - measured).abs() < 1e-6, "{told} {measured}");
        assert_eq!(told["runs"], 1);
    }
    assert_eq!(done["probes"][0]["passed"], true, "{done:#}");
    let mut kept = fs_err::read_dir(lab.path("state/reports")).unwrap();
    let kept = fs_err::read_to_string(kept.next().unwrap().unwrap().path()).unwrap();
    let mut kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["mappings"].take(), done["mappings"]);
    assert!(!kept.to_string().contains("new.example"), "{kept:#}");
    let raw = tiny::inspect(&engine, "web-try");
    assert!(
        raw["Config"]["Env"]
            .to_string()
            .contains("DB_HOST=new.example")
    );
    assert!(
        raw["HostConfig"]["Binds"]
            .to_string()
            .contains("trial:/data")
    );
    assert!(
        raw["NetworkSettings"]["Networks"]
            .get("trial_net")
            .is_some()
    );
    let opened = lab.command(some, &["ports", "web-try", "-o", "json"]);
    let mut opened = { opened }.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let out = opened.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said).unwrap();
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
    lab.json(some, &["rm", "web-try", "--yes"], 0);
    opened.wait().unwrap();
    assert!(tiny::runs(&engine, "web"));
    engine.destroy().unwrap();
}
