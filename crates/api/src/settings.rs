//! `[api]` in `lifeboat.toml`: where the API is served, in the place of flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lifeboat_plan::suggest;
use serde::Deserialize;

use crate::{Error, Result};

/// What can stand in it.
const FIELDS: [&str; 8] = [
    "listen",
    "cert",
    "key",
    "client-ca",
    "tokens",
    "socket",
    "viewers",
    "operators",
];

/// What it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Address of the network.
    pub listen: Option<SocketAddr>,
    /// Certificate, PEM, with those that vouch for it.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Authority (PEM) of which clients on the network need a certificate, beside their token.
    pub client_ca: Option<PathBuf>,
    /// File of tokens; none: `api-tokens.toml` beside the settings.
    pub tokens: Option<PathBuf>,
    /// A second socket, for members of groups.
    pub socket: Option<PathBuf>,
    /// Groups whose members may look.
    pub viewers: Vec<String>,
    /// Groups whose members may have things done.
    pub operators: Vec<String>,
}

impl Settings {
    /// Reads the section; a file or a section that is not there says nothing.
    ///
    /// # Errors
    /// It cannot be read, or contradicts itself; with the line.
    pub fn load(file: &Path) -> Result<Self> {
        let text = match fs_err::read_to_string(file) {
            Ok(text) => text,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(why) => return Err(Error::at(format!("read {}", file.display()))(why)),
        };
        Self::read(&text)
            .map_err(|why| Error::Settings(format!("{} cannot be used: {why}", file.display())))
    }

    fn read(text: &str) -> Result<Self, String> {
        let at = |span: Option<std::ops::Range<usize>>| {
            let line = span.map(|span| text[..span.start].matches('\n').count() + 1);
            line.map_or_else(String::new, |n| format!(" (line {n})"))
        };
        let sections: BTreeMap<toml::Spanned<String>, toml::Spanned<toml::Value>> =
            toml::from_str(text).map_err(|e| format!("{}{}", e.message(), at(e.span())))?;
        // Other sections are others'; one that is almost ours would say nothing to anybody.
        for name in sections.keys() {
            let known = ["api", "policy", "copy"];
            let is_near = suggest::distance(&name.get_ref().to_lowercase(), "api") == 1;
            if is_near && !known.contains(&name.get_ref().as_str()) {
                return Err(format!(
                    "there is no section [{}]{}; did you mean [api]?",
                    name.get_ref(),
                    at(Some(name.span()))
                ));
            }
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct File {
            api: Settings,
        }
        let file: File = toml::from_str(text).map_err(|e| {
            let unknown = e
                .message()
                .split('`')
                .nth(1)
                .filter(|_| e.message().starts_with("unknown field"));
            match unknown {
                Some(field) => format!(
                    "[api] has no `{field}`{}{}",
                    suggest::sentence(&suggest::suggest(field, FIELDS)),
                    at(e.span())
                ),
                None => format!("[api]: {}{}", e.message(), at(e.span())),
            }
        })?;
        file.api.consistent()?;
        Ok(file.api)
    }

    fn consistent(&self) -> Result<(), String> {
        let network = [
            ("cert", self.cert.is_some()),
            ("key", self.key.is_some()),
            ("client-ca", self.client_ca.is_some()),
        ];
        if self.listen.is_none()
            && let Some((name, _)) = network.iter().find(|(_, given)| *given)
        {
            return Err(format!(
                "[api] {name} says nothing without `listen`: give the address and port that it is for"
            ));
        }
        if self.listen.is_some() {
            for (name, given) in &network[..2] {
                if !given {
                    return Err(format!(
                        "[api] listen needs `{name}`: over the network there is no way without TLS"
                    ));
                }
            }
        }
        let groups = [("viewers", &self.viewers), ("operators", &self.operators)];
        for (name, groups) in groups {
            if !groups.is_empty() && self.socket.is_none() {
                return Err(format!(
                    "[api] {name} are let in over `socket`, and none is named; the agent's own is for root alone"
                ));
            }
        }
        let paths = [
            ("cert", &self.cert),
            ("key", &self.key),
            ("client-ca", &self.client_ca),
            ("tokens", &self.tokens),
            ("socket", &self.socket),
        ];
        for (name, path) in paths {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(format!("[api] {name} is no absolute path"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_read_and_others_are_left() {
        let text = "[policy.\"*\"]\nrpo = \"1h\"\n[probes.x]\nother = 1\n[api]\nlisten = \"0.0.0.0:8443\"\ncert = \"/c\"\nkey = \"/k\"\nclient-ca = \"/a\"\nsocket = \"/run/lifeboat/api\"\nviewers = [\"staff\"]\n";
        let read = Settings::read(text).unwrap();
        assert_eq!(read.listen.unwrap().port(), 8443);
        assert_eq!(read.viewers, ["staff"]);
        assert_eq!(Settings::read("").unwrap(), Settings::default());
        assert_eq!(Settings::read("[policy.x]\n").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, why) in [
            (
                "[api]\nlisen = \"x\"",
                "[api] has no `lisen` (did you mean `listen`?) (line 2)",
            ),
            (
                "\n[appi]\nlisten = \"x\"",
                "no section [appi] (line 2); did you mean [api]?",
            ),
            ("[api]\n\nlisten = \"here\"", "(line 3)"),
            ("[api]\nlisten = \"0.0.0.0:1\"", "listen needs `cert`"),
            (
                "[api]\nlisten = \"0.0.0.0:1\"\ncert = \"/c\"",
                "listen needs `key`",
            ),
            ("[api]\ncert = \"/c\"", "cert says nothing without `listen`"),
            (
                "[api]\nclient-ca = \"/c\"",
                "client-ca says nothing without `listen`",
            ),
            (
                "[api]\nviewers = [\"x\"]",
                "over `socket`, and none is named",
            ),
            ("[api]\nsocket = \"here\"", "socket is no absolute path"),
            ("[api", "(line 1)"),
        ] {
            let error = Settings::read(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
