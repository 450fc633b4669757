//! Processes of an engine: signals, waiting, taking away what is left.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal};

use crate::command::run;
use crate::{Error, Result};

pub(super) const CLEANUP: &str = include_str!("cleanup.sh");

/// Sends a signal to a child of ours. Since nobody else reaps it, its id is still its own.
pub(super) fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits for the end of a child; false when it did not end in time.
pub(super) fn wait(child: &mut Child, time: Duration) -> Result<bool> {
    let end = Instant::now() + time;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

/// Kills every process of the engine in `dir` and removes its control groups.
pub(super) fn clean_up(dir: &Path, token: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", CLEANUP, "cleanup"]).arg(dir);
    run(command.args([token, "0"])).map(drop)
}

/// Removes a directory of an engine whose processes are gone. The mounts of their namespace may
/// take a moment to go.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if tries == 20 => return Err(error.into()),
            Err(_) => tries += 1,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(super) fn http_get(address: IpAddr, port: u16, path: &str) -> Result<(u16, String)> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), limit)?;
    stream.set_read_timeout(Some(limit))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Error::malformed("an HTTP answer", head))?;
    Ok((status, body.to_owned()))
}
