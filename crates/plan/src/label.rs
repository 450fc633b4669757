//! Labels that mean something to us, and how they are read.

use std::collections::BTreeMap;

/// Compose: project.
pub const PROJECT: &str = "com.docker.compose.project";
/// Compose: project folder.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// Compose: files, comma-separated; `-` for one that was piped in.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// Compose: files given with `--env-file`, comma-separated.
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
/// Compose: version of the Compose that made it.
pub const COMPOSE_VERSION: &str = "com.docker.compose.version";
/// Compose: service.
pub const SERVICE: &str = "com.docker.compose.service";
/// Compose: number of the container in its service.
pub const NUMBER: &str = "com.docker.compose.container-number";
/// Compose: made by `run`, not `up`.
pub const ONE_OFF: &str = "com.docker.compose.oneoff";
/// Compose: made for a hook.
pub const HOOK: &str = "com.docker.compose.hook";
/// Compose: services that have to be there first.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Compose: hash of the resolved service; without it Compose does not see the container.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Swarm: stack.
pub const STACK: &str = "com.docker.stack.namespace";
/// Swarm: service of a task's container.
pub const SWARM_SERVICE: &str = "com.docker.swarm.service.name";
/// Swarm: task of a container.
pub const SWARM_TASK: &str = "com.docker.swarm.task.id";
/// Docker: a volume made without a name (newer engines).
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";
/// Ours: the app that a container or volume belongs to.
pub const APP: &str = "lifeboat.app";
/// Ours: `false` leaves the app alone.
pub const ENABLE: &str = "lifeboat.enable";
/// Ours: containers or services that have to be there first.
pub const LIFEBOAT_DEPENDS_ON: &str = "lifeboat.depends-on";
/// Ours, on everything that `restore --as` made: the copy's name.
pub const COPY: &str = "lifeboat.copy";
/// Ours, beside [`COPY`]: the app and point that it is a copy of.
pub const COPY_OF: &str = "lifeboat.copy.of";
/// Ours, not honoured yet: what is to be left out.
pub const EXCLUDE: &str = "lifeboat.exclude";
/// Watchtower: containers that have to be there first.
pub const WATCHTOWER_DEPENDS_ON: &str = "com.centurylinklabs.watchtower.depends-on";

/// Opt-outs of other backup tools: label, and the value that opts out.
pub const FOREIGN_OPT_OUTS: &[(&str, &str)] = &[
    ("stack-back.volumes", "false"),
    ("restic-compose-backup.volumes", "false"),
    ("nautical-backup.enable", "false"),
    ("auto-backup", "false"),
];

/// A label's value, if it is there and not empty.
#[must_use]
pub fn get<'a>(labels: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    labels.get(key).map(|v| v.trim()).filter(|v| !v.is_empty())
}

/// `true` or `false` as people and tools write it; `None` for anything else.
#[must_use]
pub fn flag(labels: &BTreeMap<String, String>, key: &str) -> Option<bool> {
    match get(labels, key)?.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A comma-separated list, spaces and empty entries dropped.
pub fn list<'a>(labels: &'a BTreeMap<String, String>, key: &str) -> impl Iterator<Item = &'a str> {
    get(labels, key)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        let labels: BTreeMap<String, String> =
            [("a", "True"), ("b", "no"), ("c", " "), ("d", "x, y,,z ")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
        assert_eq!(flag(&labels, "a"), Some(true));
        assert_eq!(flag(&labels, "b"), Some(false));
        assert_eq!(flag(&labels, "d"), None);
        assert_eq!(get(&labels, "c"), None);
        assert_eq!(list(&labels, "d").collect::<Vec<_>>(), ["x", "y", "z"]);
        assert_eq!(list(&labels, "nothing").count(), 0);
    }
}
