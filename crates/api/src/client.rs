//! Asking an agent over its socket; blocking, one request a connection.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, Result, model, problem::Problem};

const PATIENCE: Duration = Duration::from_secs(15);
const MOST: u64 = 64 << 20;

/// An agent's socket.
pub struct Client<'s> {
    socket: &'s Path,
}

impl<'s> Client<'s> {
    /// Of the agent that listens there.
    #[must_use]
    pub fn at(socket: &'s Path) -> Self {
        Self { socket }
    }

    /// How all is.
    ///
    /// # Errors
    /// No agent answers.
    pub fn status(&self) -> Result<model::Status> {
        self.get("/api/v1/status")
    }

    /// Maintenance begins or ends.
    ///
    /// # Errors
    /// No agent answers, or it knows no such app.
    pub fn maintenance(&self, app: Option<&str>, on: bool) -> Result<()> {
        let body = serde_json::json!({"app": app, "on": on});
        self.post::<Value>("/api/v1/maintenance", &body).map(drop)
    }

    /// Restart policies go back to what they were.
    ///
    /// # Errors
    /// No agent answers.
    pub fn release(&self) -> Result<()> {
        let nothing = serde_json::json!({});
        self.post::<Value>("/api/v1/release", &nothing).map(drop)
    }

    /// Ends a job.
    ///
    /// # Errors
    /// No agent answers, or the job is over.
    pub fn cancel(&self, job: u64) -> Result<()> {
        let nothing = serde_json::json!({});
        let path = format!("/api/v1/jobs/{job}/cancel");
        self.post::<Value>(&path, &nothing).map(drop)
    }

    /// One job, with how far it is.
    ///
    /// # Errors
    /// No agent answers, or there is no such job.
    pub fn job(&self, job: u64) -> Result<model::Job> {
        self.get(&format!("/api/v1/jobs/{job}"))
    }

    /// Asks for something.
    ///
    /// # Errors
    /// No agent answers, or not as was hoped.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask("GET", path, "")
    }

    /// Has something done.
    ///
    /// # Errors
    /// No agent answers, or not as was hoped.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_string(body).unwrap_or_default();
        self.ask("POST", path, &body)
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: &str) -> Result<T> {
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = UnixStream::connect(self.socket)?;
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
        let answer = exchange().map_err(|source| Error::NotRunning {
            socket: self.socket.to_owned(),
            source,
        })?;
        let broken = |why: String| Error::Refused {
            status: 0,
            message: why,
        };
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .ok_or_else(|| broken("nothing that can be understood".to_owned()))?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or(0);
        if !(200..300).contains(&status) {
            let said = serde_json::from_str::<Problem>(body);
            return Err(Error::Refused {
                status,
                message: said.map_or_else(|_| body.to_owned(), |problem| problem.detail),
            });
        }
        serde_json::from_str(body).map_err(|error| broken(error.to_string()))
    }
}
