//! Letting everything else on this machine go first.
//!
//! The idle classes of the processor (`SCHED_IDLE`) and of the disk (`IOPRIO_CLASS_IDLE`) belong to threads, and a new
//! thread inherits them, so all threads that there are get them. While an app stands still for us it must not be kept
//! waiting by what runs beside us: [`first`] lifts all threads for that time. Who may not lift them (no `CAP_SYS_NICE`)
//! is told when it asks to be lowered, and nothing is lowered.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Whether [`lower`] was called: a process is at work for one purpose.
static LOWERED: AtomicBool = AtomicBool::new(false);
/// Classes are changed by one at a time: who lifts for good is not to be lowered again by whose guard ends in that moment.
static CHANGE: Mutex<()> = Mutex::new(());

const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// `IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT`.
const IO_IDLE: libc::c_int = 3 << 13;
/// The class that follows from the processor's.
const IO_NONE: libc::c_int = 0;

/// Puts all threads of this process into the idle classes. An error where they could not be lifted out of them again.
pub fn lower() -> std::io::Result<()> {
    // One thread, there and back: what has no way back is not begun.
    std::thread::spawn(|| {
        set(0, libc::SCHED_IDLE, IO_IDLE).and_then(|()| set(0, libc::SCHED_OTHER, IO_NONE))
    })
    .join()
    .map_err(|_| std::io::Error::other("a thread died"))??;
    LOWERED.store(true, Ordering::SeqCst);
    all(libc::SCHED_IDLE, IO_IDLE)
}

/// Puts all threads of this process back into the usual classes: for a program that inherited the idle ones.
pub fn lift() -> std::io::Result<()> {
    let _one = CHANGE.lock();
    LOWERED.store(false, Ordering::SeqCst);
    all(libc::SCHED_OTHER, IO_NONE)
}

/// Lifts the process after so long, if it still runs then.
pub fn lift_after(time: std::time::Duration) {
    std::thread::spawn(move || {
        // Where everybody else is busy, an idle thread would not wake to say so.
        let _ = set(0, libc::SCHED_OTHER, IO_NONE);
        std::thread::sleep(time);
        match lift() {
            Ok(()) => tracing::info!("stood back for {time:?}, now takes its part"),
            Err(error) => tracing::warn!(%error, "leave the idle class"),
        }
    });
}

/// Lifts a lowered process until the guard is dropped.
#[must_use]
pub fn first() -> First {
    let lowered = LOWERED.load(Ordering::SeqCst);
    if lowered && let Err(error) = all(libc::SCHED_OTHER, IO_NONE) {
        tracing::warn!(%error, "leave the idle class for as long as the app stands still");
    }
    First(lowered)
}

/// While it is there, this process does not stand back.
#[derive(Debug)]
pub struct First(bool);

impl Drop for First {
    fn drop(&mut self) {
        let _one = CHANGE.lock();
        // It may have been lifted for good meanwhile.
        if self.0
            && LOWERED.load(Ordering::SeqCst)
            && let Err(error) = all(libc::SCHED_IDLE, IO_IDLE)
        {
            tracing::warn!(%error, "go back to the idle class");
        }
    }
}

/// All threads. One that begins meanwhile has inherited what the thread has that began it, so it is gone through until
/// nobody is new.
fn all(policy: libc::c_int, io: libc::c_int) -> std::io::Result<()> {
    let mut done = std::collections::HashSet::new();
    loop {
        let mut new = false;
        for entry in fs_err::read_dir("/proc/self/task")? {
            let name = entry?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if !done.insert(thread) {
                continue;
            }
            new = true;
            match set(thread, policy, io) {
                // It has ended.
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
        if !new {
            return Ok(());
        }
    }
}

/// One thread; 0 is this one.
fn set(thread: libc::pid_t, policy: libc::c_int, io: libc::c_int) -> std::io::Result<()> {
    let said = |code: i64| match code {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    let parameters = libc::sched_param { sched_priority: 0 };
    #[allow(unsafe_code, reason = "no crate has these two calls for threads")]
    // SAFETY: `parameters` lives as long as the call, and the kernel only reads it.
    said(i64::from(unsafe {
        libc::sched_setscheduler(thread, policy, &raw const parameters)
    }))?;
    #[allow(unsafe_code, reason = "no crate has these two calls for threads")]
    // SAFETY: three numbers; no memory is involved.
    said(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, io) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(unsafe_code)]
    fn classes() -> Vec<(i32, i64)> {
        let entries = fs_err::read_dir("/proc/self/task").unwrap();
        let threads = entries.map(|e| {
            e.unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse::<i32>()
                .unwrap()
        });
        threads
            // SAFETY: numbers alone.
            .map(|t| unsafe {
                let io = libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, t);
                (libc::sched_getscheduler(t), io >> 13)
            })
            .collect()
    }

    #[test]
    fn all_threads_stand_back_and_come_forward_while_somebody_waits() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        let idle = (libc::SCHED_IDLE, 3);
        lower().unwrap();
        let lowered = classes();
        assert!(
            lowered.len() > 1 && lowered.iter().all(|c| *c == idle),
            "{lowered:?}"
        );
        // A thread that begins now stands back too.
        let (policy, io) = std::thread::spawn(|| classes().pop().unwrap())
            .join()
            .unwrap();
        assert_eq!((policy, io), idle);
        let first = first();
        assert!(
            classes()
                .iter()
                .all(|(policy, io)| *policy == libc::SCHED_OTHER && *io != 3)
        );
        drop(first);
        assert!(classes().iter().all(|c| *c == idle));
        lift_after(std::time::Duration::from_millis(300));
        assert!(classes().contains(&idle));
        std::thread::sleep(std::time::Duration::from_millis(900));
        assert!(
            classes()
                .iter()
                .all(|(policy, _)| *policy == libc::SCHED_OTHER)
        );
        drop(stop);
        let _ = other.join();
    }
}
