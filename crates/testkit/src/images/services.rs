//! The image with the distribution's PostgreSQL and Redis, as they really are, and the scripts of
//! the sample app.
//!
//! Two layers: the distribution's files (made by debootstrap, cached by themselves because they take
//! a minute), and our scripts on top. What no service needs at run time (documentation, translations,
//! package lists, the JIT compiler's LLVM) is left out, because every test captures this image.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::json;

use super::{Image, PACKAGES, archive};
use crate::command::run;
use crate::{Error, Result, cache, packages};

const TAGS: &[&str] = &[
    "lifeboat/services:latest",
    "lifeboat/services:1.0",
    "registry.example:5000/shop/services:stable",
];

const INCLUDE: &str = "postgresql,redis-server";

const PREPARE: &str = include_str!("base-prepare.sh");
const STRIP: &str = include_str!("base-strip.sh");
const PLACES: &str = include_str!("places.sh");

/// The image with PostgreSQL and Redis, three tags, made if it is not in the cache: about a minute.
pub fn services() -> Result<Image> {
    packages::ensure(PACKAGES)?;
    let mirror = Mirror::of_this_machine()?;
    let base = base_layer(&mirror)?;
    let scripts = [
        ("shop-postgres", include_str!("shop-postgres.sh")),
        ("shop-worker", include_str!("shop-worker.sh")),
    ];
    let config = json!({
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "PGDATA=/var/lib/postgresql/data",
        ],
        "Cmd": ["bash"],
        "WorkingDir": "/",
        "Labels": {"org.opencontainers.image.title": "PostgreSQL and Redis"},
    });
    let recipe = format!(
        "services image 1\n{}\n{scripts:?}\n{config}\n",
        base.display()
    );
    let dir = cache::entry("image-services", &recipe, |dir| {
        let root = dir.join("root");
        fs::create_dir_all(root.join("usr/local/bin"))?;
        for (name, text) in scripts {
            fs::write(root.join("usr/local/bin").join(name), text)?;
        }
        run(Command::new("sh")
            .current_dir(&root)
            .args(["-c", PLACES])
            .arg("places")
            .arg(&base))?;
        let top = dir.join("top.tar");
        archive::pack_layer(&root, &top)?;
        archive::write(dir, &[base.join("layer.tar"), top.clone()], &config, TAGS)?;
        fs::remove_file(top)?;
        Ok(fs::remove_dir_all(root)?)
    })?;
    archive::open(&dir, TAGS)
}

/// The distribution's files with PostgreSQL and Redis, as a tar file.
pub fn services_base() -> Result<PathBuf> {
    packages::ensure(PACKAGES)?;
    Ok(base_layer(&Mirror::of_this_machine()?)?.join("layer.tar"))
}

/// The distribution's files as a layer: a cache entry with `layer.tar` and `passwd`.
fn base_layer(mirror: &Mirror) -> Result<PathBuf> {
    let recipe = format!(
        "services base 2\n{} {}\n{INCLUDE}\n{PREPARE}{STRIP}",
        mirror.suite,
        std::env::consts::ARCH
    );
    cache::entry("layer-services", &recipe, |dir| {
        let root = dir.join("root");
        let built = bootstrap(mirror, &root).and_then(|()| {
            run(Command::new("sh").current_dir(&root).args(["-c", STRIP]))?;
            fs::copy(root.join("etc/passwd"), dir.join("passwd"))?;
            archive::pack_layer(&root, &dir.join("layer.tar"))
        });
        // Also after a failure: a half-made tree of other owners is in nobody's interest.
        fs::remove_dir_all(&root)?;
        built
    })
}

fn bootstrap(mirror: &Mirror, root: &Path) -> Result<()> {
    // Two stages, so that our configuration is in place before any package's scripts run. All is
    // fetched by this machine's programs: whatever gets it to its mirror works here too.
    let mut first = Command::new("debootstrap");
    first.args(["--foreign", "--variant=minbase"]);
    first.args(["--include", INCLUDE]);
    first.args(["--components", mirror.components()]);
    if let Some(proxy) = &mirror.proxy {
        first.env("http_proxy", proxy);
    }
    run(first.arg(&mirror.suite).arg(root).arg(&mirror.uri))?;
    run(Command::new("sh").current_dir(root).args(["-c", PREPARE]))?;
    // In a mount namespace: whatever it mounts ends with it.
    let mut second = Command::new("unshare");
    second.args(["-m", "--", "chroot"]).arg(root);
    second.args(["/debootstrap/debootstrap", "--second-stage"]);
    second.env("DEBIAN_FRONTEND", "noninteractive");
    second.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    run(&mut second).map(drop)
}

/// Where this machine gets its packages from.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    uri: String,
    suite: String,
    ubuntu: bool,
    proxy: Option<String>,
}

impl Mirror {
    fn of_this_machine() -> Result<Self> {
        let os = fs::read_to_string("/etc/os-release")?;
        let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
        let mut apt = Command::new("apt-get");
        apt.args(["indextargets", "--format", format, "Created-By: Packages"]);
        let mut mirror = Self::find(&os, &run(&mut apt)?)?;
        let mut proxy = Command::new("apt-config");
        let proxy = run(proxy.args(["shell", "p", "Acquire::http::Proxy"]))?;
        mirror.proxy = proxy
            .trim()
            .strip_prefix("p='")
            .and_then(|rest| rest.strip_suffix('\''))
            .map(str::to_owned);
        Ok(mirror)
    }

    /// Finds the repository of the distribution itself among those that apt knows.
    fn find(os_release: &str, targets: &str) -> Result<Self> {
        let value = |name: &str| {
            os_release
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(|text| text.trim_matches('"').to_owned())
        };
        let suite = value("VERSION_CODENAME").unwrap_or_default();
        let uri = targets.lines().find_map(|line| {
            let mut words = line.split(' ');
            let (uri, release) = (words.next()?, words.next()?);
            let main = words.next() == Some("main");
            (main && release == suite).then(|| uri.to_owned())
        });
        let Some(uri) = uri else {
            return Err(Error::Unsupported(format!(
                "apt has no source for the release {suite:?} and its component main; the image with PostgreSQL is made from there"
            )));
        };
        Ok(Self {
            uri,
            suite,
            ubuntu: value("ID").as_deref() == Some("ubuntu"),
            proxy: None,
        })
    }

    fn components(&self) -> &'static str {
        if self.ubuntu { "main,universe" } else { "main" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_distributions_own() {
        let os = "ID=debian\nVERSION_CODENAME=bookworm\n";
        let targets = "https://deb.other.example/node/ nodistro main\n\
            http://deb.example/debian-security/ bookworm-security main\n\
            http://deb.example/debian/ bookworm contrib\n\
            http://deb.example/debian/ bookworm main\n";
        let mirror = Mirror::find(os, targets).unwrap();
        assert_eq!(mirror.uri, "http://deb.example/debian/");
        assert_eq!(
            (mirror.suite.as_str(), mirror.components()),
            ("bookworm", "main")
        );
        Mirror::find(os, "http://x/ trixie main\n").unwrap_err();
    }
}
