//! Bytes from a blocking thread into a connection, piece by piece, hashed on the way. The last piece is held back
//! until all of it is right.

use std::{
    io::{self, SeekFrom},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use crate::{
    Digest,
    registry::{Content, ShelvedBlob},
};

/// Bytes of a piece.
const PIECE: u64 = 256 << 10;
/// Pieces that wait in between.
const WAITING: usize = 2;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be sent.
pub struct Feed {
    content: Box<dyn Content>,
    digest: Digest,
    from: u64,
    length: u64,
    /// It is all of the blob: it has to have the digest.
    is_whole: bool,
}

impl Feed {
    pub fn whole(blob: ShelvedBlob, digest: Digest) -> Self {
        Self {
            length: blob.size,
            content: blob.content,
            digest,
            from: 0,
            is_whole: true,
        }
    }

    pub fn part(blob: ShelvedBlob, digest: Digest, from: u64, length: u64) -> Self {
        Self {
            content: blob.content,
            digest,
            from,
            is_whole: from == 0 && length == blob.size,
            length,
        }
    }
}

/// Begins to send; the permit is held until it is done.
pub fn start(feed: Feed, permit: OwnedSemaphorePermit) -> Pieces {
    let (sender, pieces) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        send(feed, &sender, &runtime);
    });
    Pieces(pieces)
}

/// The body of an answer that comes from another thread. (`http_body_util`'s channel loses what is sent last, if its sender
/// goes between two looks of its reader.)
#[derive(Debug)]
pub struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = self.0.poll_recv(cx);
        next.map(|next| next.map(|piece| piece.map(Frame::data)))
    }
}

fn send(feed: Feed, sender: &mpsc::Sender<io::Result<Bytes>>, runtime: &Handle) {
    let digest = feed.digest.clone();
    let sent = pump(feed, &mut |piece| match runtime
        .block_on(timeout(PATIENCE, sender.send(Ok(piece))))
    {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Broken::Gone("it went away")),
        Err(_) => Err(Broken::Gone("it took nothing for two minutes")),
    });
    match sent {
        Ok(()) => {}
        Err(Broken::Gone(why)) => {
            tracing::debug!(%digest, "a client: {why}");
            let _ = sender.try_send(Err(io::ErrorKind::TimedOut.into()));
        }
        Err(Broken::Bad(error)) => {
            tracing::warn!("a pull of {digest} was broken off: {error}");
            let _ = runtime.block_on(timeout(PATIENCE, sender.send(Err(error))));
        }
    }
}

#[derive(Debug)]
enum Broken {
    /// The client.
    Gone(&'static str),
    /// The bytes.
    Bad(io::Error),
}

/// Reads so many bytes, piece by piece. What cannot be read is given as such, and is the last.
fn read(
    content: &mut dyn Content,
    mut left: u64,
    take: &mut dyn FnMut(Result<Vec<u8>, Broken>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    while left > 0 {
        // No more than a piece, so it fits.
        let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or_default()];
        if let Err(error) = content.read_exact(&mut piece) {
            return take(Err(Broken::Bad(error)));
        }
        left -= piece.len() as u64;
        take(Ok(piece))?;
    }
    Ok(())
}

fn pump(mut feed: Feed, send: &mut dyn FnMut(Bytes) -> Result<(), Broken>) -> Result<(), Broken> {
    let content = feed.content.as_mut();
    if feed.from > 0 {
        content
            .seek(SeekFrom::Start(feed.from))
            .map_err(Broken::Bad)?;
    }
    let mut hash = feed.digest.algorithm().hasher();
    let mut held = None;
    let length = feed.length;
    // Small ones are not worth a thread; of others the next piece is read (opened, unpacked, hashed by the vault) while
    // this one is hashed and sent.
    let mut take = |piece: Vec<u8>| {
        if feed.is_whole {
            hash.update(&piece);
        }
        match held.replace(Bytes::from(piece)) {
            Some(before) => send(before),
            None => Ok(()),
        }
    };
    if length <= 4 * PIECE {
        read(content, length, &mut |piece| take(piece?))?;
    } else {
        std::thread::scope(|scope| {
            let (sender, pieces) = std::sync::mpsc::sync_channel(WAITING);
            let ahead = std::thread::Builder::new().name("registry-read".to_owned());
            let ahead = ahead.spawn_scoped(scope, move || {
                // Who does not want more has gone.
                let gone = |_| Broken::Gone("it went away");
                let _ = read(content, length, &mut |piece| {
                    sender.send(piece).map_err(gone)
                });
            });
            ahead.map_err(Broken::Bad)?;
            pieces.into_iter().try_for_each(|piece| take(piece?))
        })?;
    }
    if feed.is_whole {
        let found = hash.finish();
        if found != feed.digest {
            let why = format!(
                "it is damaged, its bytes have digest {found}; `lifeboat check --read-data` says more"
            );
            return Err(Broken::Bad(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
    }
    held.map_or(Ok(()), send)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn pumped(feed: Feed) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let whole = pump(feed, &mut |piece| {
            out.extend_from_slice(&piece);
            Ok(())
        });
        (out, whole.is_ok())
    }

    fn blob(bytes: &[u8]) -> ShelvedBlob {
        ShelvedBlob {
            size: bytes.len() as u64,
            content: Box::new(Cursor::new(bytes.to_vec())),
        }
    }

    #[test]
    fn the_last_piece_waits_for_the_digest() {
        let bytes: Vec<u8> = (0..600_000_u32).map(|i| (i % 251) as u8).collect();
        let right = Digest::of(&bytes);
        assert_eq!(
            pumped(Feed::whole(blob(&bytes), right.clone())),
            (bytes.clone(), true)
        );
        let mut wrong = bytes.clone();
        wrong[599_999] ^= 1;
        let (sent, whole) = pumped(Feed::whole(blob(&wrong), right.clone()));
        assert!(!whole && sent.len() < wrong.len(), "{}", sent.len());

        let (sent, whole) = pumped(Feed::part(blob(&bytes), right.clone(), 300_000, 10));
        assert!(whole);
        assert_eq!(sent, bytes[300_000..300_010]);

        // It ends before it should.
        let mut short = blob(&bytes[..400_000]);
        short.size = 600_000;
        let (sent, whole) = pumped(Feed::whole(short, right));
        assert!(!whole && sent.len() < 400_000);

        assert_eq!(
            pumped(Feed::whole(blob(b""), Digest::of(b""))),
            (vec![], true)
        );
        assert!(!pumped(Feed::whole(blob(b""), Digest::of(b"x"))).1);
    }

    /// Seen to fail in 9 of 20,000, with `http_body_util`'s channel in its place.
    #[test]
    fn what_is_sent_last_arrives() {
        use http_body_util::BodyExt;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        for _ in 0..5000 {
            let (sender, pieces) = mpsc::channel(WAITING);
            let sent = std::thread::spawn(move || drop(sender.try_send(Ok(Bytes::from("{}")))));
            let all = runtime.block_on(runtime.spawn(Pieces(pieces).collect()));
            assert_eq!(all.unwrap().unwrap().to_bytes(), "{}");
            sent.join().unwrap();
        }
    }
}
