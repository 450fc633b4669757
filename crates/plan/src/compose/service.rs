//! One service: what its container was configured with, less what the image says.

use serde_json::{Map, Value, json};

use super::{File, keys, label_of, own_labels, put, strings, text};
use crate::label;

impl File<'_> {
    /// The service that these containers, copies of one another, are of.
    pub(super) fn service(&mut self, name: &str, containers: &[String]) -> Map<String, Value> {
        let mut out = Map::new();
        let Some((first, raw)) = containers
            .first()
            .and_then(|c| Some((c, self.facts.containers.get(c)?)))
        else {
            return out;
        };
        let id = raw["Image"].as_str().unwrap_or_default();
        let image = self
            .facts
            .images
            .get(id)
            .map_or(&Value::Null, |i| &i["Config"]);
        put(&mut out, "image", self.image(first, id));
        let usual = format!("{}-{name}-", self.project);
        let is_usual = first
            .strip_prefix(&usual)
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if containers.len() > 1 {
            put(&mut out, "scale", containers.len());
        } else if !is_usual {
            put(&mut out, "container_name", first.clone());
        }
        self.program(raw, image, &mut out);
        self.identity(raw, image, &mut out);
        self.attached(name, first, raw, &mut out);
        self.mounts(first, raw, image, &mut out);
        self.host(name, raw, &mut out);
        put(&mut out, "depends_on", self.depends_on(raw));
        put(
            &mut out,
            "labels",
            own_labels(&raw["Config"]["Labels"], &image["Labels"]),
        );
        out
    }

    /// A reference that people know: as given, else a tag, else the id.
    fn image(&self, container: &str, id: &str) -> String {
        let manifest = self.facts.manifest;
        let record = manifest.containers.iter().find(|c| c.name == container);
        let given = record.map(|r| r.image_ref.as_str()).unwrap_or_default();
        let hex = |text: &str| text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !given.is_empty() && !given.starts_with("sha256:") && !hex(given) {
            return given.to_owned();
        }
        let image = manifest.images.iter().find(|i| i.id == id);
        let known = image.and_then(|i| i.tags.first().or(i.repo_digests.first()));
        known.map_or_else(|| id.to_owned(), Clone::clone)
    }

    fn program(&self, raw: &Value, image: &Value, out: &mut Map<String, Value>) {
        let config = &raw["Config"];
        let (entry, of_image) = (
            strings(&config["Entrypoint"]),
            strings(&image["Entrypoint"]),
        );
        let other_entry = entry != of_image;
        if other_entry {
            out.insert("entrypoint".to_owned(), entry.into());
        }
        let (command, of_image) = (strings(&config["Cmd"]), strings(&image["Cmd"]));
        // An entry point of one's own takes the image's command away.
        if command != of_image || (other_entry && !command.is_empty()) {
            out.insert("command".to_owned(), command.into());
        }
        let given = strings(&image["Env"]);
        let mut environment = Map::new();
        for entry in strings(&config["Env"])
            .iter()
            .filter(|e| !given.contains(e))
        {
            if let Some((key, value)) = entry.split_once('=') {
                environment.insert(key.to_owned(), value.into());
            }
        }
        put(out, "environment", environment);
        for (key, name) in [
            ("User", "user"),
            ("WorkingDir", "working_dir"),
            ("StopSignal", "stop_signal"),
        ] {
            if config[key] != image[key] {
                put(out, name, text(config, key).unwrap_or_default());
            }
        }
        if let Some(seconds) = config["StopTimeout"].as_i64() {
            put(out, "stop_grace_period", format!("{seconds}s"));
        }
        for (key, name) in [("Tty", "tty"), ("OpenStdin", "stdin_open")] {
            if config[key] == true {
                put(out, name, true);
            }
        }
        if config["Healthcheck"] != image["Healthcheck"] {
            put(out, "healthcheck", health_check(&config["Healthcheck"]));
        }
    }

    fn identity(&self, raw: &Value, image: &Value, out: &mut Map<String, Value>) {
        let (config, host) = (&raw["Config"], &raw["HostConfig"]);
        let mode = host["NetworkMode"].as_str().unwrap_or_default();
        let borrowed =
            mode == "host" || mode.starts_with("container:") || host["UTSMode"] == "host";
        let id = raw["Id"].as_str().unwrap_or_default();
        if let Some(name) =
            text(config, "Hostname").filter(|name| !borrowed && id.get(..12) != Some(*name))
        {
            put(out, "hostname", name);
        }
        if !borrowed {
            put(
                out,
                "domainname",
                text(config, "Domainname").unwrap_or_default(),
            );
        }
        if !mode.starts_with("container:") {
            let bound = keys(&host["PortBindings"]);
            let of_image = keys(&image["ExposedPorts"]);
            let exposed = keys(&config["ExposedPorts"]).into_iter();
            let more: Vec<String> = exposed
                .filter(|port| !bound.contains(port) && !of_image.contains(port))
                .collect();
            put(out, "expose", more);
            put(out, "ports", ports(&host["PortBindings"]));
        }
    }

    /// What Compose's label says of services that come first.
    fn depends_on(&self, raw: &Value) -> Map<String, Value> {
        let mut out = Map::new();
        let list = label_of(raw, label::DEPENDS_ON).unwrap_or_default();
        for entry in list.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let mut parts = entry.split(':').map(str::trim);
            let service = parts.next().unwrap_or_default();
            if !self.services.contains_key(service) {
                continue;
            }
            let mut wish = Map::new();
            let known = ["service_healthy", "service_completed_successfully"];
            let condition = parts.next().filter(|c| known.contains(c));
            let condition = condition.unwrap_or("service_started");
            wish.insert("condition".to_owned(), condition.into());
            if parts.next().is_some_and(|r| r.eq_ignore_ascii_case("true")) {
                wish.insert("restart".to_owned(), true.into());
            }
            out.insert(service.to_owned(), Value::Object(wish));
        }
        out
    }
}

/// `[ip:]host:container[/protocol]`, one for each binding.
fn ports(bindings: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    for (port, bound) in bindings.as_object().into_iter().flatten() {
        let port = port.strip_suffix("/tcp").unwrap_or(port);
        for binding in bound.as_array().into_iter().flatten() {
            let ip = binding["HostIp"].as_str().unwrap_or_default();
            let host = binding["HostPort"].as_str().unwrap_or_default();
            let ip = if ip.contains(':') {
                format!("[{ip}]:")
            } else if ip.is_empty() {
                String::new()
            } else {
                format!("{ip}:")
            };
            out.push(Value::String(match (ip.as_str(), host) {
                ("", "") => port.to_owned(),
                (ip, host) => format!("{ip}{host}:{port}"),
            }));
        }
    }
    out
}

fn health_check(raw: &Value) -> Map<String, Value> {
    let test = strings(&raw["Test"]);
    let mut out = Map::new();
    if test.first().is_some_and(|t| t == "NONE") {
        out.insert("disable".to_owned(), true.into());
        return out;
    }
    put(&mut out, "test", test);
    for (key, name) in [
        ("Interval", "interval"),
        ("Timeout", "timeout"),
        ("StartPeriod", "start_period"),
        ("StartInterval", "start_interval"),
    ] {
        if let Some(nanos) = raw[key].as_u64().filter(|n| *n > 0) {
            out.insert(name.to_owned(), duration(nanos).into());
        }
    }
    if let Some(retries) = raw["Retries"].as_u64().filter(|n| *n > 0) {
        out.insert("retries".to_owned(), json!(retries));
    }
    out
}

fn duration(nanos: u64) -> String {
    match nanos {
        n if n % 1_000_000_000 == 0 => format!("{}s", n / 1_000_000_000),
        n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
        n => format!("{}us", n / 1000),
    }
}
