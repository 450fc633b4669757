//! Bind mounts: which are the host's own, which belong to the project, which are data, and which
//! of the data is too big to be taken without asking.

mod policy;

pub use policy::{BindPolicy, BindSize, Decision, EXCLUDED_BY_HAND, MAX_DEFAULT, decide};

use crate::app::BindClass;
use crate::path;

/// Paths that are the host's own with everything below them.
const SYSTEM_TREES: &[(&str, &str)] = &[
    ("/proc", "the kernel's process tree"),
    ("/sys", "the kernel's device tree"),
    ("/dev", "the host's devices"),
    ("/run", "the host's run-time state"),
    ("/var/run", "the host's run-time state"),
    ("/boot", "the host's boot files"),
    ("/lib/modules", "the host's kernel modules"),
    ("/usr/lib/modules", "the host's kernel modules"),
    ("/usr/src", "the host's kernel sources"),
    ("/usr/share/zoneinfo", "the host's time zones"),
    ("/etc/ssl/certs", "the host's certificates"),
    ("/etc/pki/ca-trust", "the host's certificates"),
    ("/usr/share/ca-certificates", "the host's certificates"),
    ("/tmp/.X11-unix", "the host's display"),
    ("/var/lib/docker", "the engine's own storage"),
    ("/var/lib/containerd", "the engine's own storage"),
    ("/var/lib/containers", "the engine's own storage"),
    ("/bin", "the host's programs"),
    ("/sbin", "the host's programs"),
    ("/lib", "the host's libraries"),
    ("/lib32", "the host's libraries"),
    ("/lib64", "the host's libraries"),
    ("/usr/bin", "the host's programs"),
    ("/usr/sbin", "the host's programs"),
    ("/usr/lib", "the host's libraries"),
    ("/usr/lib64", "the host's libraries"),
];

/// Paths that are the host's own by themselves; what lies below may be data.
const SYSTEM_PATHS: &[(&str, &str)] = &[
    ("/", "the host's root"),
    ("/etc", "the host's configuration"),
    ("/usr", "the host's programs"),
    ("/var", "the host's variable files"),
    ("/var/lib", "the host's variable files"),
    ("/var/log", "the host's logs"),
    ("/tmp", "the host's temporary files"),
    ("/var/tmp", "the host's temporary files"),
    ("/etc/localtime", "the host's time zone"),
    ("/etc/timezone", "the host's time zone"),
    ("/etc/hostname", "the host's name"),
    ("/etc/hosts", "the host's address list"),
    ("/etc/resolv.conf", "the host's resolver"),
    ("/etc/machine-id", "the host's id"),
    ("/etc/os-release", "the host's release"),
    ("/etc/passwd", "the host's users"),
    ("/etc/group", "the host's users"),
    ("/etc/shadow", "the host's users"),
    ("/etc/docker", "the engine's configuration"),
    ("/var/log/journal", "the host's logs"),
    ("/var/log/syslog", "the host's logs"),
];

/// What system path a clean absolute path is, if it is one; `data_root` is the engine's.
#[must_use]
pub fn system_path(source: &str, data_root: &str) -> Option<String> {
    if let Some((_, what)) = SYSTEM_PATHS.iter().find(|(path, _)| *path == source) {
        return Some((*what).to_owned());
    }
    if let Some((_, what)) = SYSTEM_TREES
        .iter()
        .find(|(tree, _)| path::is_within(source, tree))
    {
        return Some((*what).to_owned());
    }
    let own = path::clean(data_root).filter(|root| root != "/");
    if own.is_some_and(|root| path::is_within(source, &root)) {
        return Some("the engine's own storage".to_owned());
    }
    source.ends_with(".sock").then(|| "a socket".to_owned())
}

/// Classifies a clean absolute bind source.
#[must_use]
pub fn classify(source: &str, project_dir: Option<&str>, data_root: &str) -> BindClass {
    if let Some(what) = system_path(source, data_root) {
        return BindClass::System { what };
    }
    match project_dir {
        // A "project" in `/` or in a home folder of everything would claim the whole host.
        Some(dir) if dir != "/" && path::is_within(source, dir) => {
            let relative = source
                .strip_prefix(dir)
                .unwrap_or_default()
                .trim_start_matches('/');
            BindClass::Project {
                relative: if relative.is_empty() {
                    ".".to_owned()
                } else {
                    relative.to_owned()
                },
            }
        }
        _ => BindClass::Data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/var/lib/docker";

    #[test]
    fn system_paths_are_known() {
        for system in [
            "/",
            "/proc",
            "/proc/1",
            "/sys/fs/cgroup",
            "/dev/dri",
            "/var/run/docker.sock",
            "/run/user/1000/docker.sock",
            "/etc/localtime",
            "/etc/timezone",
            "/lib/modules",
            "/var/lib/docker",
            "/var/lib/docker/containers",
            "/etc",
            "/usr/share/zoneinfo/Europe/Berlin",
            "/srv/app/php.sock",
        ] {
            assert!(
                matches!(classify(system, None, ROOT), BindClass::System { .. }),
                "{system}"
            );
        }
        assert!(system_path("/data/docker/x", "/data/docker/").is_some());
        assert!(system_path("/data/docker2", "/data/docker").is_none());
        assert!(system_path("/data", "/").is_none());
        assert!(system_path("/data", "").is_none());
    }

    #[test]
    fn data_is_data_where_it_only_looks_like_a_system_path() {
        for data in [
            "/srv/data",
            "/home/me",
            "/etc/nginx/conf.d",
            "/var/lib/postgresql",
            "/processed",
            "/devices",
            "/opt/x",
        ] {
            assert_eq!(classify(data, None, ROOT), BindClass::Data, "{data}");
        }
    }

    #[test]
    fn what_lies_in_the_project_belongs_to_it() {
        let class = classify("/srv/shop/web/html", Some("/srv/shop"), ROOT);
        assert_eq!(
            class,
            BindClass::Project {
                relative: "web/html".into()
            }
        );
        assert_eq!(
            classify("/srv/shop", Some("/srv/shop"), ROOT),
            BindClass::Project {
                relative: ".".into()
            }
        );
        assert_eq!(
            classify("/srv/shop2", Some("/srv/shop"), ROOT),
            BindClass::Data
        );
        assert_eq!(classify("/srv/x", Some("/"), ROOT), BindClass::Data);
    }
}
