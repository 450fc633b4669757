//! What probes need of an engine beyond the ordinary: the word of all HEALTHCHECKs at once, and an end for a command
//! that takes too long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::http::escape;
use super::{DockerEngine, text};
use crate::{Checked, Result};

/// How long killed processes are looked for again.
const KILLING: Duration = Duration::from_millis(300);

impl DockerEngine {
    /// What the engine makes of the HEALTHCHECK of each container that runs and has one, by id: one question for all.
    /// An engine that does not say it in its list leaves a container out.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn health_states(&self) -> Result<BTreeMap<String, Checked>> {
        let filters = escape(r#"{"health":["starting","healthy","unhealthy"]}"#);
        let path = format!("/containers/json?filters={filters}");
        let list = self.get_json(&path, "list the health of containers")?;
        let entries = list.as_array().into_iter().flatten();
        let known = entries.filter_map(|entry| {
            let state = checked(text(entry, "Status"))?;
            Some((text(entry, "Id").to_owned(), state))
        });
        Ok(known.collect())
    }

    /// Whether the engine's host has the network that we are in, so that an address of a container is its address for
    /// us too. `false` where that cannot be seen.
    #[must_use]
    pub fn network_is_ours(&self) -> bool {
        let Some(pid) = self.http.peer_pid().filter(|pid| *pid != 0) else {
            return false;
        };
        let of = |who: &str| fs_err::read_link(format!("/proc/{who}/ns/net")).ok();
        let theirs = of(&pid.to_string());
        theirs.is_some() && theirs == of("thread-self")
    }

    /// Kills what a command in a container has started and still runs, as far as its processes can be seen from here:
    /// the API has no word for it. Gives back how many were killed.
    pub(super) fn end_exec(&self, exec: &str, container: &str) -> usize {
        let path = format!("/exec/{exec}/json");
        let Ok(state) = self.get_json(&path, "look for a command that takes too long") else {
            return 0;
        };
        let id = match text(&state, "ContainerID") {
            "" => container,
            id => id,
        };
        let pid = state["Pid"].as_u64().filter(|pid| *pid > 1);
        match pid.and_then(|pid| u32::try_from(pid).ok()) {
            Some(pid) if state["Running"].as_bool() == Some(true) => kill_tree(pid, id),
            _ => 0,
        }
    }
}

/// `Up 5 seconds (health: starting)`.
fn checked(status: &str) -> Option<Checked> {
    let (_, word) = status.strip_suffix(')')?.rsplit_once('(')?;
    match word {
        "healthy" => Some(Checked::Healthy),
        "unhealthy" => Some(Checked::Unhealthy),
        "health: starting" | "starting" => Some(Checked::Starting),
        _ => None,
    }
}

/// Kills a process of a container and all that came of it. A child is found as long as its parent lives, so children
/// are collected before anything is killed; what is made meanwhile is found on the next round.
fn kill_tree(root: u32, id: &str) -> usize {
    let end = Instant::now() + KILLING;
    let mut killed = 0;
    loop {
        let mut tree = vec![root];
        let mut at = 0;
        while let Some(pid) = tree.get(at).copied() {
            at += 1;
            let tasks = format!("/proc/{pid}/task/{pid}/children");
            let children = fs_err::read_to_string(tasks).unwrap_or_default();
            tree.extend(
                children
                    .split_whitespace()
                    .filter_map(|c| c.parse::<u32>().ok()),
            );
        }
        let now: usize = tree
            .iter()
            .rev()
            .map(|pid| usize::from(kill(*pid, id)))
            .sum();
        killed += now;
        if now == 0 || Instant::now() >= end {
            return killed;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a process, if it is one of this container. The descriptor is taken before it is looked at, so that a number
/// that is given away meanwhile kills nobody else.
fn kill(pid: u32, id: &str) -> bool {
    let raw = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let Some(Ok(process)) = raw.map(|raw| pidfd_open(raw, PidfdFlags::empty())) else {
        return false;
    };
    if !crate::network_namespace::is_of(pid.into(), id) {
        return false;
    }
    // A zombie can be signalled still; it counts for nothing.
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat
        .rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'));
    !zombie && pidfd_send_signal(&process, Signal::KILL).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_behind_the_status() {
        assert_eq!(checked("Up 3 minutes (healthy)"), Some(Checked::Healthy));
        assert_eq!(
            checked("Up 3 minutes (unhealthy)"),
            Some(Checked::Unhealthy)
        );
        assert_eq!(
            checked("Up 1 second (health: starting)"),
            Some(Checked::Starting)
        );
        assert_eq!(checked("Up 3 minutes"), None);
        assert_eq!(checked("Up 3 minutes (Paused)"), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a process to leave alone")]
    fn a_stranger_is_not_killed() {
        let mut child = std::process::Command::new("sleep")
            .arg("20")
            .spawn()
            .unwrap();
        assert_eq!(kill_tree(child.id(), &"ab".repeat(32)), 0);
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
