//! Bind sources and project folders at other paths of the host.

use lifeboat_plan::{
    label,
    manifest::{BindDecision, layout},
    path,
};
use serde_json::Value;

use super::apply::Job;

impl Job<'_> {
    pub(super) fn paths(&mut self) {
        if self.maps.binds.is_empty() {
            return;
        }
        let binds = self.manifest.binds.iter().map(|b| b.source.clone());
        let project = self.manifest.project.as_ref();
        let roots = project.into_iter().flat_map(|p| &p.roots).cloned();
        let mut known: Vec<String> = binds.chain(roots).collect();
        known.sort();
        known.dedup();
        for old in self.maps.binds.keys() {
            if known.iter().any(|source| path::is_within(source, old)) {
                continue;
            }
            match known.iter().find(|source| path::is_within(old, source)) {
                Some(whole) => self.problem(format!(
                    "--map-bind: {old} is a part of {whole}, which is restored as one; map that"
                )),
                None => self.unknown("--map-bind", "bind source or project folder", old, &known),
            }
        }
        self.collisions(&known);
        self.move_binds();
        self.move_project();
        self.move_labels();
        self.move_devices();
        let renamed = &mut self.definitions.renamed;
        renamed.paths.extend(self.maps.binds.clone());
    }

    /// Where a path of the point lies here.
    fn moved(&self, old: &str) -> Option<String> {
        let above = self.maps.binds.iter();
        let above = above.filter(|(from, _)| path::is_within(old, from));
        let (from, to) = above.max_by_key(|(from, _)| from.len())?;
        Some(format!("{to}{}", &old[from.len()..]))
    }

    /// What did not lie in one another before is not to do so now.
    fn collisions(&mut self, known: &[String]) {
        let now: Vec<(String, String)> = known
            .iter()
            .map(|old| (old.clone(), self.moved(old).unwrap_or_else(|| old.clone())))
            .collect();
        for (at, (old, new)) in now.iter().enumerate() {
            for (other, there) in &now[at + 1..] {
                let apart = !path::is_within(other, old) && !path::is_within(old, other);
                let meet = path::is_within(there, new) || path::is_within(new, there);
                if apart && meet {
                    self.problem(format!(
                        "--map-bind: {old} and {other} would lie in one another, at {new} and {there}; give each a path of its own"
                    ));
                }
            }
        }
    }

    fn move_binds(&mut self) {
        let mut binds = std::mem::take(&mut self.manifest.binds);
        for bind in &mut binds {
            let whole = bind.within.clone();
            let whole_here = whole.as_ref().and_then(|w| self.moved(w));
            let Some(new) = self.moved(&bind.source) else {
                continue;
            };
            if let (BindDecision::Within, Some(whole)) = (bind.decision, &whole) {
                let rest = bind.source.strip_prefix(whole.as_str()).unwrap_or_default();
                let along = format!("{}{rest}", whole_here.as_ref().unwrap_or(whole));
                if new != along {
                    self.problem(format!(
                        "--map-bind: {} lies in {whole}, which is restored as one; map that",
                        bind.source
                    ));
                }
            }
            if bind.decision == BindDecision::Captured
                && let (Some(to), Some(from)) = (layout::bind(&new), layout::bind(&bind.source))
            {
                self.definitions.renamed.places.insert(to, from);
            }
            self.mapped("bind", None, &bind.source, &new);
            bind.within = whole_here.or(whole);
            bind.source = new;
        }
        self.manifest.binds = binds;
    }

    fn move_project(&mut self) {
        let Some(mut project) = self.manifest.project.take() else {
            return;
        };
        for root in &mut project.roots {
            let Some(new) = self.moved(root) else {
                continue;
            };
            if let (Some(to), Some(from)) = (layout::project(&new), layout::project(root)) {
                self.definitions.renamed.places.insert(to, from);
            }
            self.mapped("project", None, root, &new);
            *root = new;
        }
        let files = project.config_files.iter_mut();
        let files = files.chain(&mut project.environment_files);
        for path in files.chain(&mut project.working_dir) {
            if let Some(new) = self.moved(path) {
                *path = new;
            }
        }
        self.manifest.project = Some(project);
    }

    /// Compose looks for its files where its labels say.
    fn move_labels(&mut self) {
        let mut containers = std::mem::take(&mut self.definitions.containers);
        for raw in containers.values_mut() {
            let labels = raw.pointer_mut("/Config/Labels");
            let labels = labels.and_then(Value::as_object_mut);
            for (key, value) in labels.into_iter().flatten() {
                let of_project = [
                    label::WORKING_DIR,
                    label::CONFIG_FILES,
                    label::ENVIRONMENT_FILE,
                ];
                let (true, Value::String(text)) = (of_project.contains(&key.as_str()), value)
                else {
                    continue;
                };
                let moved = text
                    .split(',')
                    .map(|path| self.moved(path).unwrap_or_else(|| path.to_owned()));
                *text = moved.collect::<Vec<_>>().join(",");
            }
        }
        self.definitions.containers = containers;
    }

    /// Volumes of the local driver that are a folder of the host.
    fn move_devices(&mut self) {
        let mut volumes = std::mem::take(&mut self.definitions.volumes);
        for raw in volumes.values_mut() {
            let options = &raw["Options"];
            let binds = options["o"]
                .as_str()
                .is_some_and(|o| o.split(',').any(|o| o == "bind" || o == "rbind"));
            let device = options["device"].as_str().and_then(path::clean);
            if let (true, Some(new)) = (binds, device.and_then(|d| self.moved(&d))) {
                raw["Options"]["device"] = new.into();
            }
        }
        self.definitions.volumes = volumes;
    }
}
