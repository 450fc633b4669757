//! `lifeboat.toml`, as far as it is about objectives. Other sections are others'.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_notify::{Heartbeat, Target};
use lifeboat_plan::policy::{self, Period, Retain};
use serde::Deserialize;

use crate::{Error, Result, digest::Digest};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    policy: policy::Settings,
    notify: Notify,
    heartbeat: BTreeMap<String, Beats>,
    copy: BTreeMap<String, CopyTo>,
    registry: BTreeMap<String, Registry>,
    upkeep: Upkeep,
    metrics: Metrics,
    digest: Digest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Notify {
    urls: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Beats {
    healthchecks: Option<String>,
    uptime_kuma: Option<String>,
}

/// A further vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CopyTo {
    /// Its place.
    pub to: String,
    /// Its RPO.
    pub rpo: Period,
    /// File of its password; none: the same password.
    pub password_file: Option<PathBuf>,
    /// What of this host's apps is kept there; none: nothing is forgotten there.
    pub retain: Option<Retain>,
    /// How often a part of it is read and checked; none: it is not.
    pub check: Option<Period>,
}

/// A registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// How often it is backed up; none: it is not, since it lives in the vault (`registry serve --accept`).
    pub every: Option<Period>,
    /// Which tags go, and how often that is looked at.
    pub forget: Option<ForgetTags>,
}

/// Rules for tags, as `lifeboat registry forget` has them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForgetTags {
    /// How often.
    pub every: Period,
    /// Only of these repositories; none: all.
    #[serde(default)]
    pub repo: Vec<String>,
    /// So many tags of each repository stay.
    pub keep_last: Option<u32>,
    /// Tags that are called so stay.
    #[serde(default)]
    pub keep_tag: Vec<String>,
    /// Tags that were pushed or moved within this span stay.
    pub keep_within: Option<Period>,
    /// Manifests that never had a tag go as well.
    #[serde(default)]
    pub untagged: bool,
}

impl ForgetTags {
    /// What `lifeboat registry forget` is told.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut say = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        for pattern in &self.repo {
            say("--repo", pattern.clone());
        }
        if let Some(last) = self.keep_last {
            say("--keep-last", last.to_string());
        }
        for pattern in &self.keep_tag {
            say("--keep-tag", pattern.clone());
        }
        if let Some(within) = self.keep_within {
            // Never sooner than was said.
            say(
                "--keep-within",
                format!("{}h", within.as_millis().div_ceil(3_600_000)),
            );
        }
        if self.untagged {
            words.push("--untagged".to_owned());
        }
        words
    }

    fn check(&self, name: &str) -> Result<(), String> {
        let keeps = self.keep_last.is_some() || self.keep_within.is_some();
        match self {
            Self {
                keep_last: Some(0), ..
            } => Err(format!(
                "[registry.\"{name}\".forget] keep-last = 0 would keep nothing; leave it out"
            )),
            _ if !keeps && self.keep_tag.is_empty() && !self.untagged => Err(format!(
                "[registry.\"{name}\".forget] has no rule, which would mean that everything goes; say keep-last, keep-within or keep-tag"
            )),
            _ => Ok(()),
        }
    }
}

/// Upkeep of the vault, and how much at a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upkeep {
    /// How often points are forgotten.
    pub forget: Period,
    /// How often space is freed.
    pub prune: Period,
    /// How often a part of the vault is read and checked.
    pub check: Period,
    /// So many captures at a time.
    pub captures: usize,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            forget: Period::hours(24),
            prune: Period::hours(7 * 24),
            check: Period::hours(7 * 24),
            captures: 2,
        }
    }
}

/// Where figures are served.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// `127.0.0.1:9713`; none: on the agent's socket alone.
    pub listen: Option<std::net::SocketAddr>,
}

/// What the file says, checked.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Policies by app.
    pub policies: policy::Settings,
    /// Who is told.
    pub targets: Vec<Arc<Target>>,
    /// Dead man's switches by app; `*` for the host as a whole.
    pub heartbeats: BTreeMap<String, Vec<Arc<Heartbeat>>>,
    /// Further vaults by name.
    pub copies: BTreeMap<String, CopyTo>,
    /// Registries by address.
    pub registries: BTreeMap<String, Registry>,
    /// Upkeep.
    pub upkeep: Upkeep,
    /// The weekly digest.
    pub digest: Digest,
    /// Figures.
    pub metrics: Metrics,
}

impl Settings {
    /// Reads the file; one that is not there says nothing.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e.into()),
        };
        let roots_own = fs_err::metadata(path).is_ok_and(|f| f.uid() == 0 && f.mode() & 0o022 == 0);
        Self::read(&text, roots_own)
            .map_err(|why| Error::Settings(format!("{} cannot be used: {why}", path.display())))
    }

    /// Reads the text. Programs are run only where nobody but root can have named them.
    fn read(text: &str, roots_own: bool) -> Result<Self, String> {
        // The message alone: the line may hold a secret.
        let file: File = toml::from_str(text).map_err(|e: toml::de::Error| {
            let line = e.span().map(|span| text[..span.start].lines().count());
            let line = line.map_or_else(String::new, |n| format!(" (line {n})"));
            format!("{}{line}", e.message())
        })?;
        let mut settings = Self {
            policies: file.policy,
            copies: file.copy,
            registries: file.registry,
            upkeep: file.upkeep,
            metrics: file.metrics,
            digest: file.digest,
            ..Self::default()
        };
        for url in &file.notify.urls {
            let target = Target::parse(url).map_err(|e| e.to_string())?;
            if target.runs_a_program() && !roots_own {
                return Err(format!(
                    "{target} names a program, and the file can be changed by others than root"
                ));
            }
            settings.targets.push(Arc::new(target));
        }
        for (app, beats) in &file.heartbeat {
            let mut all = Vec::new();
            if let Some(url) = &beats.healthchecks {
                all.push(Arc::new(
                    Heartbeat::healthchecks(url).map_err(|e| e.to_string())?,
                ));
            }
            if let Some(url) = &beats.uptime_kuma {
                all.push(Arc::new(Heartbeat::kuma(url).map_err(|e| e.to_string())?));
            }
            settings.heartbeats.insert(app.clone(), all);
        }
        for (name, registry) in &settings.registries {
            match registry {
                Registry {
                    every: None,
                    forget: None,
                } => {
                    return Err(format!(
                        "[registry.\"{name}\"] says nothing; it wants `every`, how often it is backed up, or a section `forget`"
                    ));
                }
                Registry {
                    forget: Some(forget),
                    ..
                } => forget.check(name)?,
                Registry { .. } => {}
            }
        }
        if settings.upkeep.captures == 0 {
            return Err("[upkeep] captures = 0 would protect nothing".to_owned());
        }
        if settings
            .metrics
            .listen
            .is_some_and(|at| !at.ip().is_loopback())
        {
            return Err("[metrics] listen is no loopback address: figures are served without TLS, so only to this machine".to_owned());
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_its_secrets_stay_in_it() {
        let text = r#"
            [probes.x]
            other = "crate's"
            [policy."*"]
            rpo = "1h"
            [notify]
            urls = ["ntfy://s3cret"]
            [heartbeat."*"]
            healthchecks = "https://hc.example/ping/s3cret"
            [copy.far]
            to = "sftp:me@far:/vault"
            rpo = "6h"
            [registry."r:5000"]
            every = "1d"
            [registry."r:5000".forget]
            every = "1d"
            keep-last = 10
            keep-tag = ["v*"]
            keep-within = "90m"
            [digest]
            day = "sunday"
            [upkeep]
            captures = 3
        "#;
        let settings = Settings::read(text, false).unwrap();
        assert_eq!(settings.policies["*"].rpo.unwrap().to_string(), "1h");
        assert_eq!(settings.upkeep.captures, 3);
        assert_eq!(settings.copies["far"].rpo.to_string(), "6h");
        let forget = settings.registries["r:5000"].forget.as_ref().unwrap();
        let words = [
            "--keep-last",
            "10",
            "--keep-tag",
            "v*",
            "--keep-within",
            "2h",
        ];
        assert_eq!(forget.words(), words);
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn wrong_files_are_refused_with_the_line() {
        for (text, why) in [
            ("[policy.x]\nrop = \"1h\"", "rop"),
            ("[policy.x]\nrpo = \"soon\"", "`soon` is no length of time"),
            ("[upkeep]\ncaptures = 0", "would protect nothing"),
            ("[digest]\nday = \"never\"", "no day of the week"),
            ("[registry.r]", "says nothing"),
            ("[registry.r.forget]\nevery = \"1d\"", "everything goes"),
            (
                "[registry.r.forget]\nevery = \"1d\"\nkeep-last = 0",
                "would keep nothing",
            ),
            (
                "[copy.far]\nto = \"/x\"\nrpo = \"1h\"\nretain = \"0d\"",
                "a count of 0 keeps nothing",
            ),
            ("[metrics]\nlisten = \"0.0.0.0:1\"", "no loopback address"),
            (
                "[notify]\nurls = [\"exec:///bin/x\"]",
                "can be changed by others than root",
            ),
        ] {
            let error = Settings::read(text, false).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(Settings::read("[notify]\nurls = [\"exec:///bin/x\"]", true).is_ok());
    }
}
