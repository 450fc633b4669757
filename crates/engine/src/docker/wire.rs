//! Connections to an engine, whatever they run over, and one exchange over them.
//!
//! One connection a request where it costs nothing (a local socket, plain TCP): there is no pool that
//! could hand out a connection which an engine's restart has killed. Where it costs a handshake or a whole
//! login (TLS, ssh), a connection whose answer was read to its end is kept for a while, and taken for
//! questions (GET) alone: asked again over a new one, they do no harm.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::{ssh, tls};
use crate::{Endpoint, Error, Result};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next question.
const KEPT: Duration = Duration::from_secs(20);

pub(super) type RequestBody = BoxBody<Bytes, io::Error>;

/// The way to one engine.
pub(super) struct Wire {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection that can be kept once its answer was read to the end.
pub(super) struct Back {
    wire: Arc<Wire>,
    sender: SendRequest<RequestBody>,
}

impl Back {
    /// The answer was read to its end.
    pub(super) fn keep(self) {
        let since = Instant::now();
        let sender = self.sender;
        self.wire.lock().push(Idle { sender, since });
    }
}

impl Wire {
    /// Reads the files of TLS, connects to nothing yet.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self> {
        let files = match &endpoint {
            Endpoint::Tcp { tls, .. } => tls.as_ref(),
            _ => None,
        };
        let tls = files
            .map(|files| tls::config(&endpoint.to_string(), files))
            .transpose()?;
        Ok(Self {
            endpoint,
            tls,
            idle: Mutex::default(),
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(
        self: Arc<Self>,
        request: Request<RequestBody>,
        context: &str,
        limit: Option<Duration>,
    ) -> Result<(Response<Incoming>, Option<Back>)> {
        let question = request.method() == Method::GET && self.endpoint.is_costly();
        if question && let Some(mut sender) = self.kept().await {
            let again = copy(&request);
            if let Ok(Ok(answer)) = timeout_or_never(limit, sender.send_request(again)).await {
                let wire = self;
                return Ok((answer, Some(Back { wire, sender })));
            }
        }
        self.exchange_anew(request, context, limit).await
    }

    /// A connection that was kept and still stands.
    async fn kept(&self) -> Option<SendRequest<RequestBody>> {
        loop {
            let Idle { mut sender, since } = self.lock().pop()?;
            let fresh = since.elapsed() < KEPT && !sender.is_closed();
            if fresh && matches!(timeout(CONNECT, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    async fn exchange_anew(
        self: Arc<Self>,
        request: Request<RequestBody>,
        context: &str,
        limit: Option<Duration>,
    ) -> Result<(Response<Incoming>, Option<Back>)> {
        let (stream, said) = match timeout(CONNECT, self.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(self.connect_error(source)),
            Err(_) => {
                let source = io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
                return Err(self.connect_error(source));
            }
        };
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = match shaken {
            Ok(both) => both,
            Err(error) => return Err(self.broke(error, said, context).await),
        };
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the engine ended");
            }
        });
        match timeout_or_never(limit, sender.send_request(request)).await {
            Ok(Ok(answer)) => {
                let costly = self.endpoint.is_costly();
                let wire = self;
                Ok((answer, costly.then_some(Back { wire, sender })))
            }
            Ok(Err(error)) => Err(self.broke(error, said, context).await),
            Err(after) => Err(Error::Timeout {
                context: context.to_owned(),
                after,
            }),
        }
    }

    async fn connect(&self) -> io::Result<(Box<dyn Stream>, Option<ssh::Said>)> {
        Ok(match &self.endpoint {
            Endpoint::Unix(path) => (Box::new(tokio::net::UnixStream::connect(path).await?), None),
            Endpoint::Tcp { host, port, .. } => {
                let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match &self.tls {
                    None => (Box::new(stream), None),
                    Some(config) => {
                        let config = Arc::clone(config);
                        (Box::new(tls::connect(config, host, stream).await?), None)
                    }
                }
            }
            Endpoint::Ssh(host) => {
                let (pipe, said) = ssh::connect(host)?;
                (Box::new(pipe), Some(said))
            }
        })
    }

    fn says_who_we_are(&self) -> bool {
        matches!(&self.endpoint, Endpoint::Tcp { tls: Some(files), .. } if files.cert.is_some())
    }

    fn connect_error(&self, source: io::Error) -> Error {
        let endpoint = self.endpoint.to_string();
        if let Some(why) = tls::words(&source, self.says_who_we_are()) {
            return Error::Tls { endpoint, why };
        }
        if let Endpoint::Ssh(_) = &self.endpoint {
            let why = if source.kind() == io::ErrorKind::NotFound {
                "there is no program `ssh` here; install it (openssh-client)".to_owned()
            } else {
                format!("ssh cannot be started: {source}")
            };
            return Error::Ssh { endpoint, why };
        }
        if source.kind() == io::ErrorKind::PermissionDenied {
            Error::PermissionDenied { endpoint, source }
        } else {
            Error::NoEngine { endpoint, source }
        }
    }

    /// Why a connection broke: what TLS or ssh say of it says more than that it did.
    async fn broke(&self, error: hyper::Error, said: Option<ssh::Said>, context: &str) -> Error {
        let endpoint = self.endpoint.to_string();
        if let Some(why) = tls::words(&error, self.says_who_we_are()) {
            return Error::Tls { endpoint, why };
        }
        if let (Some(said), Endpoint::Ssh(host)) = (said, &self.endpoint)
            && let Some(why) = said.why(host).await
        {
            return Error::Ssh { endpoint, why };
        }
        Error::Transport {
            context: context.to_owned(),
            source: io::Error::other(chain(&error)),
        }
    }
}

/// The same question, which has no body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let empty = Full::new(Bytes::new()).map_err(|never| match never {});
    let mut again = Request::new(empty.boxed());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}

/// The limit that passed, if one did.
async fn timeout_or_never<T>(
    limit: Option<Duration>,
    work: impl Future<Output = T>,
) -> std::result::Result<T, Duration> {
    match limit {
        None => Ok(work.await),
        Some(limit) => timeout(limit, work).await.map_err(|_| limit),
    }
}

/// An error with its causes: hyper keeps the useful words ("connection reset") in the source.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    words
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
