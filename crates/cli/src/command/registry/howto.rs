//! What a person has to write down where, so that engines pull from here.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use lifeboat_images::registry::DOCKER_HUB;
use serde_json::{Value, json};

use crate::session::shell_word;

/// Where the server is, and what it serves.
pub struct HowTo<'a> {
    pub address: SocketAddr,
    pub is_tls: bool,
    /// The certificate that clients have to trust, where it is one that we made.
    pub ca: Option<PathBuf>,
    pub names: &'a [String],
    /// Registries whose images are here, and how many repositories of each.
    pub registries: Vec<(String, usize)>,
}

impl HowTo<'_> {
    fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    pub fn first_line(&self) -> String {
        format!("serving images on {}", self.url())
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let registries = self.registries.iter();
        let registries: Vec<Value> = registries
            .map(|(name, count)| json!({"name": name, "repositories": count}))
            .collect();
        json!({"url": self.url(), "ca": self.ca, "names": self.names, "registries": registries})
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut text = self.first_line() + "\n";
        self.lines(&mut text).unwrap_or_default();
        text
    }

    fn lines(&self, out: &mut String) -> std::fmt::Result {
        if self.registries.is_empty() {
            return writeln!(
                out,
                "no recovery point holds an image yet; one that comes is seen"
            );
        }
        let list: Vec<String> = self
            .registries
            .iter()
            .map(|(name, count)| format!("{name} ({count})"))
            .collect();
        writeln!(out, "repositories of: {}\n", list.join(", "))?;
        if let Some(ca) = &self.ca {
            writeln!(out, "Engines have to trust {}:", ca.display())?;
            let mut hosts = self.names.to_vec();
            hosts.push(self.address.to_string());
            for host in hosts {
                let ca = shell_word(&ca.display().to_string());
                writeln!(
                    out,
                    "  install -D -m 0644 {ca} /etc/docker/certs.d/{host}/ca.crt"
                )?;
            }
            writeln!(out)?;
        }
        if self.registries.iter().any(|(name, _)| name == DOCKER_HUB) {
            writeln!(
                out,
                "Docker, images of docker.io; in /etc/docker/daemon.json:"
            )?;
            writeln!(out, "  {{\"registry-mirrors\": [\"{}\"]}}", self.url())?;
        }
        for name in self.names {
            writeln!(
                out,
                "Docker, images of {name}, by their own names; in /etc/hosts of the engine:"
            )?;
            let host = name.split(':').next().unwrap_or(name);
            writeln!(out, "  {} {host}", self.address.ip())?;
            let port = name.rsplit_once(':').map_or("443", |(_, port)| port);
            if port != self.address.port().to_string() {
                writeln!(
                    out,
                    "  (and listen on the port of that name: --listen ADDRESS:{port})"
                )?;
            }
        }
        for (name, _) in &self.registries {
            writeln!(
                out,
                "containerd; in /etc/containerd/certs.d/{name}/hosts.toml:"
            )?;
            writeln!(out, "  [host.\"{}\"]", self.url())?;
            writeln!(out, "    capabilities = [\"pull\", \"resolve\"]")?;
            if let Some(ca) = &self.ca {
                writeln!(out, "    ca = \"{}\"", ca.display())?;
            }
        }
        for (name, _) in &self.registries {
            writeln!(
                out,
                "Podman; in /etc/containers/registries.conf.d/lifeboat.conf:"
            )?;
            writeln!(out, "  [[registry]]\n  location = \"{name}\"")?;
            writeln!(
                out,
                "  [[registry.mirror]]\n  location = \"{}\"",
                self.address
            )?;
            if !self.is_tls || self.ca.is_some() {
                writeln!(out, "  insecure = true")?;
            }
        }
        Ok(())
    }
}
