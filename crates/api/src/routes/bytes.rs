//! Bytes as a command writes them: the first are waited for, so that what is not there is told by a status and not by an empty body.

use std::io::Read as _;
use std::sync::Arc;

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream::unfold;
use lifeboat_objectives::Flow;
use tokio::sync::{Semaphore, mpsc};

use crate::{problem::Problem, shared::Shared};

/// So much at a time.
const PIECE: usize = 256 << 10;
/// So many are read at the same time.
const MOST: usize = 8;
static ROOM: Semaphore = Semaphore::const_new(MOST);

type Piece = Result<Bytes, std::io::Error>;

/// What a command of this program writes.
pub async fn of(shared: &Arc<Shared>, args: Vec<String>) -> Result<Response, Problem> {
    let place = ROOM
        .try_acquire()
        .map_err(|_| Problem::away(format!("{MOST} are read already; ask again later")))?;
    let flow = shared.keeper()?.stream(&args).map_err(Problem::away)?;
    let (to, mut from) = mpsc::channel::<Piece>(2);
    tokio::task::spawn_blocking(move || {
        pump(flow, &to);
        drop(place);
    });
    let first = match from.recv().await {
        None => None,
        Some(Ok(piece)) => Some(Ok(piece)),
        Some(Err(why)) => return Err(Problem::unknown(why.to_string())),
    };
    let pieces = unfold((first, from), |(first, mut from)| async move {
        let piece = match first {
            Some(piece) => piece,
            None => from.recv().await?,
        };
        Some((piece, (None, from)))
    });
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((kind, Body::from_stream(pieces)).into_response())
}

/// Reads to the end; a command that fails ends it with an error, which breaks the connection off.
fn pump(mut flow: Flow, to: &mpsc::Sender<Piece>) {
    loop {
        let mut piece = vec![0; PIECE];
        match flow.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                piece.truncate(read);
                if to.blocking_send(Ok(Bytes::from(piece))).is_err() {
                    return;
                }
            }
            Err(why) => {
                let _ = to.blocking_send(Err(why));
                return;
            }
        }
    }
    let failed = match flow.end() {
        Ok(said) if said.code == Some(0) => return,
        Ok(said) => std::io::Error::other(said.last_word()),
        Err(why) => why,
    };
    let _ = to.blocking_send(Err(failed));
}
