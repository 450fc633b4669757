//! A service's data, and the volumes of the file.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{File, keys, own_labels, put, strings, text};

impl File<'_> {
    pub(super) fn mounts(
        &mut self,
        container: &str,
        raw: &Value,
        image: &Value,
        out: &mut Map<String, Value>,
    ) {
        let host = &raw["HostConfig"];
        let mut covered: BTreeSet<String> =
            keys(&image["Volumes"]).iter().map(|d| clean(d)).collect();
        let mut volumes = Vec::new();
        for bind in strings(&host["Binds"]) {
            let Some((source, rest)) = bind.split_once(':') else {
                covered.insert(clean(&bind));
                volumes.push(Value::String(bind));
                continue;
            };
            covered.insert(clean(rest.split(':').next().unwrap_or(rest)));
            let rest = rest.strip_suffix(":rw").unwrap_or(rest);
            let source = if source.starts_with('/') {
                source.to_owned()
            } else {
                self.volume(source)
            };
            volumes.push(Value::String(format!("{source}:{rest}")));
        }
        for mount in host["Mounts"].as_array().into_iter().flatten() {
            covered.insert(clean(text(mount, "Target").unwrap_or_default()));
            volumes.push(self.mount(mount));
        }
        // Declared without a name by whoever made the container.
        for place in keys(&raw["Config"]["Volumes"]) {
            if covered.insert(clean(&place)) {
                volumes.push(Value::String(place));
            }
        }
        put(out, "volumes", volumes);
        let mut tmpfs = Vec::new();
        for (place, options) in host["Tmpfs"].as_object().into_iter().flatten() {
            let options = options.as_str().unwrap_or_default();
            tmpfs.push(if options.is_empty() {
                place.clone()
            } else {
                format!("{place}:{options}")
            });
        }
        put(out, "tmpfs", tmpfs);
        self.volumes_from(host, out);
        let from: Vec<&Value> = host["VolumesFrom"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        self.anonymous(container, raw, from.is_empty());
    }

    /// An anonymous volume is made anew, empty, by whoever brings the file up.
    fn anonymous(&mut self, container: &str, raw: &Value, is_own: bool) {
        for mount in raw["Mounts"].as_array().into_iter().flatten() {
            let name = mount["Name"].as_str().unwrap_or_default();
            let mut all = self.facts.manifest.volumes.iter();
            let found = all.find(|v| v.name == name && v.anonymous);
            if let (Some(volume), true) = (found, is_own)
                && volume.files > 0
            {
                self.notes.push(format!(
                    "{container} has {} file(s) in an anonymous volume at {}: the file makes it anew, empty",
                    volume.files,
                    mount["Destination"].as_str().unwrap_or_default()
                ));
            }
        }
    }

    fn volumes_from(&self, host: &Value, out: &mut Map<String, Value>) {
        let mut from = Vec::new();
        for given in strings(&host["VolumesFrom"]) {
            let (other, rights) = given.split_once(':').unwrap_or((&given, ""));
            let other = match self.service_of(other) {
                Some(service) => service.to_owned(),
                None => format!("container:{other}"),
            };
            from.push(if rights.is_empty() {
                other
            } else {
                format!("{other}:{rights}")
            });
        }
        put(out, "volumes_from", from);
    }

    /// A mount in the long form.
    fn mount(&mut self, raw: &Value) -> Value {
        let mut out = Map::new();
        let kind = text(raw, "Type").unwrap_or("volume");
        put(&mut out, "type", kind);
        let source = text(raw, "Source").unwrap_or_default();
        put(
            &mut out,
            "source",
            if kind == "volume" && !source.is_empty() {
                self.volume(source)
            } else {
                source.to_owned()
            },
        );
        put(&mut out, "target", text(raw, "Target").unwrap_or_default());
        if raw["ReadOnly"] == true {
            put(&mut out, "read_only", true);
        }
        put(
            &mut out,
            "consistency",
            text(raw, "Consistency").unwrap_or_default(),
        );
        match kind {
            "bind" => {
                let options = &raw["BindOptions"];
                // This form refuses a source that is missing, where the short one makes an empty folder.
                let mut bind = Map::new();
                put(
                    &mut bind,
                    "create_host_path",
                    options["CreateMountpoint"] == true,
                );
                put(
                    &mut bind,
                    "propagation",
                    text(options, "Propagation").unwrap_or_default(),
                );
                put(&mut out, "bind", bind);
            }
            "volume" => {
                let options = &raw["VolumeOptions"];
                let mut volume = Map::new();
                if options["NoCopy"] == true {
                    put(&mut volume, "nocopy", true);
                }
                put(
                    &mut volume,
                    "subpath",
                    text(options, "Subpath").unwrap_or_default(),
                );
                put(&mut out, "volume", volume);
            }
            "tmpfs" => {
                let options = &raw["TmpfsOptions"];
                let mut tmpfs = Map::new();
                if let Some(size) = options["SizeBytes"].as_u64().filter(|n| *n > 0) {
                    put(&mut tmpfs, "size", size);
                }
                if let Some(mode) = options["Mode"].as_u64().filter(|n| *n > 0) {
                    put(&mut tmpfs, "mode", mode);
                }
                put(&mut out, "tmpfs", tmpfs);
            }
            _ => {}
        }
        Value::Object(out)
    }

    /// Notes that a volume is used, and gives its key.
    fn volume(&mut self, name: &str) -> String {
        let raw = self.facts.volumes.get(name);
        let key = self.key(raw, "com.docker.compose.volume", name);
        self.used_volumes.insert(name.to_owned(), key.clone());
        key
    }

    pub(super) fn volumes(&mut self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, key) in &self.used_volumes {
            let raw = self.facts.volumes.get(name);
            let record = self.facts.manifest.volumes.iter().find(|v| v.name == *name);
            let mut out = Map::new();
            if *name != format!("{}_{key}", self.project) {
                put(&mut out, "name", name.clone());
            }
            if record.is_none_or(|r| r.shared) {
                put(&mut out, "external", true);
            } else if let Some(raw) = raw {
                let driver = text(raw, "Driver").filter(|d| *d != "local");
                put(&mut out, "driver", driver.unwrap_or_default());
                put(&mut out, "driver_opts", raw["Options"].clone());
                put(&mut out, "labels", own_labels(&raw["Labels"], &json!({})));
            }
            all.insert(key.clone(), Value::Object(out));
        }
        all
    }
}

fn clean(place: &str) -> String {
    crate::path::clean(place).unwrap_or_else(|| place.to_owned())
}
