//! Connections: accepted, wrapped in TLS, asked and answered.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    MAX_CONNECTIONS, Server, Tls,
    answer::{Answer, Asked, Body, Refusal},
    body::BodyReader,
    feed, route,
};

/// How long a client may take for its handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a body that is refused which are still read.
const SPARE: u64 = 1 << 20;
/// How long what is being sent has to end when the server is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// Takes connections until it is told to stop, and waits a little for those that are busy.
pub async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    tls: Option<Tls>,
    stop: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            () = told(&mut stopped) => break,
            accepted = next(&listener, &connections) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            break;
        };
        let (server, tls, stop) = (Arc::clone(&server), tls.clone(), stop.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            match tls {
                None => talk(stream, server, stop).await,
                Some(tls) => match timeout(PATIENCE, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => talk(stream, server, stop).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a client's TLS"),
                    Err(_) => tracing::debug!("a client did not finish its TLS handshake"),
                },
            }
        });
    }
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(GRACE, connections.acquire_many(all)).await;
}

/// Until the server is to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next connection. None only if the semaphore is closed, which nobody does.
async fn next(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, permit)),
            // A client that is gone already, or no file descriptor left: others may go.
            Err(error) => {
                tracing::debug!(%error, "accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn talk<S>(stream: S, server: Arc<Server>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(respond(server, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection");
    }
}

/// The answer to one request. The shelf is asked on a thread that may wait.
async fn respond(server: Arc<Server>, request: Request<Incoming>) -> Response<Body> {
    let asked = Asked::new(&request, &server.names);
    let is_head = request.method() == Method::HEAD;
    let changes = !is_head && request.method() != Method::GET;
    let mut body = BodyReader::new(request.into_body());
    let slots = if changes {
        &server.pushes
    } else if asked.wants_blob() && !is_head {
        &server.streams
    } else {
        &server.lookups
    };
    let Ok(permit) = Arc::clone(slots).acquire_owned().await else {
        return Refusal::failed().into_response().map(Body::Left);
    };
    let looked = tokio::task::spawn_blocking(move || {
        tracing::debug!(method = %asked.method, path = asked.path, "asked");
        let answer = route::answer(&server, &asked, &mut body).unwrap_or_else(Answer::from);
        // A little that nobody wanted is read away, so that the connection can go on.
        let _ = io::copy(&mut body.take(SPARE), &mut io::sink());
        answer
    });
    match looked.await {
        Ok(Answer::Whole(answer)) if is_head => {
            answer.map(|_| Body::Left(http_body_util::Full::default()))
        }
        Ok(Answer::Whole(answer)) => answer.map(Body::Left),
        Ok(Answer::Stream(head, _)) if is_head => {
            head.map(|()| Body::Left(http_body_util::Full::default()))
        }
        Ok(Answer::Stream(head, feed)) => {
            let body = feed::start(feed, permit);
            head.map(|()| Body::Right(body))
        }
        Err(error) => {
            tracing::warn!(%error, "a request failed inside the server");
            Refusal::failed().into_response().map(Body::Left)
        }
    }
}
