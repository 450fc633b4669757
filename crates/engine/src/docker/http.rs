//! HTTP/1.1 to an engine, blocking outside, hyper on a hidden tokio runtime inside.
//!
//! Why not bollard: its models are typed, and what a typed model does not know is lost on the way from
//! inspect to create. Every answer here stays a `serde_json::Value` with its key order, every create
//! body is posted as such. What bollard would add beyond that (version negotiation, framed exec output)
//! is some sixty lines, and two clients side by side would mean two sets of time limits and errors.
//!
//! What it runs over, and when a connection is used again, is [`super::wire`]'s.
//!
//! A body that is uploaded is read on the caller's thread. When its reader fails, the request is
//! aborted without its end mark, so that the engine never takes a part for the whole.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Channel, Full};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::answer::{Answer, BodyReader};
use super::wire::{RequestBody, Wire};
use crate::{Endpoint, Error, Result};

/// How long an ordinary question may take. A busy engine answers inspect late, but not that late.
pub(crate) const ORDINARY: Duration = Duration::from_secs(120);
/// How long nothing may move on a stream. `save` on 20.10 writes all layers to disk before its first byte.
pub(crate) const STREAM: Duration = Duration::from_secs(1800);
/// How long a socket of this machine may take to say who listens on it.
const PEER: Duration = Duration::from_secs(10);
/// Size of the pieces in which a body is uploaded.
const PIECE: usize = 256 << 10;

/// What a request carries.
pub(crate) enum Body<'a> {
    /// Nothing.
    Empty,
    /// JSON, as it is.
    Json(&'a Value),
    /// A tar stream, read on the caller's thread.
    Tar(&'a mut dyn Read),
}

/// One request.
pub(crate) struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Path with query, escaped.
    pub path: String,
    /// Body.
    pub body: Body<'a>,
    /// What we are about to do, for errors: "pause container 4f2a…".
    pub context: String,
    /// How long the head of the answer may take, and how long its body may stand still.
    pub limit: Duration,
}

/// The client.
#[derive(Clone)]
pub(crate) struct Http {
    runtime: Arc<Runtime>,
    wire: Arc<Wire>,
}

impl Http {
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("engine-io")
            .enable_all()
            .build()
            .map_err(|source| Error::Local {
                context: "start the engine client".to_owned(),
                source,
            })?;
        Ok(Self {
            runtime: Arc::new(runtime),
            wire: Arc::new(Wire::new(endpoint)?),
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.wire.endpoint()
    }

    /// The process that listens on the engine's socket; 0 in another process namespace.
    pub(crate) fn peer_pid(&self) -> Option<u32> {
        let socket = self.endpoint().socket()?;
        let connecting = async { timeout(PEER, tokio::net::UnixStream::connect(socket)).await };
        let stream = self.runtime.block_on(connecting).ok()?.ok()?;
        stream.peer_cred().ok()?.pid()?.try_into().ok()
    }

    /// Sends a request and waits for the head of its answer, whatever its status.
    pub(crate) fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let Ask {
            method,
            path,
            body,
            context,
            limit,
        } = ask;
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost");
        let mut upload = None;
        let body: RequestBody = match body {
            Body::Empty => Full::new(Bytes::new())
                .map_err(|never| match never {})
                .boxed(),
            Body::Json(value) => {
                builder = builder.header(CONTENT_TYPE, "application/json");
                Full::new(Bytes::from(value.to_string()))
                    .map_err(|never| match never {})
                    .boxed()
            }
            Body::Tar(reader) => {
                builder = builder.header(CONTENT_TYPE, "application/x-tar");
                let (sender, channel) = Channel::<Bytes, io::Error>::new(4);
                upload = Some((sender, reader));
                channel.boxed()
            }
        };
        let request = builder.body(body).map_err(|error| Error::Protocol {
            context: context.clone(),
            why: error.to_string(),
        })?;
        let wire = Arc::clone(&self.wire);
        let words = context.clone();
        // An upload takes as long as its reader does: its limit is on standing still, below.
        let head_limit = if upload.is_some() { None } else { Some(limit) };
        let task = self
            .runtime
            .spawn(async move { wire.exchange(request, &words, head_limit).await });
        let fed = match upload {
            Some((sender, reader)) => self.feed(sender, reader, &context, limit),
            None => Ok(()),
        };
        if let Err(error @ Error::Local { .. }) = fed {
            // Our own reader failed: that is the cause, whatever the engine says to half a stream.
            task.abort();
            return Err(error);
        }
        let (response, back) = self
            .runtime
            .block_on(async { timeout(limit, task).await })
            .map_err(|_| Error::Timeout {
                context: context.clone(),
                after: limit,
            })?
            .map_err(|error| Error::Protocol {
                context: context.clone(),
                why: error.to_string(),
            })??;
        fed?;
        let (head, body) = response.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            body: BodyReader {
                runtime: Arc::clone(&self.runtime),
                body,
                piece: Bytes::new(),
                limit,
                back,
            },
        })
    }

    /// Sends the reader's bytes piece by piece. Stops without an error when the engine has answered
    /// before the end: its answer says why.
    fn feed(
        &self,
        mut sender: http_body_util::channel::Sender<Bytes, io::Error>,
        reader: &mut dyn Read,
        context: &str,
        limit: Duration,
    ) -> Result<()> {
        let mut buffer = vec![0_u8; PIECE];
        loop {
            let filled = match fill(reader, &mut buffer) {
                Ok(filled) => filled,
                Err(source) => {
                    sender.abort(io::Error::other("the source of the stream failed"));
                    return Err(Error::Local {
                        context: context.to_owned(),
                        source,
                    });
                }
            };
            if filled == 0 {
                return Ok(());
            }
            let piece = Bytes::copy_from_slice(&buffer[..filled]);
            let sent = self
                .runtime
                .block_on(async { timeout(limit, sender.send_data(piece)).await });
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                Err(_) => {
                    return Err(Error::Timeout {
                        context: context.to_owned(),
                        after: limit,
                    });
                }
            }
        }
    }
}

/// Reads until the buffer is full or the reader ends.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Escapes one path segment or query value: everything but unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn escapes_what_would_end_a_segment() {
        assert_eq!(escape("a/b?c d&e:é"), "a%2Fb%3Fc%20d%26e%3A%C3%A9");
        assert_eq!(escape("plain-1.2_x~"), "plain-1.2_x~");
    }
}
