//! The standard health service `grpc.health.v1.Health/Check`, over HTTP/2. Its two messages have one field each, so
//! they are written and read here; h2 does the rest.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::short;
use super::{Answer, Bad};

/// The answer has a few bytes.
const MOST: usize = 4 << 10;

pub(super) async fn ask<S>(stream: S, authority: &str, service: &str) -> Answer
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let shaken = h2::client::Builder::new()
        .initial_window_size(16 << 10)
        .initial_connection_window_size(16 << 10)
        .max_header_list_size(16 << 10)
        .max_send_buffer_size(16 << 10)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await;
    let (sender, connection) = shaken.map_err(|e| broken(&e))?;
    let exchange = exchange(sender, authority, service);
    tokio::pin!(connection, exchange);
    let ended = tokio::select! {
        biased;
        done = &mut exchange => return done,
        ended = &mut connection => ended,
    };
    // What came before the end counts. A request that was handed over after it is never answered, so nobody waits.
    tokio::select! {
        biased;
        done = &mut exchange => done,
        () = std::future::ready(()) => Err(match ended {
            Err(e) => broken(&e),
            Ok(()) => "it closes the connection before its answer is whole".into(),
        }),
    }
}

async fn exchange(
    sender: h2::client::SendRequest<Bytes>,
    authority: &str,
    service: &str,
) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(
            "user-agent",
            concat!("lifeboat-probe/", env!("CARGO_PKG_VERSION")),
        )
        .body(())
        .map_err(|e| Bad::Unknown(e.to_string()))?;
    let mut sender = sender.ready().await.map_err(|e| broken(&e))?;
    let (answer, mut out) = sender
        .send_request(request, false)
        .map_err(|e| broken(&e))?;
    out.send_data(question(service), true)
        .map_err(|e| broken(&e))?;
    let answer = answer.await.map_err(|e| broken(&e))?;
    if answer.status() != 200 {
        return Err(format!("status {} instead of gRPC", answer.status().as_u16()).into());
    }
    // An error alone comes without a body, in the head.
    status(answer.headers(), service)?;
    let mut body = answer.into_body();
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|e| broken(&e))?;
        if message.len() + data.len() > MOST {
            return Err("its answer is far longer than a health answer".into());
        }
        let _ = body.flow_control().release_capacity(data.len());
        message.put(data);
    }
    if let Some(trailers) = body.trailers().await.map_err(|e| broken(&e))? {
        status(&trailers, service)?;
    }
    match serving(&message) {
        Some(1) => Ok(()),
        Some(2) => Err("it says NOT_SERVING".into()),
        Some(3) => Err("it says SERVICE_UNKNOWN".into()),
        Some(_) => Err("it says UNKNOWN".into()),
        None => Err("its answer is no health answer".into()),
    }
}

/// `HealthCheckRequest { string service = 1; }`, framed.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

fn varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

/// The field `status = 1` of a framed `HealthCheckResponse`; 0 where it is not there, as protobuf has it.
fn serving(framed: &[u8]) -> Option<u64> {
    let (head, rest) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?);
    if head[0] != 0 || usize::try_from(length).ok()? != rest.len() {
        return None;
    }
    let mut rest = rest;
    let mut number = || {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let mut found = 0;
    while let Some(key) = number() {
        let value = number()?;
        match (key >> 3, key & 7) {
            (1, 0) => found = value,
            (_, 0) => {}
            _ => return None,
        }
    }
    Some(found)
}

fn status(headers: &HeaderMap, service: &str) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some("5") => Err(format!("it knows no service {:?}", short(service)).into()),
        Some("12") => Err("it has no health service (grpc.health.v1)".into()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            Err(format!("gRPC status {} {}", short(code), short(message))
                .trim()
                .into())
        }
    }
}

fn broken(error: &h2::Error) -> Bad {
    let io = error.get_io().map(std::io::Error::kind);
    Bad::Failure(match io {
        Some(std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe) => {
            "it closes the connection before its answer is whole".to_owned()
        }
        _ => format!("what answers does not speak HTTP/2 as gRPC does: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(question("ab").as_ref(), b"\0\0\0\0\x04\x0a\x02ab");
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving(&[0, 0, 0, 0, 4, 16, 5, 8, 2]), Some(2));
        for wrong in [
            &[0, 0, 0, 0, 9, 8, 1][..],
            &[1, 0, 0, 0, 0],
            &[],
            &[0, 0, 0, 0, 1, 8],
        ] {
            assert_eq!(serving(wrong), None, "{wrong:?}");
        }
    }
}
