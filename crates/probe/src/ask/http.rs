//! HTTP/1.1: status, headers, a pattern or a place in the JSON of the body.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper_util::rt::TokioIo;
use lifeboat_plan::probe::Http;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::tls::Connector;
use super::wire::short;
use super::{Answer, Bad, MOST_READ, MOST_REDIRECTS};
use crate::reach::{Reach, Reached};
use crate::target::Target;

const AGENT: &str = concat!("lifeboat-probe/", env!("CARGO_PKG_VERSION"));
const CLOSED: &str = "it closes the connection before its answer is whole";
/// The most that the head of an answer may take.
const MOST_HEAD: usize = 32 << 10;

/// The way to the container.
pub(super) struct Way<'a> {
    pub reach: &'a Reach,
    pub tls: &'a Connector,
    pub target: &'a Arc<Target>,
    pub end: Instant,
}

/// Where the next question goes: to the container in any case.
struct Place {
    tls: bool,
    port: u16,
    path: String,
}

pub(super) async fn ask(way: &Way<'_>, check: &Http) -> Answer {
    let mut place = Place {
        tls: check.tls,
        port: check.port,
        path: check.path.clone(),
    };
    for _ in 0..=MOST_REDIRECTS {
        match once(way, check, &place).await? {
            Some(next) => place = next,
            None => return Ok(()),
        }
    }
    Err(format!("it redirects more than {MOST_REDIRECTS} times").into())
}

/// One request; `Some` if the answer leads somewhere else on the container.
async fn once(way: &Way<'_>, check: &Http, place: &Place) -> Result<Option<Place>, Bad> {
    let reached = way.reach.connect(way.target, place.port, false, way.end);
    let Reached { stream, address } = reached.await?;
    let host = check
        .host
        .clone()
        .unwrap_or_else(|| authority(address, place));
    let stream = way.tls.maybe(place.tls, stream, &[]).await?;
    let request = request(way, check, place, &host).await?;
    talk(stream, request, check, place, &host).await
}

/// The request and its answer over a connection that is up; as [`once`].
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
    check: &Http,
    place: &Place,
    host: &str,
) -> Result<Option<Place>, Bad> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_HEAD);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|e| broken(&e))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = answer.status().as_u16();
        if check.follows(status)
            && let Some(next) = answer
                .headers()
                .get(LOCATION)
                .map(|to| next(to, host, place))
            && let Some(next) = next?
        {
            return Ok(Some(next));
        }
        if !check.accepts(status) {
            return Err(Bad::Failure(format!("status {status}")));
        }
        body(check, answer.into_body()).await.map(|()| None)
    };
    tokio::pin!(connection, exchange);
    let (mut open, mut broke) = (true, None);
    loop {
        tokio::select! {
            biased;
            done = &mut exchange => return match (done, broke) {
                // It was given up because the connection broke: that is the cause.
                (Err(Bad::Failure(why)), Some(error)) if why == CLOSED => Err(broken(&error)),
                (done, _) => done,
            },
            end = &mut connection, if open => {
                open = false;
                broke = end.err();
            }
        }
    }
}

async fn request(
    way: &Way<'_>,
    check: &Http,
    place: &Place,
    host: &str,
) -> Result<Request<Empty<Bytes>>, Bad> {
    let unusable = |what: &str| Bad::Unknown(format!("{what} cannot be sent"));
    let mut request = Request::builder()
        .uri(&place.path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| unusable("the path"))?;
    for (name, text) in &check.headers {
        let text = crate::secret::header(way.target, text).await;
        let text = text.map_err(Bad::Unknown)?;
        let key = HeaderName::from_bytes(name.as_bytes());
        let mut value = HeaderValue::from_str(&text).map_err(|_| unusable(name))?;
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(key.map_err(|_| unusable(name))?, value);
    }
    Ok(request)
}

/// Reads of the body what the check looks at.
async fn body(check: &Http, mut body: Incoming) -> Answer {
    if check.body.is_none() && check.json.is_none() {
        return Ok(());
    }
    let mut text = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| broken(&e))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let room = MOST_READ - text.len();
        text.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            whole = false;
            break;
        }
    }
    let bound = if whole { "" } else { " in its first 64 KiB" };
    if let Some(pattern) = &check.body {
        let compiled = regex_lite::Regex::new(pattern).map_err(|e| Bad::Unknown(e.to_string()))?;
        if !compiled.is_match(&String::from_utf8_lossy(&text)) {
            return Err(format!("its body does not match {:?}{bound}", short(pattern)).into());
        }
    }
    if let Some(test) = &check.json {
        let document = serde_json::from_slice(&text)
            .map_err(|_| Bad::Failure(format!("its body is no JSON{bound}")))?;
        test.check(&document)?;
    }
    Ok(())
}

/// Where a redirect leads, if that is the container still: the same name, whatever the port. Anything else is not
/// followed, and the status counts.
fn next(location: &HeaderValue, host: &str, place: &Place) -> Result<Option<Place>, Bad> {
    let wrong = || Bad::Failure("it redirects to where nothing can be".to_owned());
    let location = location.to_str().map_err(|_| wrong())?;
    let location = location.split('#').next().unwrap_or_default();
    let scheme = if place.tls { "https" } else { "http" };
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else {
        location.to_owned()
    };
    if !absolute.contains("://") {
        let base = place.path.split('?').next().unwrap_or("/");
        let folder = &base[..=base.rfind('/').unwrap_or_default()];
        let path = match absolute.as_str() {
            path if path.starts_with('/') => path.to_owned(),
            query if query.starts_with('?') => format!("{base}{query}"),
            relative => format!("{folder}{relative}"),
        };
        path.parse::<Uri>().map_err(|_| wrong())?;
        let (tls, port) = (place.tls, place.port);
        return Ok(Some(Place { tls, port, path }));
    }
    let uri: Uri = absolute.parse().map_err(|_| wrong())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Ok(None),
    };
    let name = |authority: &str| {
        let authority = authority.parse::<http::uri::Authority>().ok()?;
        Some(authority.host().to_ascii_lowercase())
    };
    let theirs = uri.authority().and_then(|a| name(a.as_str()));
    if theirs.is_none() || theirs != name(host) {
        return Ok(None);
    }
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    Ok(Some(Place { tls, port, path }))
}

fn authority(address: IpAddr, place: &Place) -> String {
    let name = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    match (place.tls, place.port) {
        (false, 80) | (true, 443) => name,
        (_, port) => format!("{name}:{port}"),
    }
}

fn broken(error: &hyper::Error) -> Bad {
    let cause = std::error::Error::source(error);
    if error.is_canceled()
        && let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<hyper::Error>())
    {
        // The request was still waiting when the connection broke: that is the cause.
        return broken(cause);
    }
    let why = if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        CLOSED.to_owned()
    } else if error.is_parse_too_large() {
        "the head of its answer has no end".to_owned()
    } else if error.is_parse() {
        "what answers does not speak HTTP".to_owned()
    } else {
        match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
            Some(cause) => format!("the connection breaks: {}", cause.kind()),
            None => format!("what answers does not speak HTTP: {error}"),
        }
    };
    Bad::Failure(why)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn who_talks_before_the_question_is_told_as_that() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let place = Place {
            tls: false,
            port: 80,
            path: "/".to_owned(),
        };
        let check = Http {
            tls: false,
            port: 80,
            path: "/".to_owned(),
            host: None,
            status: Vec::new(),
            headers: Vec::new(),
            body: None,
            json: None,
        };
        let request = Request::new(Empty::new());
        let Err(Bad::Failure(why)) = talk(ours, request, &check, &place, "x").await else {
            panic!("a failure");
        };
        assert!(why.contains("does not speak HTTP"), "{why}");
    }

    #[test]
    fn redirects_stay_on_the_container() {
        let place = Place {
            tls: false,
            port: 8080,
            path: "/a/b?c".to_owned(),
        };
        let to = |location: &str| {
            let location = HeaderValue::from_str(location).unwrap();
            let next = next(&location, "172.17.0.2:8080", &place).unwrap()?;
            Some((next.tls, next.port, next.path))
        };
        let here = |path: &str| Some((false, 8080, path.to_owned()));
        assert_eq!(to("/x"), here("/x"));
        assert_eq!(to("x?y#z"), here("/a/x?y"));
        assert_eq!(to("?y"), here("/a/b?y"));
        assert_eq!(to("http://172.17.0.2:8080/x"), here("/x"));
        assert_eq!(
            to("https://172.17.0.2/x"),
            Some((true, 443, "/x".to_owned()))
        );
        assert_eq!(to("//172.17.0.2:8080/x"), here("/x"));
        for elsewhere in [
            "http://169.254.169.254/",
            "https://example.com/",
            "ftp://172.17.0.2/",
            "//other/",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
