//! Volumes, bind sources and project files of a copy: each a new one, filled from the point.

use lifeboat_plan::{
    manifest::{
        BindContent, BindDecision, BindRecord, Manifest, VolumeContent, VolumeRecord, layout,
    },
    path,
};
use serde_json::{Map, Value, json};

use super::{
    transform::{Job, into_map, take},
    wanted::Allow,
};
use crate::restore::point::Definitions;

/// Files of the host that any container may read.
const HARMLESS: &[&str] = &[
    "/etc/localtime",
    "/etc/timezone",
    "/etc/ssl/certs",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/os-release",
];

/// Sockets by which an engine is commanded.
const SOCKETS: &[&str] = &["docker.sock", "podman.sock", "containerd.sock", "crio.sock"];

impl Job<'_> {
    pub(super) fn volumes(&mut self, manifest: &mut Manifest, definitions: &mut Definitions) {
        let old = std::mem::take(&mut definitions.volumes);
        for record in &mut manifest.volumes {
            if definitions.fresh.contains_key(&record.name) {
                // Made anew by the engine with its container, without a name of anybody's.
                continue;
            }
            let name = record.name.clone();
            let raw = old.get(&name).cloned().unwrap_or_default();
            let raw = self.volume(record, raw);
            definitions.volumes.insert(record.name.clone(), raw);
            self.renamed.volumes.insert(name, record.name.clone());
        }
    }

    fn volume(&mut self, record: &mut VolumeRecord, raw: Value) -> Value {
        let old = record.name.clone();
        let base = if record.anonymous {
            old.get(..12)
        } else {
            None
        };
        let new = self.rename("volume", base.unwrap_or(&old), '_');
        if record.content == VolumeContent::Definition && raw["Options"]["type"] != "tmpfs" {
            if self.wanted.allows(&Allow::Volume(old.clone())) {
                self.changed(format!(
                    "volume {new} is an empty one: the data of {old} is not in the point"
                ));
            } else {
                self.refuse(format!(
                    "the data of volume {old} is not in the point, and what it is made from ({}) is the original's own; `--allow volume:{old}` gives the copy an empty one",
                    record.driver
                ));
            }
        }
        let in_memory = raw["Options"]["type"] == "tmpfs";
        let mut raw = into_map(raw);
        let options = take(&mut raw, "Options");
        let options = if in_memory { options } else { Map::new() };
        let mut labels = take(&mut raw, "Labels");
        let dropped = self.mark.rewrite(&mut labels);
        self.dropped(&new, &dropped);
        let places = &mut self.renamed.places;
        places.insert(layout::volume(&new), layout::volume(&old));
        record.driver = "local".to_owned();
        record.shared = false;
        record.anonymous = false;
        record.name = new;
        // Its name follows from the renaming when it is made.
        json!({"Name": old, "Driver": "local", "Options": options, "Labels": labels})
    }

    pub(super) fn project(&mut self, manifest: &mut Manifest) {
        let Some(project) = &mut manifest.project else {
            return;
        };
        project.name.clone_from(&self.wanted.name);
        for root in &mut project.roots {
            let new = format!("{}/project{root}", self.folder);
            self.place(layout::project(&new), layout::project(root));
            self.note("project", root, &new);
            self.renamed.paths.insert(root.clone(), new.clone());
            *root = new;
        }
    }

    /// What is captured comes below our folder; of the rest only what is harmless or allowed is
    /// mounted, read-only.
    pub(super) fn binds(&mut self, manifest: &mut Manifest) {
        let all = std::mem::take(&mut manifest.binds);
        for bind in all.iter().filter(|b| b.decision == BindDecision::Captured) {
            let new = self.own_path(&bind.source);
            self.place(layout::bind(&new), layout::bind(&bind.source));
            manifest.binds.push(BindRecord {
                source: new,
                shared: false,
                ..bind.clone()
            });
        }
        for bind in &all {
            match bind.decision {
                BindDecision::Captured => {}
                BindDecision::Within if self.is_mapped(&bind.source) => {}
                BindDecision::Within => self.refuse(format!(
                    "{} lies in what belongs to a volume of the original and cannot be given to a copy",
                    bind.source
                )),
                BindDecision::System => self.system_bind(&bind.source),
                BindDecision::LeftOut => self.left_out_bind(bind),
            }
        }
    }

    fn own_path(&mut self, source: &str) -> String {
        let below = if source == "/" { "" } else { source };
        let new = format!("{}/binds{below}", self.folder);
        self.note("bind", source, &new);
        self.renamed.paths.insert(source.to_owned(), new.clone());
        new
    }

    fn system_bind(&mut self, source: &str) {
        let socket = SOCKETS.iter().any(|s| source.ends_with(s));
        let allow = if socket {
            Allow::EngineSocket
        } else {
            Allow::Bind(source.to_owned())
        };
        if HARMLESS.iter().any(|h| path::is_within(source, h)) || self.wanted.allows(&allow) {
            self.kept.insert(source.to_owned());
            return;
        }
        let what = if socket {
            "commands the engine, the original included"
        } else {
            "is the host's own"
        };
        self.refuse(format!(
            "{source} {what}: a copy gets it only with `--allow {allow}`"
        ));
    }

    fn left_out_bind(&mut self, bind: &BindRecord) {
        let source = &bind.source;
        if self.wanted.allows(&Allow::Bind(source.clone())) {
            self.kept.insert(source.clone());
            self.changed(format!(
                "{source} is the original's folder itself, mounted read-only"
            ));
        } else if bind.content == BindContent::Present {
            self.refuse(format!(
                "the data of {source} is not in the point; `--allow bind:{source}` gives the copy the original's, read-only"
            ));
        } else {
            let new = self.own_path(source);
            self.said.folders.push(new);
        }
    }

    fn place(&mut self, new: Option<String>, old: Option<String>) {
        if let (Some(new), Some(old)) = (new, old) {
            self.renamed.places.insert(new, old);
        }
    }

    /// `true` if a path of the host has a place below our folder.
    pub(super) fn is_mapped(&self, source: &str) -> bool {
        let mut paths = self.renamed.paths.keys();
        paths.any(|above| path::is_within(source, above))
    }

    pub(super) fn dropped(&mut self, of: &str, labels: &[String]) {
        if !labels.is_empty() {
            self.changed(format!("{of} is without the labels {}", labels.join(", ")));
        }
    }
}
