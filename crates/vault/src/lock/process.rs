//! Whether a process on this machine is still the one that wrote a lock.
//!
//! A process id alone lies: ids are used again, and another machine or container may have the same
//! host name. So a lease carries the scope in which its pid means something (boot and pid name space)
//! and the start time of the process. This is the one place where the vault asks the system itself.

use rustix::fs::{Mode, OFlags};

/// Where a pid means something: this boot of this kernel, this pid name space. Empty where
/// neither can be told.
pub(super) fn scope() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = rustix::fs::readlink("/proc/self/ns/pid", Vec::new())
        .map(|target| target.to_string_lossy().into_owned())
        .unwrap_or_default();
    if boot.is_empty() || space.is_empty() {
        String::new()
    } else {
        format!("{} {space}", boot.trim())
    }
}

/// Start time of a process in ticks since boot, `None` if there is no such process.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The name stands in parentheses and may hold anything; field 22 counts from the last one. A
    // zombie (state Z) has ended.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

fn read(path: &str) -> Option<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 1024];
    let length = rustix::io::read(&file, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_nobody_is_not() {
        assert!(start_time(std::process::id()).is_some_and(|t| t > 0));
        assert_eq!(start_time(u32::MAX), None);
        assert!(scope().contains("pid:["));
    }
}
