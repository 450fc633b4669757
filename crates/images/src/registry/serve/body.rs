//! The body of a request, for a thread that may wait.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads what a client sends. Only outside the runtime's own threads.
pub struct BodyReader {
    incoming: Incoming,
    runtime: Handle,
    piece: Bytes,
}

impl BodyReader {
    pub fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            runtime: Handle::current(),
            piece: Bytes::new(),
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let next = timeout(PATIENCE, self.incoming.frame());
            match self.runtime.block_on(next) {
                Ok(None) => return Ok(0),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.piece = data;
                    }
                }
                Ok(Some(Err(error))) => return Err(io::Error::other(error)),
                Err(_) => {
                    let why = "it sent nothing for two minutes";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
