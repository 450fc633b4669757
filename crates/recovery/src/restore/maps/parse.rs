//! Mappings as a person writes them: `OLD:NEW` or `OLD=NEW`, or in a YAML file of the same pairs.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use lifeboat_plan::path;
use serde::Deserialize;

use super::{ImageMap, Maps, PortMap, Subnet, Variable};

/// What was given, unread. Beside the name of its flag in [`Given::read`].
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Given {
    pub ports: Vec<String>,
    pub binds: Vec<String>,
    pub networks: Vec<String>,
    pub subnets: Vec<String>,
    pub volumes: Vec<String>,
    pub images: Vec<String>,
    pub variables: Vec<String>,
    /// A file of them.
    pub file: Option<PathBuf>,
}

/// The file: the same pairs, by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    ports: Pairs,
    binds: Pairs,
    networks: Pairs,
    subnets: Pairs,
    volumes: Pairs,
    images: Pairs,
    env: Pairs,
}

type Pairs = BTreeMap<String, String>;

impl Given {
    /// Reads all of it.
    ///
    /// # Errors
    /// Everything that cannot be read, one sentence each.
    pub fn read(&self) -> Result<Maps, Vec<String>> {
        let mut reading = Reading::default();
        let file = self.file();
        let file = file.unwrap_or_else(|why| {
            reading.problems.push(why);
            File::default()
        });
        let first = |text: &str| text.split_once([':', '=']).map(owned);
        let of_path = |text: &str| {
            let colon = text.find(":/").map(|at| text.split_at(at));
            colon
                .map(|(old, new)| (old.to_owned(), new[1..].to_owned()))
                .or_else(|| text.split_once('=').map(owned))
        };
        let variable = |text: &str| text.split_once('=').map(owned);
        for (old, new) in reading.pairs("--map-port", &self.ports, first, file.ports) {
            reading.port(&old, &new);
        }
        for (old, new) in reading.pairs("--map-bind", &self.binds, of_path, file.binds) {
            reading.bind(&old, &new);
        }
        for (old, new) in reading.pairs("--map-network", &self.networks, first, file.networks) {
            reading.name("network", old, new);
        }
        for (old, new) in reading.pairs("--map-volume", &self.volumes, first, file.volumes) {
            reading.name("volume", old, new);
        }
        for (old, new) in reading.pairs("--map-subnet", &self.subnets, first, file.subnets) {
            reading.subnet(&old, &new);
        }
        for given in &self.images {
            reading.image(given);
        }
        for (old, new) in file.images {
            reading.image(&format!("{old}={new}"));
        }
        for (key, value) in reading.pairs("--map-env", &self.variables, variable, file.env) {
            reading.variable(&key, value);
        }
        reading.once();
        if reading.problems.is_empty() {
            Ok(reading.maps)
        } else {
            Err(reading.problems)
        }
    }

    fn file(&self) -> Result<File, String> {
        let Some(path) = &self.file else {
            return Ok(File::default());
        };
        let text = fs_err::read_to_string(path).map_err(|e| format!("--map-file: {e}"))?;
        if text.trim().is_empty() {
            return Ok(File::default());
        }
        serde_saphyr::from_str(&text).map_err(|e| {
            let why = e.to_string();
            // The parser's excerpt of the file may hold a password.
            let why = why.lines().next().unwrap_or_default().to_owned();
            format!(
                "--map-file {} cannot be read: {why}; it has the keys ports, binds, networks, subnets, volumes, images and env, each with lines `OLD: NEW`",
                path.display()
            )
        })
    }
}

fn owned((old, new): (&str, &str)) -> (String, String) {
    (old.to_owned(), new.to_owned())
}

#[derive(Default)]
struct Reading {
    maps: Maps,
    problems: Vec<String>,
}

impl Reading {
    /// The pairs of a flag and of the file.
    fn pairs(
        &mut self,
        flag: &str,
        given: &[String],
        split: impl Fn(&str) -> Option<(String, String)>,
        file: Pairs,
    ) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for text in given {
            match split(text) {
                Some((old, new)) if !old.is_empty() && (!new.is_empty() || flag == "--map-env") => {
                    pairs.push((old, new));
                }
                // What follows `=` may be a password.
                _ if flag == "--map-env" => self.wrong(
                    flag,
                    text.split('=').next().unwrap_or_default(),
                    "it is written KEY=VALUE or SERVICE:KEY=VALUE",
                ),
                _ => self.wrong(flag, text, "it is written OLD:NEW"),
            }
        }
        pairs.extend(file);
        pairs
    }

    fn wrong(&mut self, flag: &str, given: &str, why: &str) {
        self.problems
            .push(format!("{flag} {}: {why}", given.escape_debug()));
    }

    fn port(&mut self, old: &str, new: &str) {
        let (number, protocol) = match old.split_once('/') {
            Some((number, protocol)) => (number, Some(protocol)),
            None => (old, None),
        };
        let port = |text: &str| text.parse::<u16>().ok();
        let published = port(number).filter(|p| *p != 0);
        let known = protocol.is_none_or(|p| ["tcp", "udp", "sctp"].contains(&p));
        let target = port(new).map(|new| (None, new)).or_else(|| {
            let address: SocketAddr = new.parse().ok()?;
            Some((Some(address.ip()), address.port()))
        });
        match (published, known, target) {
            (Some(old), true, Some((address, new))) => self.maps.ports.push(PortMap {
                old,
                protocol: protocol.map(str::to_owned),
                address,
                new,
            }),
            _ => self.wrong(
                "--map-port",
                &format!("{old}:{new}"),
                "it is written OLD[/tcp|/udp]:[ADDRESS:]NEW with ports of the host from 1 to 65535; 0 as the new one is any free one",
            ),
        }
    }

    fn bind(&mut self, old: &str, new: &str) {
        let given = format!("{old}:{new}");
        let (Some(old), Some(new)) = (path::clean(old), path::clean(new)) else {
            return self.wrong(
                "--map-bind",
                &given,
                "both are absolute paths of the host, without `..`",
            );
        };
        let longest = new.split('/').map(str::len).max().unwrap_or(0);
        if old == "/" || new == "/" {
            self.wrong("--map-bind", &given, "`/` itself is not mapped");
        } else if longest > 255 || new.len() > 4095 {
            self.wrong(
                "--map-bind",
                &given,
                "the new path is too long: 255 bytes a name, 4095 in all",
            );
        } else if self.maps.binds.insert(old, new).is_some() {
            self.wrong("--map-bind", &given, "the old path is given twice");
        }
    }

    fn name(&mut self, kind: &str, old: String, new: String) {
        let flag = format!("--map-{kind}");
        let given = format!("{old}:{new}");
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let first = new.bytes().next().unwrap_or_default();
        let pairs = match kind {
            "volume" => &mut self.maps.volumes,
            _ => &mut self.maps.networks,
        };
        if new.len() > 255 {
            self.wrong(&flag, &given, "the new name is longer than 255 characters");
        } else if new.len() < 2 || !new.bytes().all(good) || !first.is_ascii_alphanumeric() {
            self.wrong(
                &flag,
                &given,
                "the new name has letters, digits, `_`, `.` and `-`, at least two, and begins with a letter or a digit",
            );
        } else if pairs.insert(old, new).is_some() {
            self.wrong(&flag, &given, "the old name is given twice");
        }
    }

    fn subnet(&mut self, old: &str, new: &str) {
        let given = format!("{old}:{new}");
        let target = match new {
            "auto" => Some(None),
            _ => Subnet::parse(new).map(Some),
        };
        match (Subnet::parse(old), target) {
            (Some(old), Some(new)) if new.is_none_or(|n| n.length() == old.length()) => {
                self.maps.subnets.push((old, new));
            }
            _ => self.wrong(
                "--map-subnet",
                &given,
                "it is written 10.1.0.0/24:10.2.0.0/24 with IPv4 subnets of the same size, or 10.1.0.0/24:auto",
            ),
        }
    }

    fn image(&mut self, given: &str) {
        let splits: Vec<(String, String)> = match given.split_once('=') {
            Some(pair) => vec![owned(pair)],
            None => given
                .match_indices(':')
                .map(|(at, _)| (given[..at].to_owned(), given[at + 1..].to_owned()))
                .collect(),
        };
        let image = |text: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
            !text.is_empty() && text.bytes().all(good) && !text.starts_with([':', '/', '@'])
        };
        let splits: Vec<_> = splits
            .into_iter()
            .filter(|(old, new)| image(old) && image(new))
            .collect();
        if splits.is_empty() {
            return self.wrong("--map-image", given, "it is written OLD=NEW, both images");
        }
        self.maps.images.push(ImageMap {
            given: given.to_owned(),
            splits,
        });
    }

    fn variable(&mut self, given: &str, value: String) {
        let (service, key) = match given.rsplit_once(':') {
            Some((service, key)) => (Some(service), key),
            None => (None, given),
        };
        let good = !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || c == '\0');
        if !good || service.is_some_and(str::is_empty) || value.contains('\0') {
            return self.wrong(
                "--map-env",
                given,
                "it is written KEY=VALUE or SERVICE:KEY=VALUE",
            );
        }
        self.maps.variables.push(Variable {
            service: service.map(str::to_owned),
            key: key.to_owned(),
            value,
        });
    }

    /// What is given twice, where a list does not tell.
    fn once(&mut self) {
        let mut twice = Vec::new();
        let maps = &self.maps;
        for (at, port) in maps.ports.iter().enumerate() {
            let same = |other: &PortMap| {
                other.old == port.old
                    && (other.protocol.is_none()
                        || port.protocol.is_none()
                        || other.protocol == port.protocol)
            };
            if maps.ports[..at].iter().any(same) {
                twice.push(("--map-port", port.to_string()));
            }
        }
        for (at, (subnet, _)) in maps.subnets.iter().enumerate() {
            if maps.subnets[..at].iter().any(|(other, _)| other == subnet) {
                twice.push(("--map-subnet", subnet.to_string()));
            }
        }
        for (at, variable) in maps.variables.iter().enumerate() {
            let same = |v: &Variable| v.service == variable.service && v.key == variable.key;
            if maps.variables[..at].iter().any(same) {
                twice.push(("--map-env", variable.to_string()));
            }
        }
        for (flag, given) in twice {
            self.wrong(flag, &given, "it is given twice");
        }
    }
}
