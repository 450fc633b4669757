//! What the app is made of, as the engine's API takes it. Together the containers use what a
//! recovery has to bring back, each thing at least once.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    ARCHIVE, ATTIC, CACHE, DB, MIGRATE, PROJECT, SECRET, SampleApp, WEB, WEB_PORT, WORKER,
};
use crate::Result;
use crate::api::Client;
use crate::images::Image;

/// The network with a fixed subnet and addresses.
pub(super) const BACKEND: &str = "shop_backend";
/// The network whose subnet the engine chose.
pub(super) const FRONTEND: &str = "shop_frontend";
/// A file in the worker's writable layer, as Compose puts inline configs there: in no volume.
pub(super) const WORKER_FILE: &str = "/etc/shop/worker.conf";

const SECOND: u64 = 1_000_000_000;

pub(super) fn volumes() -> Vec<Value> {
    let claimed = |name: &str| {
        json!({"Name": format!("{PROJECT}_{name}"), "Driver": "local", "Labels": {
            "com.docker.compose.project": PROJECT,
            "com.docker.compose.volume": name,
            "com.docker.compose.version": "2.40.3",
        }})
    };
    let archive = ARCHIVE.trim_start_matches("shop_");
    let attic = json!({"Name": ATTIC, "Labels": {"keep": "please"}});
    vec![claimed("pgdata"), claimed("redis"), claimed(archive), attic]
}

pub(super) fn networks() -> [Value; 2] {
    let labels = |name: &str| {
        json!({
            "com.docker.compose.project": PROJECT,
            "com.docker.compose.network": name,
            "com.docker.compose.version": "2.40.3",
        })
    };
    [
        json!({"Name": BACKEND, "Driver": "bridge", "CheckDuplicate": true, "Labels": labels("backend"),
            "Attachable": true, "Options": {"com.docker.network.driver.mtu": "1400"},
            "IPAM": {"Driver": "default", "Config": [{
                "Subnet": "172.28.5.0/24", "Gateway": "172.28.5.1", "IPRange": "172.28.5.128/25"}]}}),
        json!({"Name": FRONTEND, "Driver": "bridge", "CheckDuplicate": true, "Labels": labels("frontend")}),
    ]
}

/// The file that the labels name. What the containers are is said in this module; this one is what a
/// person would want back.
pub(super) fn compose_file(services: &Image, busybox: &Image) -> String {
    let (services, busybox) = (services.reference(), busybox.reference());
    format!(
        "name: {PROJECT}\nservices:\n  db:\n    image: {services}\n  cache:\n    image: {services}\n  worker:\n    image: {services}\n  web:\n    image: {busybox}\n"
    )
}

/// Puts [`WORKER_FILE`] into the worker's writable layer.
pub(super) fn put_worker_file(api: &Client) -> Result<()> {
    let text = "colour = blue\n";
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o440);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(1_700_000_123);
    header.set_size(text.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    let name = WORKER_FILE.trim_start_matches('/');
    tar.append_data(&mut header, name, text.as_bytes())?;
    let tar = tar.into_inner()?;
    let path = format!("/containers/{WORKER}/archive?path=/");
    let length = tar.len() as u64;
    api.upload("PUT", &path, &mut tar.as_slice(), length)
        .map(drop)
}

impl SampleApp {
    /// The containers, in the order in which they are started.
    pub(super) fn definitions(&self) -> Vec<(&'static str, Value)> {
        vec![
            (DB, self.labelled("db", "", self.db())),
            (CACHE, self.labelled("cache", "", self.cache())),
            (MIGRATE, self.labelled("migrate", "db:service_healthy:false", self.migrate())),
            (WORKER, self.labelled(
                "worker",
                "db:service_healthy:false,cache:service_started:true,migrate:service_completed_successfully:false",
                self.worker(),
            )),
            (WEB, self.labelled("web", "worker:service_started:false", self.web())),
        ]
    }

    fn db(&self) -> Value {
        json!({
            "Image": self.services.reference(),
            "Hostname": "database",
            "User": "postgres",
            "Entrypoint": ["/usr/local/bin/shop-postgres"],
            "Cmd": ["-c", "max_connections=50"],
            "Env": [format!("POSTGRES_PASSWORD={SECRET}")],
            "ExposedPorts": {"5432/tcp": {}},
            "StopSignal": "SIGINT",
            "StopTimeout": 20,
            "Healthcheck": {
                "Test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"],
                "Interval": SECOND, "Timeout": 5 * SECOND, "Retries": 60, "StartPeriod": SECOND,
            },
            "HostConfig": {
                "Mounts": [{"Type": "volume", "Source": "shop_pgdata", "Target": "/var/lib/postgresql/data"}],
                "RestartPolicy": {"Name": "always"},
                "ShmSize": 134_217_728,
                // Below the hard limit of the machine: it cannot be raised everywhere.
                "Ulimits": [{"Name": "nofile", "Soft": 4096, "Hard": 8192}],
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
                "Memory": 1_073_741_824, "CpuShares": 512, "PidsLimit": 200,
                "NetworkMode": BACKEND,
            },
            "NetworkingConfig": {"EndpointsConfig": {BACKEND: {
                "IPAMConfig": {"IPv4Address": "172.28.5.10"},
                "Aliases": ["db", "shop-db-1", "postgres"],
            }}},
        })
    }

    fn cache(&self) -> Value {
        json!({
            "Image": self.services.reference(),
            "User": "redis",
            "Cmd": ["redis-server", "--dir", "/var/lib/redis", "--appendonly", "yes", "--save", "",
                "--protected-mode", "no", "--bind", "0.0.0.0"],
            "HostConfig": {
                "Binds": ["shop_redis:/var/lib/redis:rw"],
                "ReadonlyRootfs": true,
                "Tmpfs": {"/tmp": "rw,noexec,nosuid,size=16m"},
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Sysctls": {"net.core.somaxconn": "512"},
                "RestartPolicy": {"Name": "always"},
                "NetworkMode": BACKEND,
            },
            "NetworkingConfig": {"EndpointsConfig": {BACKEND: {"Aliases": ["cache", "shop-cache-1", "redis"]}}},
        })
    }

    fn migrate(&self) -> Value {
        json!({
            "Image": self.busybox.reference(),
            "Cmd": ["sh", "-c", "echo migrated"],
            "HostConfig": {"NetworkMode": BACKEND, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5}},
            "NetworkingConfig": {"EndpointsConfig": {BACKEND: {"Aliases": ["migrate", "shop-migrate-1"]}}},
        })
    }

    fn worker(&self) -> Value {
        json!({
            "Image": self.services.reference(),
            "Entrypoint": ["shop-worker"],
            "WorkingDir": "/work",
            "Env": [format!("POSTGRES_PASSWORD={SECRET}"), "PGHOST=postgres", "EMPTY=", "TEXT=a b=\"c\" $d ü"],
            "Volumes": {"/scratch": {}},
            "HostConfig": {
                "Binds": [format!("{}:/acked:rw", self.dir.join("acked").display())],
                "Init": true,
                "CapAdd": ["SYS_NICE"],
                "CapDrop": ["MKNOD", "NET_RAW"],
                "GroupAdd": ["1234"],
                "OomScoreAdj": 100,
                "RestartPolicy": {"Name": "unless-stopped"},
                "NetworkMode": BACKEND,
            },
            "NetworkingConfig": {"EndpointsConfig": {BACKEND: {"Aliases": ["worker", "shop-worker-1"]}}},
        })
    }

    fn web(&self) -> Value {
        json!({
            "Image": self.busybox.reference(),
            "Domainname": "shop.example",
            "User": "33:33",
            "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"],
            "ExposedPorts": {"8080/tcp": {}, "8443/tcp": {}, "9/udp": {}},
            "HostConfig": {
                "Mounts": [{"Type": "bind", "Source": self.dir.join("web"), "Target": "/www", "ReadOnly": true,
                    "BindOptions": {"Propagation": "rprivate"}}],
                "Init": true,
                "PortBindings": {
                    "8080/tcp": [{"HostIp": "", "HostPort": WEB_PORT.to_string()}],
                    "8443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18443"}],
                },
                "Dns": ["172.28.5.53"], "DnsOptions": ["ndots:1"], "DnsSearch": ["shop.example"],
                "ExtraHosts": ["gateway.example:172.28.5.1"],
                "RestartPolicy": {"Name": "always"},
                "NetworkMode": FRONTEND,
            },
            "NetworkingConfig": {"EndpointsConfig": {FRONTEND: {"Aliases": ["web", "shop-web-1"]}}},
        })
    }

    /// Adds the labels that Docker Compose would give this service, and one of the user's own.
    fn labelled(&self, service: &str, depends_on: &str, mut definition: Value) -> Value {
        let hash = hex::encode(Sha256::digest(definition.to_string()));
        let small = definition["Image"] == self.busybox.reference();
        let image = if small { &self.busybox } else { &self.services };
        let project = self.dir.join("project");
        let project_file = project.join("compose.yaml");
        let pairs = [
            ("project", PROJECT.to_owned()),
            ("service", service.to_owned()),
            ("container-number", "1".to_owned()),
            ("oneoff", "False".to_owned()),
            ("config-hash", hash),
            ("depends_on", depends_on.to_owned()),
            ("image", image.id.clone()),
            ("version", "2.40.3".to_owned()),
            ("project.working_dir", project.display().to_string()),
            ("project.config_files", project_file.display().to_string()),
        ];
        let compose = |(key, value)| (format!("com.docker.compose.{key}"), Value::String(value));
        let mut labels: Map<String, Value> = pairs.into_iter().map(compose).collect();
        labels.insert("example.owner".to_owned(), json!(format!("team {service}")));
        definition["Labels"] = Value::Object(labels);
        definition
    }
}
