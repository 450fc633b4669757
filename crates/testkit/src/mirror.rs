//! The distribution's own mirror, and whole systems made from it.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::command::run;
use crate::{Error, Result};

/// Where this machine gets its packages from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) uri: String,
    pub(crate) suite: String,
    ubuntu: bool,
    proxy: Option<String>,
}

impl Mirror {
    pub(crate) fn of_this_machine() -> Result<Self> {
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
                "apt has no source for the release {suite:?} and its component main; what the tests run is made from there"
            )));
        };
        Ok(Self {
            uri,
            suite,
            ubuntu: value("ID").as_deref() == Some("ubuntu"),
            proxy: None,
        })
    }

    /// Makes a small system of the distribution's in `root` (debootstrap, `minbase`), with these packages; `prepare`
    /// comes before any package's scripts run.
    pub(crate) fn bootstrap(
        &self,
        root: &Path,
        include: &str,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        // Two stages. All is fetched by this machine's programs: whatever gets it to its mirror works here too.
        let mut first = Command::new("debootstrap");
        first.args(["--foreign", "--variant=minbase"]);
        first.args(["--include", include]);
        first.args(["--components", self.components()]);
        if let Some(proxy) = &self.proxy {
            first.env("http_proxy", proxy);
        }
        run(first.arg(&self.suite).arg(root).arg(&self.uri))?;
        prepare(root)?;
        // In a mount namespace: whatever it mounts ends with it.
        let mut second = Command::new("unshare");
        second.args(["-m", "--", "chroot"]).arg(root);
        second.args(["/debootstrap/debootstrap", "--second-stage"]);
        second.env("DEBIAN_FRONTEND", "noninteractive");
        second.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        run(&mut second).map(drop)
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
