//! Made, inspected, lost, made again, inspected: nothing differs but what has to.

use lifeboat_engine::DockerEngine;
use lifeboat_engine::recreate::{
    ContainerPlan, Mapping, container_create_body, has_fixed_address, network_create_body,
    volume_create_body,
};
use serde_json::{Value, json};

use crate::{BUSYBOX, connect, start};

/// What differs from one life of a container to the next, and nothing else may.
const NEW_LIFE: &[&str] = &[
    "/Id",
    "/Created",
    "/State",
    "/ResolvConfPath",
    "/HostnamePath",
    "/HostsPath",
    "/LogPath",
    "/GraphDriver",
    "/RestartCount",
    "/NetworkSettings/SandboxID",
    "/NetworkSettings/SandboxKey",
    "/NetworkSettings/EndpointID",
    "/NetworkSettings/MacAddress",
    "/ExecIDs",
];

/// All leaves where two values differ.
fn differences(at: &str, one: &Value, two: &Value, out: &mut Vec<String>) {
    if NEW_LIFE.contains(&at) {
        return;
    }
    match (one, two) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differences(
                    &format!("{at}/{key}"),
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}/{n}"), a, b, out);
            }
        }
        _ if one == two => {}
        _ => out.push(format!("{at}: {one} -> {two}")),
    }
}

fn sorted_mounts(raw: &mut Value) {
    if let Some(mounts) = raw["Mounts"].as_array_mut() {
        mounts.sort_by_key(|mount| mount["Destination"].as_str().unwrap_or_default().to_owned());
    }
}

fn differ(one: &Value, two: &Value, expected: &[&str]) -> Vec<String> {
    let (mut one, mut two) = (one.clone(), two.clone());
    sorted_mounts(&mut one);
    sorted_mounts(&mut two);
    let mut out = Vec::new();
    differences("", &one, &two, &mut out);
    out.retain(|difference| !expected.iter().any(|path| difference.starts_with(path)));
    out
}

fn carry_out(engine: &DockerEngine, plan: &ContainerPlan) -> String {
    let id = engine.create_container(&plan.name, &plan.body).unwrap();
    for attachment in &plan.connect {
        engine
            .connect_network(&attachment.network, &id, &attachment.endpoint)
            .unwrap();
    }
    for network in &plan.disconnect {
        engine.disconnect_network(network, &id, false).unwrap();
    }
    id
}

/// Aliases without the one that the engine makes of the id.
fn aliases(raw: &Value, network: &str) -> std::collections::BTreeSet<String> {
    let short_id = &raw["Id"].as_str().unwrap()[..12];
    let list = raw["NetworkSettings"]["Networks"][network]["Aliases"]
        .as_array()
        .unwrap();
    list.iter()
        .filter_map(Value::as_str)
        .filter(|alias| *alias != short_id)
        .map(str::to_owned)
        .collect()
}

/// Remove, make again, compare.
fn again(engine: &DockerEngine, id: &str, mapping: &Mapping, expected: &[&str]) -> (Value, Value) {
    let before = engine.inspect_container(id).unwrap();
    engine.remove_container(id, true, false).unwrap();
    let plan = container_create_body(&before, mapping).unwrap();
    let new = carry_out(engine, &plan);
    if before["State"]["Running"] == true {
        engine.start(&new).unwrap();
    }
    let after = engine.inspect_container(&new).unwrap();
    let differences = differ(&before, &after, expected);
    assert!(
        differences.is_empty(),
        "{}:\n{}",
        plan.name,
        differences.join("\n")
    );
    (before, after)
}

fn network(engine: &DockerEngine, name: &str, subnet: &str) -> Value {
    let body = json!({
        "Name": name, "Driver": "bridge", "Labels": {"of": "test"}, "Options": {"com.docker.network.bridge.enable_icc": "true"},
        "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet}]},
    });
    let id = engine.create_network(&body).unwrap();
    engine.inspect_network(&id).unwrap()
}

#[test]
fn a_container_with_every_option_comes_back_the_same() {
    let private = start("faithful");
    lifeboat_testkit::images::busybox()
        .unwrap()
        .load(&private)
        .unwrap();
    let engine = connect(&private);
    let exact = Mapping::exact(engine.api());
    let (front, back) = (
        network(&engine, "front", "10.77.1.0/24"),
        network(&engine, "back", "10.77.2.0/24"),
    );
    engine
        .create_volume(&json!({"Name": "data", "Labels": {"keep": "me"}, "DriverOpts": {}}))
        .unwrap();
    let host_dir = tempfile::tempdir().unwrap();
    let body = json!({
        "Image": BUSYBOX, "Hostname": "chosen", "Domainname": "example.org", "User": "33:33", "WorkingDir": "/tmp",
        "Entrypoint": ["sh", "-c"], "Cmd": ["sleep 600"], "Env": ["SECRET=x y", "EMPTY="], "MacAddress": "02:42:0a:4d:01:63",
        "Labels": {"com.docker.compose.project": "p", "com.docker.compose.config-hash": "h", "unicode": "é\n"},
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/anonymous": {}}, "StopSignal": "SIGINT", "StopTimeout": 7, "OpenStdin": true,
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000_i64, "Retries": 2},
        "HostConfig": {
            "NetworkMode": "front", "Binds": ["data:/data:ro", "/bare", format!("{}:/host", host_dir.path().display())],
            "Mounts": [{"Type": "volume", "Target": "/unnamed", "VolumeOptions": {"Labels": {"v": "1"}}}, {"Type": "tmpfs", "Target": "/t2", "TmpfsOptions": {"SizeBytes": 65536}}],
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"],
            "Dns": ["10.0.0.1"], "DnsSearch": ["example.org"], "ExtraHosts": ["other:10.1.2.3"], "GroupAdd": ["44"], "Init": true,
            "Memory": 67_108_864, "NanoCpus": 500_000_000, "PidsLimit": 50, "ShmSize": 1_048_576, "ReadonlyRootfs": true,
            "Tmpfs": {"/run": "size=1m"}, "Ulimits": [{"Name": "nofile", "Soft": 1000, "Hard": 2000}], "OomScoreAdj": 500,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/other", "CgroupPermissions": "rw"}],
            "SecurityOpt": ["no-new-privileges"], "IpcMode": "shareable",
        },
        "NetworkingConfig": {"EndpointsConfig": {"front": {"IPAMConfig": {"IPv4Address": "10.77.1.99"}, "Aliases": ["web", "www"]}}},
    });
    let id = engine.create_container("everything", &body).unwrap();
    engine
        .connect_network(
            "back",
            &id,
            &json!({"Aliases": ["inner"], "IPAMConfig": {"IPv4Address": "10.77.2.50"}}),
        )
        .unwrap();
    engine.start(&id).unwrap();
    let volume = engine.inspect_volume("data").unwrap();
    let raw = engine.inspect_container(&id).unwrap();
    assert!(has_fixed_address(&raw));
    let anonymous: Vec<_> = raw["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["Name"].as_str())
        .collect();
    assert_eq!(anonymous.len(), 4);

    // What has to differ is where anonymous volumes are pinned (the engine shows a named volume's mode
    // as "z", an anonymous one's as ""), and how the endpoints are called now.
    let expected = [
        "/HostConfig/Binds/1",
        "/HostConfig/Mounts",
        "/Mounts/0/Mode",
        "/Mounts/1/Mode",
        "/NetworkSettings/Networks/front/EndpointID",
        "/NetworkSettings/Networks/back/EndpointID",
        "/NetworkSettings/Networks/back/MacAddress",
        "/NetworkSettings/Networks/front/Aliases",
        "/NetworkSettings/Networks/back/Aliases",
    ];
    let (before, after) = again(&engine, &id, &exact, &expected);
    assert_eq!(
        after["NetworkSettings"]["Networks"]["front"]["MacAddress"],
        "02:42:0a:4d:01:63"
    );
    assert_eq!(
        before["Config"]["MacAddress"],
        after["Config"]["MacAddress"]
    );
    let new_id = after["Id"].as_str().unwrap();
    for network in ["front", "back"] {
        assert_eq!(aliases(&before, network), aliases(&after, network));
    }
    assert!(aliases(&after, "front").is_superset(&["web".to_owned(), "www".to_owned()].into()));
    // A second time nothing at all is new: what was pinned stays as it is.
    let mounts = after["HostConfig"]["Mounts"].clone();
    let (_, third) = again(&engine, new_id, &exact, &expected[4..]);
    assert_eq!(third["HostConfig"]["Mounts"], mounts);

    // Networks and volumes themselves.
    engine.remove_container("everything", true, false).unwrap();
    for before in [&front, &back] {
        let name = before["Name"].as_str().unwrap();
        engine.remove_network(name).unwrap();
        let id = engine
            .create_network(&network_create_body(before, &exact).unwrap())
            .unwrap();
        assert_eq!(
            differ(
                before,
                &engine.inspect_network(&id).unwrap(),
                &["/Id", "/Created"]
            ),
            Vec::<String>::new()
        );
    }
    engine.remove_volume("data").unwrap();
    engine
        .create_volume(&volume_create_body(&volume, &exact).unwrap())
        .unwrap();
    assert_eq!(
        differ(
            &volume,
            &engine.inspect_volume("data").unwrap(),
            &["/CreatedAt"]
        ),
        Vec::<String>::new()
    );
    private.destroy().unwrap();
}

#[test]
fn plain_ones_and_those_that_lean_on_others() {
    let private = start("leaning");
    lifeboat_testkit::images::busybox()
        .unwrap()
        .load(&private)
        .unwrap();
    let engine = connect(&private);
    let mut mapping = Mapping::exact(engine.api());
    mapping.source_hostname = Some(engine.facts().unwrap().hostname);
    let run = |name: &str, extra: Value| {
        let mut body = json!({"Image": BUSYBOX, "Cmd": ["sleep", "600"]});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let id = engine.create_container(name, &body).unwrap();
        engine.start(&id).unwrap();
        id
    };
    let addresses = [
        "/NetworkSettings/IPAddress",
        "/NetworkSettings/Networks/bridge",
        "/Config/Hostname",
    ];

    // On the default bridge: engine-made host name, MAC and address are not replayed.
    let base = run("base", json!({"Volumes": {"/shared": {}}}));
    let (before, after) = again(
        &engine,
        &base,
        &mapping,
        &[
            addresses.as_slice(),
            &["/HostConfig/Mounts", "/Mounts/0/Mode"],
        ]
        .concat(),
    );
    assert_eq!(
        after["Config"]["Hostname"],
        after["Id"].as_str().unwrap()[..12]
    );
    assert_eq!(before["Mounts"][0]["Name"], after["Mounts"][0]["Name"]);
    let base = after["Id"].as_str().unwrap().to_owned();

    let leaning = [
        run("linked", json!({"HostConfig": {"Links": ["base:db"]}})),
        run(
            "inherits",
            json!({"HostConfig": {"VolumesFrom": [format!("{}:ro", &base[..12])]}}),
        ),
        run(
            "inside",
            json!({"ExposedPorts": {}, "HostConfig": {"NetworkMode": format!("container:{base}"), "PidMode": format!("container:{base}")}}),
        ),
        run("hosts", json!({"HostConfig": {"NetworkMode": "host"}})),
        run("none", json!({"HostConfig": {"NetworkMode": "none"}})),
    ];
    let mut raws: Vec<Value> = leaning
        .iter()
        .map(|id| engine.inspect_container(id).unwrap())
        .collect();
    // As an image with EXPOSE shows it: merged in, and refused when given back.
    raws[2]["Config"]["ExposedPorts"] = json!({"80/tcp": {}});
    let base_raw = engine.inspect_container(&base).unwrap();
    for id in leaning.iter().chain([&base]) {
        engine.remove_container(id, true, false).unwrap();
    }
    let new_base = carry_out(
        &engine,
        &container_create_body(&base_raw, &mapping).unwrap(),
    );
    engine.start(&new_base).unwrap();
    mapping.containers.insert(base.clone(), new_base.clone());
    for raw in &raws {
        let plan = container_create_body(raw, &mapping).unwrap();
        let id = carry_out(&engine, &plan);
        engine.start(&id).unwrap();
        let after = engine.inspect_container(&id).unwrap();
        let ids = [
            "/HostConfig/NetworkMode",
            "/HostConfig/PidMode",
            "/HostConfig/VolumesFrom",
            "/Config/ExposedPorts",
            "/NetworkSettings/Networks/none",
            "/NetworkSettings/Networks/host",
        ];
        let found = differ(raw, &after, &[addresses.as_slice(), &ids].concat());
        assert!(found.is_empty(), "{}:\n{}", plan.name, found.join("\n"));
    }
    let new = |name: &str| engine.inspect_container(name).unwrap();
    assert_eq!(
        new("inside")["HostConfig"]["NetworkMode"],
        format!("container:{new_base}")
    );
    assert_eq!(
        new("inherits")["HostConfig"]["VolumesFrom"][0],
        format!("{new_base}:ro")
    );
    assert_eq!(
        new("inherits")["Mounts"][0]["Name"],
        base_raw["Mounts"][0]["Name"]
    );
    assert_eq!(
        new("hosts")["Config"]["Hostname"],
        mapping.source_hostname.clone().unwrap()
    );
    private.destroy().unwrap();
}

#[test]
fn a_container_that_left_its_first_network_stays_away_from_it() {
    let private = start("left");
    lifeboat_testkit::images::busybox()
        .unwrap()
        .load(&private)
        .unwrap();
    let engine = connect(&private);
    network(&engine, "first", "10.78.1.0/24");
    network(&engine, "second", "10.78.2.0/24");
    let id = engine
        .create_container(
            "moved",
            &json!({"Image": BUSYBOX, "HostConfig": {"NetworkMode": "first"}}),
        )
        .unwrap();
    engine.connect_network("second", &id, &json!({})).unwrap();
    engine.disconnect_network("first", &id, false).unwrap();
    let (_, after) = again(
        &engine,
        &id,
        &Mapping::exact(engine.api()),
        &[
            "/Config/Hostname",
            "/NetworkSettings/Networks/second/Aliases",
        ],
    );
    let names: Vec<&String> = after["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(names, ["second"]);
    private.destroy().unwrap();
}
