//! Processes of containers, where the engine's are to be seen here: not of an engine elsewhere, and not from a container
//! without the host's processes.

use std::collections::BTreeMap;

use lifeboat_plan::inventory::Container;
use lifeboat_plan::supervise::Process;
use rustix::process::{Pid, Signal, kill_process};

/// The first process of a container that was just inspected. A number that is another's process here does not count.
pub(crate) fn of(container: &Container) -> Option<Process> {
    let pid = container.pid;
    if pid == 0 || !is_in(pid, &container.id) {
        return None;
    }
    let began = Stat::of(pid).ok()?.began?;
    Some(Process { pid, began })
}

/// Those that have ended.
pub(crate) fn ended(of: &BTreeMap<String, Process>) -> BTreeMap<String, Process> {
    let all = of.iter().filter(|(_, process)| has_ended(process));
    all.map(|(id, process)| (id.clone(), *process)).collect()
}

/// Whether it is not there any more, or is one that has ended and waits for its parent.
fn has_ended(process: &Process) -> bool {
    match Stat::of(process.pid) {
        Ok(stat) => {
            matches!(stat.state, 'Z' | 'X') || stat.began.is_some_and(|at| at != process.began)
        }
        // It may end while it is read.
        Err(error) => {
            error.kind() == std::io::ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
        }
    }
}

/// A process that a SIGSTOP holds gets no other signal: all of its are woken before a stop, so that it can end in its own
/// way. One that waits for a child that sleeps on would have to be killed in the end.
pub(crate) fn wake(id: &str) {
    for pid in held(id) {
        // It may have ended meanwhile.
        if let Err(error) = kill_process(pid, Signal::CONT) {
            tracing::debug!(%error, container = id, "a process of it cannot be woken");
        }
    }
}

/// Processes in a container's cgroup that a signal holds.
fn held(id: &str) -> Vec<Pid> {
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return Vec::new();
    };
    let is_held = |pid: &u32| Stat::of(*pid).is_ok_and(|stat| stat.state == 'T') && is_in(*pid, id);
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_held)
        .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .collect()
}

/// Whether a process is in the cgroup of a container.
fn is_in(pid: u32, id: &str) -> bool {
    !id.is_empty()
        && fs_err::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|cgroup| cgroup.contains(id))
}

/// What the kernel says of a process.
struct Stat {
    state: char,
    began: Option<u64>,
}

impl Stat {
    fn of(pid: u32) -> std::io::Result<Self> {
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may hold anything; what stands behind its last parenthesis does not.
        let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
        Ok(Self {
            state: rest.chars().next().unwrap_or('?'),
            began: rest.split(' ').nth(19).and_then(|at| at.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// As of a container's, which this one is not.
    fn seen(pid: u32) -> Process {
        let began = Stat::of(pid).unwrap().began.unwrap();
        Process { pid, began }
    }

    #[allow(clippy::disallowed_methods, reason = "a process that ends is needed")]
    #[test]
    fn one_that_ended_and_one_that_has_its_number_are_told_from_one_that_lives() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = seen(child.id());
        assert!(!has_ended(&process));
        let later = Process {
            began: process.began + 1,
            ..process
        };
        assert!(has_ended(&later), "another one has its number");
        child.kill().unwrap();
        // Nobody has asked for its end yet: it is a zombie.
        let zombie = || Stat::of(child.id()).is_ok_and(|stat| stat.state == 'Z');
        while !zombie() {
            std::thread::yield_now();
        }
        assert!(has_ended(&process));
        child.wait().unwrap();
        assert!(has_ended(&process));
    }

    #[test]
    fn what_is_no_process_of_the_container_here_is_not_taken_for_it() {
        let container = Container {
            id: "0123456789abcdef".repeat(4),
            pid: std::process::id(),
            ..Container::default()
        };
        assert_eq!(of(&container), None);
    }
}
