//! Connections: taken, bounded, and told who is at the other end.

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, body::Body, http::StatusCode, response::IntoResponse as _};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::Tls;
use crate::{
    gate::Origin,
    guard::{Groups, Peer},
    problem::Problem,
};

/// Connections at the same time, of each place.
const MOST: usize = 256;
/// How long a head, or a TLS handshake, may take; an idle connection is ended after it too.
const HEAD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

async fn place(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).acquire_owned().await.ok()
}

pub async fn unix(
    listener: UnixListener,
    router: Router,
    groups: Groups,
    mut stop: watch::Receiver<bool>,
) {
    let own = rustix::process::geteuid().as_raw();
    let room = Arc::new(Semaphore::new(MOST));
    while let Some(place) = place(&room).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let peer = stream.peer_cred().ok();
        let peer = peer.map(|peer| Peer {
            uid: peer.uid(),
            gid: peer.gid(),
        });
        let caller = peer.and_then(|peer| peer.caller(own, &groups));
        let router = router.clone();
        let stop = stop.clone();
        tokio::spawn(async move {
            match caller {
                Some(caller) => {
                    serve(stream, router, Origin::Socket(caller), stop).await;
                }
                None => refuse(stream).await,
            }
            drop(place);
        });
    }
}

pub async fn network(
    listener: TcpListener,
    router: Router,
    tls: Tls,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MOST));
    while let Some(place) = place(&room).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (router, acceptor, stop) = (router.clone(), tls.acceptor(), stop.clone());
        tokio::spawn(async move {
            // Answers are small and wait for nothing.
            let _ = stream.set_nodelay(true);
            match tokio::time::timeout(HEAD, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, router, Origin::Network, stop).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the API failed"),
                Err(_) => {}
            }
            drop(place);
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    router: Router,
    origin: Origin,
    mut stop: watch::Receiver<bool>,
) {
    let routed = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(origin.clone());
        hyper::service::Service::call(&routed, request.map(Body::new))
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(64)
            .max_buf_size(32 << 10)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended");
    }
}

/// Says why nobody is let in, whatever is asked; costs a moment and no more.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    let service = service_fn(|_| async {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "user-unknown",
            "your user may not ask this agent: be root, or a member of a group that it was started with (--api-viewers, --api-operators)",
        );
        Ok::<_, std::convert::Infallible>(problem.into_response())
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(2))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(Duration::from_secs(3), connection).await;
}
