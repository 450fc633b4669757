//! Reading what a stranger says, with a bound: what is common to the protocols that we speak ourselves.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Bad, MOST_READ};
use crate::secret::Secret;

/// What is asked of a database.
pub(super) struct Question<'a> {
    pub user: Option<&'a str>,
    pub password: Option<&'a Secret>,
    pub database: &'a str,
    pub query: &'a str,
    /// What the first field of the first row has to be.
    pub expect: Option<&'a str>,
}

impl Question<'_> {
    /// Whether the first field is what it should be; `None`: NULL.
    pub fn judge(&self, field: Option<&[u8]>) -> Result<(), Bad> {
        let Some(wanted) = self.expect else {
            return Ok(());
        };
        let found = field.map(String::from_utf8_lossy);
        if found.as_deref() == Some(wanted) {
            return Ok(());
        }
        let found = found.map_or("NULL".to_owned(), |text| short(&text));
        Err(format!(
            "the query should bring {}, it brings {found}",
            short(wanted)
        )
        .into())
    }
}

/// Printable, and not long.
pub(super) fn short(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut out: String = text.trim().chars().take(160).map(printable).collect();
    if text.trim().chars().count() > 160 {
        out.push('…');
    }
    out
}

/// A connection of which at most [`MOST_READ`] bytes are read in all.
pub(super) struct Wire<S> {
    stream: S,
    left: usize,
    /// Whose protocol it should be, for errors.
    protocol: &'static str,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S, protocol: &'static str) -> Self {
        Self {
            stream,
            left: MOST_READ,
            protocol,
        }
    }

    /// The connection, to go on in TLS: nothing was read beyond what was taken.
    pub fn into_inner(self) -> S {
        self.stream
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let sent = self.stream.write_all(bytes).await;
        sent.map_err(|e| self.broken(&e))
    }

    /// Exactly so many bytes.
    pub async fn take(&mut self, length: usize) -> Result<Vec<u8>, Bad> {
        self.spend(length)?;
        let mut bytes = vec![0; length];
        let read = self.stream.read_exact(&mut bytes).await;
        read.map_err(|e| self.broken(&e))?;
        Ok(bytes)
    }

    pub async fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        self.spend(N)?;
        let mut bytes = [0; N];
        let read = self.stream.read_exact(&mut bytes).await;
        read.map_err(|e| self.broken(&e))?;
        Ok(bytes)
    }

    /// A line of at most a few hundred bytes, without its end.
    pub async fn line(&mut self) -> Result<String, Bad> {
        let mut line = Vec::new();
        loop {
            let [byte] = self.array().await?;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
            if line.len() > 512 {
                return Err(self.strange("a line without end"));
            }
        }
        Ok(String::from_utf8_lossy(&line)
            .trim_end_matches('\r')
            .to_owned())
    }

    /// It does not speak as it should.
    pub fn strange(&self, what: &str) -> Bad {
        Bad::Failure(format!(
            "what answers does not speak {}: {what}",
            self.protocol
        ))
    }

    fn spend(&mut self, length: usize) -> Result<(), Bad> {
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.strange("it says far more than it should")),
        }
    }

    fn broken(&self, error: &io::Error) -> Bad {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Bad::Failure("it closes the connection before its answer is whole".to_owned())
            }
            kind => Bad::Failure(format!("the connection breaks: {kind}")),
        }
    }
}

/// Bytes of an answer, taken one after the other.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// Up to a zero byte, which is dropped.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }
}
