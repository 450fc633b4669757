//! Asking an agent over its socket; blocking, one request a connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, Result, model, problem::Problem};

const PATIENCE: Duration = Duration::from_secs(15);
const MOST: u64 = 64 << 20;

/// While nothing is said, whoever follows has its turn so often.
const TURN: Duration = Duration::from_millis(500);

/// How following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// With the job.
    Ended,
    /// The agent went.
    BrokenOff,
}

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

    /// Follows a job: `each` gets it whenever it is another than before, and none twice a second, to do what else there is. Ends with
    /// the job, or when the connection does.
    ///
    /// # Errors
    /// No agent answers, or it refuses.
    pub fn follow(&self, job: u64, mut each: impl FnMut(Option<model::Job>)) -> Result<Followed> {
        let gone = |source| Error::NotRunning {
            socket: self.socket.to_owned(),
            source,
        };
        let mut stream = UnixStream::connect(self.socket).map_err(gone)?;
        stream.set_read_timeout(Some(TURN)).map_err(gone)?;
        // As HTTP/1.0 has it, the events come as they are, without pieces around them.
        let path = format!("/api/v1/operations/{job}/events");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: lifeboat\r\n\r\n").map_err(gone)?;
        let mut said = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return Ok(Followed::BrokenOff),
                Ok(read) => said.extend_from_slice(&piece[..read]),
                Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    each(None);
                    continue;
                }
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Followed::BrokenOff),
            }
            // Whole events, each ended by an empty line.
            while let Some(end) = said.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = said.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let Some(job) = data.and_then(|d| serde_json::from_str::<model::Job>(d).ok())
                else {
                    continue;
                };
                let over = job.is_over();
                each(Some(job));
                if over {
                    return Ok(Followed::Ended);
                }
            }
            if said.len() as u64 > MOST {
                return Ok(Followed::BrokenOff);
            }
        }
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
