//! What an engine answers: the head at once, the body as a blocking reader.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};
use tokio::time::timeout;

use super::wire::{Back, chain};
use crate::{Error, Result};

/// Largest JSON answer that is taken.
const MAX_JSON: u64 = 256 << 20;
/// Largest error message that is read.
const MAX_MESSAGE: u64 = 64 << 10;

/// The head of an answer, with its body still to be read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: BodyReader,
}

/// The body of an answer as a blocking reader. Dropping it early closes the connection.
pub(crate) struct BodyReader {
    pub(super) runtime: Arc<Runtime>,
    pub(super) body: Incoming,
    pub(super) piece: Bytes,
    pub(super) limit: Duration,
    /// The connection, where it can be used again.
    pub(super) back: Option<Back>,
}

impl BodyReader {
    /// From now on nothing may come for so long. Reading again after a time-out goes on where it was.
    pub(super) fn wait_at_most(&mut self, limit: Duration) {
        self.limit = limit;
    }

    fn at_end(&mut self) {
        if let Some(back) = self.back.take() {
            back.keep();
        }
    }
}

/// An answer without a body is at its end from the beginning.
impl Drop for BodyReader {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.at_end();
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.piece.is_empty() {
            let handle: &Handle = self.runtime.handle();
            let body = &mut self.body;
            let limit = self.limit;
            let frame = handle.block_on(async { timeout(limit, body.frame()).await });
            match frame {
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the engine's stream stood still",
                    ));
                }
                Ok(None) => {
                    self.at_end();
                    return Ok(0);
                }
                Ok(Some(Err(error))) => return Err(io::Error::other(chain(&error))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.piece = data;
                    }
                }
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece[..count]);
        self.piece.advance(count);
        Ok(count)
    }
}

impl Answer {
    /// The answer if its status says success (or "already so", 304), the engine's error otherwise.
    pub(crate) fn success(mut self, context: &str) -> Result<Self> {
        if (200..300).contains(&self.status) || self.status == 304 {
            return Ok(self);
        }
        let mut text = Vec::new();
        // A message that breaks off is still better than none.
        let _ = (&mut self.body).take(MAX_MESSAGE).read_to_end(&mut text);
        let message = serde_json::from_slice::<Value>(&text)
            .ok()
            .and_then(|value| {
                value
                    .get("message")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| String::from_utf8_lossy(&text).trim().to_owned());
        let context = context.to_owned();
        Err(match self.status {
            404 => Error::NotFound { context, message },
            409 => Error::Conflict { context, message },
            status => Error::Refused {
                context,
                status,
                message,
            },
        })
    }

    /// The whole body as JSON, with the order of its keys.
    pub(crate) fn json(mut self, context: &str) -> Result<Value> {
        let text = self.bytes(context)?;
        serde_json::from_slice(&text).map_err(|error| Error::Protocol {
            context: context.to_owned(),
            why: error.to_string(),
        })
    }

    /// The whole body.
    pub(crate) fn bytes(&mut self, context: &str) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        (&mut self.body)
            .take(MAX_JSON)
            .read_to_end(&mut text)
            .map_err(|source| Error::Transport {
                context: context.to_owned(),
                source,
            })?;
        if text.len() as u64 == MAX_JSON {
            return Err(Error::Protocol {
                context: context.to_owned(),
                why: "it is larger than 256 MiB".to_owned(),
            });
        }
        Ok(text)
    }
}
