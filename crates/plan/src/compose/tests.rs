//! What a file says, whole. That Compose takes it is shown in the lab.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn manifest() -> Manifest {
    let hex = |digit: &str| digit.repeat(64);
    let volume = |name: &str, anonymous: bool, shared: bool| json!({"name": name, "driver": "local", "content": "data", "files": 3, "anonymous": anonymous, "shared": shared});
    let container = |name: &str, id: &str, image: &str| json!({"id": hex(id), "name": name, "state": "running", "image_id": format!("sha256:{}", hex("a")), "image_ref": image});
    let raw = json!({
        "schema": 1,
        "versions": {"lifeboat": "0.1.0"},
        "identity": {"site": "default", "host": "web1", "app": "shop"},
        "kind": "labelled",
        "engine": {"kind": "docker", "version": "20.10.24", "api_version": "1.41", "architecture": "amd64", "os": "linux"},
        "consistency": {"level": "crash", "provider": "precopy", "stall_ns": 1,
            "began": "2026-11-03T10:00:00Z", "ended": "2026-11-03T10:00:09Z"},
        "containers": [container("web", "1", "nginx:1.27"), container("vpn", "2", &format!("sha256:{}", hex("a")))],
        "volumes": [volume("webdata", false, false), volume("others", false, true), volume(&hex("f"), true, false)],
        "networks": [{"id": hex("9"), "name": "front", "driver": "bridge"}],
        "images": [{"id": format!("sha256:{}", hex("a")), "config_digest": format!("sha256:{}", hex("a")), "tags": ["vpn:1"]}],
        "layers": [{"container": "web", "captured": ["/etc/greeting"], "bytes": 3}],
    });
    Manifest::from_json(raw.to_string().as_bytes()).unwrap()
}

fn objects(all: Value) -> BTreeMap<String, Value> {
    let all = all.as_object().unwrap().clone();
    all.into_iter().collect()
}

fn containers() -> BTreeMap<String, Value> {
    objects(json!({
        "web": {
            "Id": "1".repeat(64), "Name": "/web", "Image": format!("sha256:{}", "a".repeat(64)),
            "Config": {
                "Hostname": "111111111111", "User": "33:33", "WorkingDir": "/",
                "Env": ["PATH=/bin", "PASSWORD=a$b", "EMPTY="],
                "Cmd": ["httpd", "-f"], "Entrypoint": null, "StopTimeout": 20,
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_500_000_000_u64, "Retries": 3},
                "Labels": {"maintainer": "them", "traefik.enable": "true", "com.docker.compose.x": "y"},
                "ExposedPorts": {"80/tcp": {}, "9/udp": {}}, "Volumes": {"/cache": {}, "/scratch": {}},
            },
            "HostConfig": {
                "Binds": ["webdata:/data:rw", "/srv/www:/www:ro", "others:/others"],
                "Mounts": [{"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": 1048576}}],
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "8080"}]},
                "NetworkMode": "front", "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
                "Memory": 1_073_741_824, "MemorySwap": 2_147_483_648_u64, "NanoCpus": 1_500_000_000, "ShmSize": 67_108_864,
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "LogConfig": {"Type": "json-file", "Config": {}},
                "AutoRemove": true,
            },
            "NetworkSettings": {"Networks": {"front": {"Aliases": ["www", "111111111111"], "IPAMConfig": null}}},
            "Mounts": [{"Type": "volume", "Name": "f".repeat(64), "Destination": "/scratch"}],
        },
        "vpn": {
            "Id": "2".repeat(64), "Name": "/vpn", "Image": format!("sha256:{}", "a".repeat(64)),
            "Config": {"Cmd": ["sh"], "Entrypoint": ["/entry"], "Healthcheck": {"Test": ["NONE"]}},
            "HostConfig": {"NetworkMode": format!("container:{}", "1".repeat(64)), "CapAdd": ["NET_ADMIN"],
                "Devices": [{"PathOnHost": "/dev/net/tun", "PathInContainer": "/dev/net/tun", "CgroupPermissions": "rwm"}]},
            "NetworkSettings": {"Networks": {}},
        },
    }))
}

#[test]
fn what_was_asked_for_is_in_the_file_and_what_the_image_or_engine_says_is_not() {
    let manifest = manifest();
    let networks = objects(
        json!({"front": {"Name": "front", "Driver": "bridge", "Internal": true,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1"}]}, "Labels": {}}}),
    );
    let volumes = objects(
        json!({"webdata": {"Name": "webdata", "Driver": "local", "Options": {"type": "tmpfs"}, "Labels": {"keep": "1"}}}),
    );
    let id = format!("sha256:{}", "a".repeat(64));
    let images = objects(
        json!({id: {"Config": {"Env": ["PATH=/bin"], "WorkingDir": "/", "Cmd": ["sh"],
        "Labels": {"maintainer": "them"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/cache": {}}}}}),
    );
    let file = from_inspect(Facts {
        manifest: &manifest,
        engine: &Value::Null,
        containers: &containers(),
        networks: &networks,
        volumes: &volumes,
        images: &images,
    });
    let wanted = r#"name: shop
services:
  vpn:
    image: vpn:1
    container_name: vpn
    entrypoint:
      - /entry
    command:
      - sh
    healthcheck:
      disable: true
    network_mode: service:web
    cap_add:
      - NET_ADMIN
    devices:
      - /dev/net/tun:/dev/net/tun:rwm
  web:
    image: nginx:1.27
    container_name: web
    command:
      - httpd
      - "-f"
    environment:
      PASSWORD: "a$$b"
      EMPTY: ""
    user: "33:33"
    stop_grace_period: "20s"
    healthcheck:
      test:
        - CMD
        - "true"
      interval: "1500ms"
      retries: 3
    expose:
      - "9/udp"
    ports:
      - "127.0.0.1:8080:80"
      - "[::1]:8080:80"
    networks:
      front:
        aliases:
          - www
    volumes:
      - webdata:/data
      - /srv/www:/www:ro
      - others:/others
      - type: tmpfs
        target: /run
        tmpfs:
          size: 1048576
      - /scratch
    restart: on-failure:5
    mem_limit: 1073741824
    cpus: 1.5
    ulimits:
      nofile:
        soft: 1
        hard: 2
    labels:
      traefik.enable: "true"
networks:
  front:
    name: front
    internal: true
volumes:
  others:
    name: others
    external: true
  webdata:
    name: webdata
    driver_opts:
      type: tmpfs
    labels:
      keep: "1"
"#;
    assert_eq!(file.text, wanted);
    let notes = file.notes.join("\n");
    for words in [
        "web was removed by the engine",
        "anonymous volume at /scratch",
        "/etc/greeting",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
}

#[test]
fn a_project_keeps_composes_own_names() {
    let mut raw = containers().remove("web").unwrap();
    raw["Config"]["Labels"] = json!({
        "com.docker.compose.project": "shop", "com.docker.compose.service": "front",
        "com.docker.compose.container-number": "2", "com.docker.compose.depends_on": "gone:service_started:false",
    });
    let mut first = raw.clone();
    first["Config"]["Labels"]["com.docker.compose.container-number"] = json!("1");
    let containers = BTreeMap::from([
        ("shop-front-2".to_owned(), raw),
        ("shop-front-1".to_owned(), first),
    ]);
    let volumes = objects(
        json!({"webdata": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.volume": "data"}}}),
    );
    let (manifest, none) = (manifest(), BTreeMap::new());
    let file = from_inspect(Facts {
        manifest: &manifest,
        engine: &Value::Null,
        containers: &containers,
        networks: &none,
        volumes: &volumes,
        images: &none,
    });
    for words in [
        "  front:\n",
        "    scale: 2\n",
        "      - data:/data\n",
        "  data:\n    name: webdata\n",
        "  front:\n    name: front\n    external: true\n",
    ] {
        assert!(file.text.contains(words), "{words}: {}", file.text);
    }
    assert!(
        !file.text.contains("container_name") && !file.text.contains("depends_on"),
        "{}",
        file.text
    );
}

#[test]
fn a_name_that_compose_would_refuse_is_made_one_that_it_takes() {
    for (app, project) in [
        ("Shop.Web", "shop-web"),
        ("_x", "x"),
        ("volume:db", "volume-db"),
        ("--", "app"),
    ] {
        assert_eq!(project_name(app), project);
    }
}

#[test]
fn a_subnet_that_the_engine_took_is_left_out_and_a_chosen_one_is_kept() {
    let mut raw = json!({"Name": "front", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "10.152.3.0/24"}]}});
    let manifest = manifest();
    let none = BTreeMap::new();
    let text = |raw: &Value, pools: Value| {
        let networks = BTreeMap::from([("front".to_owned(), raw.clone())]);
        let file = from_inspect(Facts {
            manifest: &manifest,
            engine: &json!({"DefaultAddressPools": pools}),
            containers: &containers(),
            networks: &networks,
            volumes: &none,
            images: &none,
        });
        file.text
    };
    let pools = json!([{"Base": "10.152.0.0/16", "Size": 24}]);
    assert!(!text(&raw, pools.clone()).contains("subnet"));
    assert!(text(&raw, Value::Null).contains("10.152.3.0/24"));
    raw["IPAM"]["Config"][0]["Subnet"] = json!("10.152.0.0/16");
    assert!(text(&raw, pools).contains("10.152.0.0/16"));
    raw["IPAM"]["Config"][0]["Subnet"] = json!("192.168.48.0/20");
    assert!(!text(&raw, Value::Null).contains("subnet"));
}
