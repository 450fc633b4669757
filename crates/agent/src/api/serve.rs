//! The server: hyper on one thread of its own; what is asked goes to the agent's loop.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};
use fs_err as fs;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};

use super::{Ask, Maintenance, Reply};
use crate::run::Message;
use crate::{Error, Result};

/// Largest body that is read.
const MOST_BODY: usize = 64 << 10;
/// Connections at the same time.
const MOST_CONNECTIONS: usize = 64;
/// The loop answers at once, unless its disk stands still.
const ANSWER: Duration = Duration::from_secs(10);

/// A server that runs.
pub(crate) struct Server {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Server {
    pub(crate) fn start(socket: &Path, to: Sender<Message>) -> Result<Self> {
        let context = format!("listen on {}", socket.display());
        // The state directory is ours alone: what lies there is left by an agent that died.
        let _ = fs::remove_file(socket);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(Error::file(context.clone()))?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(socket).map_err(Error::file(context.clone()))?
        };
        fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))
            .map_err(Error::file(context.clone()))?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("agent-api".to_owned())
            .spawn(move || {
                runtime.block_on(accept(listener, to, stopped));
                runtime.shutdown_timeout(Duration::from_secs(2));
            })
            .map_err(Error::file(context))?;
        Ok(Self { thread, stop })
    }

    pub(crate) fn finish(self) {
        self.stop.send_replace(true);
        let _ = self.thread.join();
    }
}

async fn accept(listener: UnixListener, to: Sender<Message>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let to = to.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let to = to.clone();
                async move { Ok::<_, Infallible>(route(request, to).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the agent ended");
            }
            drop(place);
        });
    }
}

fn answer<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, json);
    response
}

fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    answer(status, &json!({"error": why}))
}

async fn route(request: Request<Incoming>, to: Sender<Message>) -> Response<Full<Bytes>> {
    let ask = match what(request).await {
        Ok(ask) => ask,
        Err((status, why)) => return refuse(status, &why),
    };
    let waited = tokio::task::spawn_blocking(move || {
        let (reply, answer) = bounded(1);
        to.send(Message::Ask(ask, reply)).ok()?;
        answer.recv_timeout(ANSWER).ok()
    });
    match waited.await {
        Ok(Some(Reply::Status(status))) => answer(StatusCode::OK, &status),
        Ok(Some(Reply::Events(events))) => answer(StatusCode::OK, &events),
        Ok(Some(Reply::Done)) => answer(StatusCode::OK, &json!({})),
        Ok(Some(Reply::NoSuchApp(why))) => refuse(StatusCode::NOT_FOUND, &why),
        _ => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the agent is ending, or does not get to it",
        ),
    }
}

async fn what(request: Request<Incoming>) -> std::result::Result<Ask, (StatusCode, String)> {
    let bad = |why: &str| (StatusCode::BAD_REQUEST, why.to_owned());
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/v1/status") => Ok(Ask::Status),
        (&Method::GET, "/v1/events") => {
            let number = |key: &str, otherwise: u64| {
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                let mut found = pairs
                    .filter(|(name, _)| *name == key)
                    .map(|(_, value)| value);
                match found.next() {
                    None => Ok(otherwise),
                    Some(value) => value
                        .parse()
                        .map_err(|_| bad(&format!("{key} is not a number"))),
                }
            };
            Ok(Ask::Events {
                after: number("after", 0)?,
                most: usize::try_from(number("limit", 1000)?).unwrap_or(usize::MAX),
            })
        }
        (&Method::POST, "/v1/maintenance") => {
            let body = Limited::new(request.into_body(), MOST_BODY).collect().await;
            let body = body
                .map_err(|_| bad("the body cannot be read, or is too large"))?
                .to_bytes();
            let wanted: Maintenance =
                serde_json::from_slice(&body).map_err(|error| bad(&error.to_string()))?;
            Ok(Ask::Maintenance {
                app: wanted.app,
                on: wanted.on,
            })
        }
        (&Method::POST, "/v1/release") => Ok(Ask::Release),
        (_, "/v1/status" | "/v1/events" | "/v1/maintenance" | "/v1/release") => Err((
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{path} is not asked so"),
        )),
        _ => Err((StatusCode::NOT_FOUND, format!("there is no {path} here"))),
    }
}
