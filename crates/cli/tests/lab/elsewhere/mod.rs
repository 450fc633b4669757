//! An engine whose file system is not ours: over TLS, over SSH, from inside a container, with mapped ids.

mod ids;
mod inside;
mod into;
mod memory;
mod oddities;
mod refused;
mod ssh;
mod tls;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeboat_testkit::{
    certificates::{self, Certificates},
    engine::{EngineOptions, PrivateEngine},
    remote::{self, ENGINE_ADDRESS, Remote, TLS_PORT},
};
use serde_json::Value;

use crate::support::Lab;

/// An engine that is reached over TLS alone, by a program that sees neither its directory nor `hidden`.
pub struct Elsewhere {
    pub engine: PrivateEngine,
    pub remote: Remote,
    pub certificates: Certificates,
    pub hidden: Vec<PathBuf>,
}

impl Elsewhere {
    pub fn start(lab: &Lab, name: &str) -> Self {
        Self::start_with(lab, name, |_| {})
    }

    /// The same, with more that is special about the engine.
    pub fn start_with(lab: &Lab, name: &str, change: impl FnOnce(&mut EngineOptions)) -> Self {
        let certificates = certificates::make(&lab.path("certs"), ENGINE_ADDRESS).unwrap();
        let mut options = EngineOptions::new(name, lab.path(name)).hostname("far");
        options.args = remote::tls_args(&certificates.server);
        change(&mut options);
        let engine = PrivateEngine::start(options).unwrap();
        let remote = Remote::connect(&engine).unwrap();
        let hidden = vec![engine.dir().to_owned(), lab.path("shop"), lab.path("srv")];
        Self {
            engine,
            remote,
            certificates,
            hidden,
        }
    }

    /// The program with the certificates of a client that the engine knows.
    pub fn command(&self, lab: &Lab, args: &[&str]) -> Command {
        self.command_as(lab, &self.certificates.client, args)
    }

    pub fn command_as(&self, lab: &Lab, folder: &Path, args: &[&str]) -> Command {
        let mut command = lab.command(None, args);
        command
            .env("DOCKER_HOST", format!("tcp://{ENGINE_ADDRESS}:{TLS_PORT}"))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", folder);
        self.there(&command)
    }

    /// A command as it runs on the machine that sees nothing of the engine's files.
    pub fn there(&self, command: &Command) -> Command {
        let hidden: Vec<&Path> = self.hidden.iter().map(PathBuf::as_path).collect();
        self.remote.on(command, &hidden)
    }

    pub fn json(&self, lab: &Lab, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let output = ended(&mut self.command(lab, &args), code);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Runs a command that has to end with this code.
pub fn ended(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\n--- stdout\n{}\n--- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Names of helper containers that are left.
pub fn helpers(engine: &PrivateEngine) -> Vec<String> {
    let all = crate::tiny::names(engine);
    let ours = |name: &String| name.contains("lifeboat-");
    all.into_iter().filter(ours).collect()
}

/// Warnings of a report.
pub fn warnings(report: &Value) -> Vec<&str> {
    let list = report["warnings"].as_array().unwrap();
    list.iter().map(|line| line.as_str().unwrap()).collect()
}
