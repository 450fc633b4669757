//! What happens on an engine, as it happens; and the short list of its containers.
//!
//! The stream is never to be trusted alone: an engine drops events when a reader is slow, and forgets all of
//! them when it is restarted. Who follows it lists now and then as well.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;

use hyper::Method;
use lifeboat_plan::inventory::ContainerState;
use serde_json::Value;

use super::answer::BodyReader;
use super::http::{Body, ORDINARY, escape};
use super::{DockerEngine, text};
use crate::{Error, Result};

/// A single event is some hundred bytes; one with many labels some thousand.
const MAX_EVENT: usize = 4 << 20;
/// What of a container's life is asked for. The health check's own `exec_…` events, several a second on a busy
/// host, are not.
const CONTAINER_EVENTS: [&str; 13] = [
    "create",
    "start",
    "restart",
    "die",
    "kill",
    "stop",
    "pause",
    "unpause",
    "destroy",
    "rename",
    "oom",
    "update",
    "health_status",
];

/// One event of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineEvent {
    /// `container`, `volume`, `network`, …
    pub kind: String,
    /// `start`, `die`, `health_status: unhealthy`, …
    pub action: String,
    /// Id of what it happened to.
    pub id: String,
    /// What the engine adds: a container's name, image, labels, exit code, signal.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970 by the engine's clock.
    pub time_nano: i64,
}

/// The events of an engine, until it ends or the stream is dropped.
pub trait EventStream: Send {
    /// The next event; `None` if nothing happened for so long.
    ///
    /// # Errors
    /// The connection broke or was ended: the engine went away, or is being stopped.
    fn next(&mut self, wait: Duration) -> Result<Option<EngineEvent>>;
}

/// One container as the engine's list shows it: little, and cheap to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// State.
    pub state: ContainerState,
    /// The engine's own words: `Up 3 minutes (healthy)`, `Exited (137) 2 hours ago`.
    pub status: String,
}

struct Stream {
    body: BodyReader,
    pending: Vec<u8>,
}

impl EventStream for Stream {
    fn next(&mut self, wait: Duration) -> Result<Option<EngineEvent>> {
        let context = || "follow the engine's events".to_owned();
        self.body.wait_at_most(wait);
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let raw = serde_json::from_slice(&line).map_err(|error| Error::Protocol {
                    context: context(),
                    why: error.to_string(),
                })?;
                return Ok(Some(event(&raw)));
            }
            if self.pending.len() > MAX_EVENT {
                return Err(Error::Protocol {
                    context: context(),
                    why: "an event is larger than 4 MiB".to_owned(),
                });
            }
            let mut piece = [0_u8; 16 << 10];
            match self.body.read(&mut piece) {
                Ok(0) => {
                    return Err(Error::Transport {
                        context: context(),
                        source: io::Error::new(io::ErrorKind::UnexpectedEof, "the engine ended it"),
                    });
                }
                Ok(count) => self.pending.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                Err(source) => {
                    return Err(Error::Transport {
                        context: context(),
                        source,
                    });
                }
            }
        }
    }
}

/// What an event says. Older engines repeat id and action under other names; Podman has only some of them.
fn event(raw: &Value) -> EngineEvent {
    let actor = &raw["Actor"];
    let first = |a: &str, b: &str| if a.is_empty() { b } else { a }.to_owned();
    let attributes = actor["Attributes"].as_object().into_iter().flatten();
    let nano = raw["timeNano"].as_i64();
    EngineEvent {
        kind: text(raw, "Type").to_owned(),
        action: first(text(raw, "Action"), text(raw, "status")),
        id: first(text(actor, "ID"), text(raw, "id")),
        attributes: attributes
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        time_nano: nano
            .or_else(|| {
                raw["time"]
                    .as_i64()
                    .map(|secs| secs.saturating_mul(1_000_000_000))
            })
            .unwrap_or(0),
    }
}

fn listed(entry: &Value) -> Listed {
    let name = entry["Names"][0].as_str().unwrap_or_default();
    let state = serde_json::json!({"Status": text(entry, "State")});
    Listed {
        id: text(entry, "Id").to_owned(),
        name: name.trim_start_matches('/').to_owned(),
        state: super::facts::container_state(&state),
        status: text(entry, "Status").to_owned(),
    }
}

impl DockerEngine {
    /// Follows what happens to containers, and the removal of volumes, networks and images. With `since`
    /// (nanoseconds since 1970 by the engine's clock) what it still remembers from then on comes first.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn events(&self, since: Option<i64>) -> Result<Box<dyn EventStream>> {
        let context = "follow the engine's events";
        let events: Vec<String> = CONTAINER_EVENTS.iter().map(|e| (*e).to_owned()).collect();
        let filters = serde_json::json!({
            "type": ["container", "volume", "network"],
            "event": events,
        });
        let mut path = format!("/events?filters={}", escape(&filters.to_string()));
        if let Some(nano) = since {
            let (secs, rest) = (
                nano.div_euclid(1_000_000_000),
                nano.rem_euclid(1_000_000_000),
            );
            path.push_str(&format!("&since={secs}.{rest:09}"));
        }
        let answer = self.call_within(Method::GET, &path, Body::Empty, context, ORDINARY)?;
        Ok(Box::new(Stream {
            body: answer.body,
            pending: Vec::new(),
        }))
    }

    /// All containers, stopped ones included, as the engine's list shows them.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn list_containers(&self) -> Result<Vec<Listed>> {
        let list = self.get_json("/containers/json?all=1", "list containers")?;
        let entries = list.as_array().into_iter().flatten();
        Ok(entries
            .filter(|entry| !super::inventory::is_scratch(entry))
            .map(listed)
            .collect())
    }

    /// Sends a signal to a container's first process.
    ///
    /// # Errors
    /// No such container, or it does not run.
    pub fn kill(&self, id: &str, signal: &str) -> Result<()> {
        let path = format!("/containers/{}/kill?signal={}", escape(id), escape(signal));
        let context = format!("send {signal} to container {id}");
        self.post(&path, Body::Empty, &context).map(drop)
    }

    /// The last lines that a container wrote, both streams, at most 64 KiB.
    ///
    /// # Errors
    /// No such container, or its log driver cannot be read.
    pub fn log_tail(&self, id: &str, lines: usize) -> Result<String> {
        const MOST: u64 = 256 << 10;
        let context = format!("read the log of container {id}");
        let path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&tail={lines}",
            escape(id)
        );
        let answer = self.call(Method::GET, &path, Body::Empty, &context)?;
        let mut raw = Vec::new();
        let read = answer.body.take(MOST).read_to_end(&mut raw);
        read.map_err(|source| Error::Transport { context, source })?;
        Ok(plain_log(&raw))
    }
}

/// A log without the frames that the engine puts around each piece (there are none with a terminal).
fn plain_log(mut raw: &[u8]) -> String {
    let mut out = Vec::with_capacity(raw.len());
    while let Some((head, rest)) = raw.split_first_chunk::<8>() {
        let [stream, 0, 0, 0, a, b, c, d] = *head else {
            break;
        };
        if stream > 2 {
            break;
        }
        let length = (u32::from_be_bytes([a, b, c, d]) as usize).min(rest.len());
        out.extend_from_slice(&rest[..length]);
        raw = &rest[length..];
    }
    if out.is_empty() {
        out.extend_from_slice(raw);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_each_kind_of_engine() {
        let docker = json!({
            "status": "die", "id": "ab", "Type": "container", "Action": "die",
            "Actor": {"ID": "ab", "Attributes": {"name": "web", "exitCode": "137"}},
            "time": 5, "timeNano": 5_000_000_001_i64,
        });
        let found = event(&docker);
        assert_eq!((found.action.as_str(), found.id.as_str()), ("die", "ab"));
        assert_eq!(found.attributes["exitCode"], "137");
        assert_eq!(found.time_nano, 5_000_000_001);
        let bare = event(&json!({"status": "start", "id": "cd", "time": 7}));
        assert_eq!((bare.action.as_str(), bare.id.as_str()), ("start", "cd"));
        assert_eq!(bare.time_nano, 7_000_000_000);
    }

    #[test]
    fn a_log_with_and_without_frames() {
        assert_eq!(
            plain_log(b"\x01\0\0\0\0\0\0\x03ok\n\x02\0\0\0\0\0\0\x04bad\n"),
            "ok\nbad\n"
        );
        assert_eq!(plain_log(b"a terminal's\r\n"), "a terminal's\r\n");
        assert_eq!(plain_log(b""), "");
    }

    #[test]
    fn what_the_list_shows() {
        let entry = json!({"Id": "ab", "Names": ["/web"], "State": "exited", "Status": "Exited (1) 2 hours ago"});
        let found = listed(&entry);
        assert_eq!(
            (found.name.as_str(), found.state),
            ("web", ContainerState::Exited)
        );
    }
}
