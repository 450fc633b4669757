//! Asking an agent over its socket; blocking, one request a connection.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Maintenance, Status};
use crate::log::Entry;
use crate::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(15);
const MOST: u64 = 64 << 20;

/// How all containers are.
///
/// # Errors
/// No agent answers.
pub fn status(socket: &Path) -> Result<Status> {
    ask(socket, "GET", "/v1/status", "")
}

/// What happened after that number, the newest `most`.
///
/// # Errors
/// No agent answers.
pub fn events(socket: &Path, after: u64, most: usize) -> Result<Vec<Entry>> {
    ask(
        socket,
        "GET",
        &format!("/v1/events?after={after}&limit={most}"),
        "",
    )
}

/// Maintenance begins or ends.
///
/// # Errors
/// No agent answers, or it knows no such app.
pub fn maintenance(socket: &Path, app: Option<&str>, on: bool) -> Result<()> {
    let app = app.map(str::to_owned);
    let body = serde_json::to_string(&Maintenance { app, on }).unwrap_or_default();
    ask::<Value>(socket, "POST", "/v1/maintenance", &body).map(drop)
}

/// Restart policies go back to what they were.
///
/// # Errors
/// No agent answers.
pub fn release(socket: &Path) -> Result<()> {
    ask::<Value>(socket, "POST", "/v1/release", "{}").map(drop)
}

fn ask<T: DeserializeOwned>(socket: &Path, method: &str, path: &str, body: &str) -> Result<T> {
    let gone = |source| Error::NotRunning {
        socket: socket.to_owned(),
        source,
    };
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: lifeboat\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(gone)?;
    let text = String::from_utf8_lossy(&answer);
    let broken = |why: &str| Error::Refused {
        status: 0,
        message: why.to_owned(),
    };
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| broken("nothing that can be understood"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    if !(200..300).contains(&status) {
        let said: Value = serde_json::from_str(body).unwrap_or_default();
        return Err(Error::Refused {
            status,
            message: said["error"].as_str().unwrap_or(body).to_owned(),
        });
    }
    serde_json::from_str(body).map_err(|error| broken(&error.to_string()))
}
