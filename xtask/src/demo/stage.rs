//! The program on a private engine, with vault, key and state of its own.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use lifeboat_testkit::engine::PrivateEngine;
use serde_json::Value;

use super::Context;

/// Where the demo plays.
pub struct Stage<'a> {
    pub context: &'a Context,
}

impl Stage<'_> {
    /// A path of the demo's own.
    pub fn path(&self, name: &str) -> String {
        self.context.dir.join(name).display().to_string()
    }

    /// The program with places of its own.
    pub fn command(&self, engine: &PrivateEngine, args: &[&str]) -> Command {
        let mut command = Command::new(&self.context.lifeboat);
        command
            .args(args)
            .env("DOCKER_HOST", engine.docker_host())
            .env("LIFEBOAT_CONFIG_DIR", self.path("etc"))
            .env("LIFEBOAT_STATE_DIR", self.path("state"))
            .env_remove("LIFEBOAT_VAULT")
            .env_remove("LIFEBOAT_PASSWORD");
        command
    }

    /// Runs the program as a person would, its output on the terminal.
    pub fn lifeboat(&self, engine: &PrivateEngine, args: &[&str]) -> Result<()> {
        let status = self.command(engine, args).status()?;
        ensure!(
            status.success(),
            "lifeboat {} ended with {status}",
            args.join(" ")
        );
        Ok(())
    }

    /// Runs it for its figures.
    pub fn json(&self, engine: &PrivateEngine, args: &[&str]) -> Result<Value> {
        let output = self
            .command(engine, args)
            .args(["-o", "json"])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!(
                "lifeboat {} ended with {}: {}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
