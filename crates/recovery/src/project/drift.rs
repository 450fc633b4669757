//! Whether files and containers still agree, where the Compose that brought the project up is there
//! to say it: it keeps a hash of each service's definition on the containers.
//!
//! Looked at for `apps` alone, never needed by a backup, over in seconds: whatever is missing, does
//! not answer or is of another version (whose hashes are others) makes the answer "not looked at".

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use lifeboat_plan::{
    app::App,
    inventory::Inventory,
    label::{CONFIG_HASH, SERVICE, get},
};

use crate::selection::ProjectChoice;

/// No answer of Compose takes longer.
const MAX_TIME: Duration = Duration::from_secs(8);
/// Nor is it longer.
const MAX_ANSWER: u64 = 1 << 20;

/// Services whose containers are other than the files say; `None`: not looked at.
pub fn drift(app: &App, inventory: &Inventory, choice: &ProjectChoice) -> Option<Vec<String>> {
    let project = app.project.as_ref()?;
    let folder = choice.folder.as_deref()?;
    // Files that are missing, or that Compose would fetch from elsewhere.
    let whole = choice.complete && choice.facts.missing.is_empty() && choice.facts.lost.is_empty();
    if !whole || choice.config_files.is_empty() {
        return None;
    }
    let program = compose(project.version.as_deref()?)?;
    let mut command = start(program);
    command.args(["--profile", "*", "--project-name", &project.name]);
    command.args(["--project-directory", folder]);
    for file in &choice.config_files {
        command.args(["--file", file]);
    }
    for file in &choice.environment_files {
        command.args(["--env-file", file]);
    }
    let said = answer(command.args(["config", "--hash", "*"]))?;
    let files: BTreeMap<&str, &str> = said
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .collect();
    let mut other = BTreeSet::new();
    for container in inventory
        .containers
        .iter()
        .filter(|c| app.container(&c.id).is_some())
    {
        let labels = &container.labels;
        if let (Some(service), Some(hash)) = (get(labels, SERVICE), get(labels, CONFIG_HASH))
            && files.get(service).map(|hash| hash.trim()) != Some(hash)
        {
            other.insert(service.to_owned());
        }
    }
    Some(other.into_iter().collect())
}

/// The Compose of this version, if the host has it.
fn compose(version: &str) -> Option<&'static [&'static str]> {
    let programs: [&[&str]; 2] = [&["docker-compose"], &["docker", "compose"]];
    programs.into_iter().find(|program| {
        answer(start(program).args(["version", "--short"]))
            .is_some_and(|said| plain(&said) == plain(version))
    })
}

fn plain(version: &str) -> &str {
    let version = version.trim();
    version.strip_prefix('v').unwrap_or(version)
}

#[allow(
    clippy::disallowed_methods,
    reason = "Compose alone knows its own hash"
)]
fn start(program: &[&str]) -> Command {
    let (name, arguments) = program.split_first().unwrap_or((&"docker-compose", &[]));
    let mut command = Command::new(name);
    command.args(arguments);
    for other in [
        "COMPOSE_FILE",
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_PROFILES",
        "COMPOSE_ENV_FILES",
    ] {
        command.env_remove(other);
    }
    command
}

/// What a program says, if it does so in time and is content.
fn answer(command: &mut Command) -> Option<String> {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = quiet.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    // Not waited for: a child of the child may keep the pipe open for long.
    std::thread::spawn(move || {
        let mut said = String::new();
        let read = stdout.take(MAX_ANSWER).read_to_string(&mut said);
        let _ = send.send(read.map(|_| said));
    });
    let said = receive.recv_timeout(MAX_TIME);
    if said.is_err() {
        let _ = child.kill();
    }
    let is_content = child.wait().is_ok_and(|status| status.success());
    said.ok()?.ok().filter(|_| is_content)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests run programs")]
mod tests {
    use super::*;

    #[test]
    fn programs_that_fail_or_are_missing_say_nothing() {
        assert_eq!(
            answer(Command::new("echo").arg("5.6.0")).as_deref(),
            Some("5.6.0\n")
        );
        assert_eq!(answer(&mut Command::new("false")), None);
        assert_eq!(answer(&mut Command::new("lifeboat-no-such-program")), None);
        assert_eq!(plain(" v5.6.0\n"), "5.6.0");
    }
}
