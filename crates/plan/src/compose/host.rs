//! A service's place on the host: limits, rights, namespaces, logging.

use serde_json::{Map, Value, json};

use super::{File, put, strings, text};

/// The engine's own size of `/dev/shm`.
const SHM: u64 = 64 << 20;

/// Lists that are the same in both, name for name.
const LISTS: &[(&str, &str)] = &[
    ("CapAdd", "cap_add"),
    ("CapDrop", "cap_drop"),
    ("Dns", "dns"),
    ("DnsOptions", "dns_opt"),
    ("DnsSearch", "dns_search"),
    ("ExtraHosts", "extra_hosts"),
    ("GroupAdd", "group_add"),
    ("SecurityOpt", "security_opt"),
    ("DeviceCgroupRules", "device_cgroup_rules"),
];

/// Numbers for which 0 says nothing.
const NUMBERS: &[(&str, &str)] = &[
    ("Memory", "mem_limit"),
    ("MemoryReservation", "mem_reservation"),
    ("CpuShares", "cpu_shares"),
    ("CpuQuota", "cpu_quota"),
    ("CpuPeriod", "cpu_period"),
    ("CpuRealtimePeriod", "cpu_rt_period"),
    ("CpuRealtimeRuntime", "cpu_rt_runtime"),
    ("PidsLimit", "pids_limit"),
    ("OomScoreAdj", "oom_score_adj"),
];

const FLAGS: &[(&str, &str)] = &[
    ("Privileged", "privileged"),
    ("ReadonlyRootfs", "read_only"),
    ("Init", "init"),
    ("OomKillDisable", "oom_kill_disable"),
];

const TEXTS: &[(&str, &str)] = &[
    ("CgroupParent", "cgroup_parent"),
    ("CpusetCpus", "cpuset"),
    ("UsernsMode", "userns_mode"),
    ("Isolation", "isolation"),
];

impl File<'_> {
    pub(super) fn host(&mut self, service: &str, raw: &Value, out: &mut Map<String, Value>) {
        let host = &raw["HostConfig"];
        put(out, "restart", restart(&host["RestartPolicy"]));
        for (key, name) in FLAGS {
            if host[*key] == true {
                put(out, name, true);
            }
        }
        for (key, name) in LISTS {
            put(out, name, strings(&host[*key]));
        }
        for (key, name) in TEXTS {
            put(out, name, text(host, key).unwrap_or_default());
        }
        for (key, name) in NUMBERS {
            if let Some(number) = host[*key].as_i64().filter(|n| *n != 0) {
                put(out, name, number);
            }
        }
        limits(host, out);
        self.namespaces(host, out);
        self.logging(host, out);
        put(out, "devices", devices(host));
        put(out, "sysctls", host["Sysctls"].clone());
        put(out, "storage_opt", host["StorageOpt"].clone());
        put(out, "ulimits", ulimits(host));
        put(out, "deploy", requested_devices(host));
        if host["AutoRemove"] == true {
            self.notes.push(format!(
                "{service} was removed by the engine when it ended (--rm), which a compose file cannot say"
            ));
        }
        if host["PublishAllPorts"] == true {
            self.notes.push(format!(
                "{service} had all its ports published on ports that the engine chose (-P), which a compose file cannot say"
            ));
        }
    }

    fn namespaces(&self, host: &Value, out: &mut Map<String, Value>) {
        for (key, name) in [("IpcMode", "ipc"), ("PidMode", "pid"), ("UTSMode", "uts")] {
            let mode = text(host, key).filter(|mode| *mode != "private");
            let Some(mode) = mode else { continue };
            let other = mode.strip_prefix("container:");
            let mode = match other.and_then(|other| self.service_of(other)) {
                Some(service) => format!("service:{service}"),
                None => mode.to_owned(),
            };
            put(out, name, mode);
        }
        // What the engine takes by itself depends on the kernel's cgroups.
        let usual = match self.facts.engine["CgroupVersion"].as_str() {
            Some("2") => "private",
            _ => "host",
        };
        let mode = text(host, "CgroupnsMode").filter(|mode| *mode != usual);
        put(out, "cgroup", mode.unwrap_or_default());
        let runtime = text(host, "Runtime");
        let usual = self.facts.engine["DefaultRuntime"].as_str();
        let other = runtime.filter(|r| *r != usual.unwrap_or("runc"));
        put(out, "runtime", other.unwrap_or_default());
    }

    fn logging(&self, host: &Value, out: &mut Map<String, Value>) {
        let log = &host["LogConfig"];
        let usual = self.facts.engine["LoggingDriver"].as_str();
        let driver = text(log, "Type").unwrap_or_default();
        let has_options = log["Config"].as_object().is_some_and(|c| !c.is_empty());
        if has_options || (!driver.is_empty() && driver != usual.unwrap_or("json-file")) {
            let mut logging = Map::new();
            put(&mut logging, "driver", driver);
            put(&mut logging, "options", log["Config"].clone());
            put(out, "logging", logging);
        }
    }
}

fn restart(policy: &Value) -> String {
    match (text(policy, "Name"), policy["MaximumRetryCount"].as_u64()) {
        (Some("no") | None, _) => String::new(),
        (Some("on-failure"), Some(times)) if times > 0 => format!("on-failure:{times}"),
        (Some(name), _) => name.to_owned(),
    }
}

fn limits(host: &Value, out: &mut Map<String, Value>) {
    let memory = host["Memory"].as_i64().unwrap_or(0);
    // Twice the memory is what the engine makes of a limit by itself.
    let swap = host["MemorySwap"].as_i64().unwrap_or(0);
    if swap != 0 && swap != memory * 2 {
        put(out, "memswap_limit", swap);
    }
    if let Some(swappiness) = host["MemorySwappiness"].as_i64().filter(|n| *n >= 0) {
        put(out, "mem_swappiness", swappiness);
    }
    if let Some(nanos) = host["NanoCpus"].as_u64().filter(|n| *n > 0) {
        put(out, "cpus", json!(nanos as f64 / 1e9));
    }
    if let Some(size) = host["ShmSize"].as_u64().filter(|n| *n != SHM && *n > 0) {
        put(out, "shm_size", size);
    }
    if let Some(weight) = host["BlkioWeight"].as_u64().filter(|n| *n > 0) {
        put(out, "blkio_config", json!({"weight": weight}));
    }
}

fn devices(host: &Value) -> Vec<String> {
    let all = host["Devices"].as_array().into_iter().flatten();
    all.filter_map(|device| {
        let on_host = text(device, "PathOnHost")?;
        let inside = text(device, "PathInContainer").unwrap_or(on_host);
        let rights = text(device, "CgroupPermissions").unwrap_or("rwm");
        Some(format!("{on_host}:{inside}:{rights}"))
    })
    .collect()
}

fn ulimits(host: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    for limit in host["Ulimits"].as_array().into_iter().flatten() {
        if let Some(name) = text(limit, "Name") {
            let value = json!({"soft": limit["Soft"], "hard": limit["Hard"]});
            out.insert(name.to_owned(), value);
        }
    }
    out
}

/// Graphics processors and the like.
fn requested_devices(host: &Value) -> Value {
    let mut wanted = Vec::new();
    for request in host["DeviceRequests"].as_array().into_iter().flatten() {
        let mut out = Map::new();
        put(
            &mut out,
            "driver",
            text(request, "Driver").unwrap_or_default(),
        );
        let ids = strings(&request["DeviceIDs"]);
        if ids.is_empty() {
            let count = match request["Count"].as_i64() {
                Some(-1) | None => json!("all"),
                Some(count) => json!(count),
            };
            put(&mut out, "count", count);
        }
        put(&mut out, "device_ids", ids);
        let groups = request["Capabilities"].as_array().into_iter().flatten();
        let capabilities: Vec<String> = groups.flat_map(strings).collect();
        put(&mut out, "capabilities", capabilities);
        put(&mut out, "options", request["Options"].clone());
        wanted.push(Value::Object(out));
    }
    if wanted.is_empty() {
        return Value::Null;
    }
    json!({"resources": {"reservations": {"devices": wanted}}})
}
