//! AMQP 0-9-1 as RabbitMQ speaks it, as far as a connection, a virtual host and a channel go. The way is the
//! specification's: protocol header, start, tune, open, channel open, and everything closed again in order.

use lifeboat_plan::probe::Login;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::wire::{Bytes, Wire, short};
use super::{Answer, Bad};
use crate::secret::Secret;

const METHOD: u8 = 1;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xce;
/// So many frames are read for one answer, heartbeats included.
const MOST_FRAMES: usize = 16;

const START: (u16, u16) = (10, 10);
const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const TUNE_OK: (u16, u16) = (10, 31);
const OPEN: (u16, u16) = (10, 40);
const OPEN_OK: (u16, u16) = (10, 41);
const CLOSE: (u16, u16) = (10, 50);
const CLOSE_OK: (u16, u16) = (10, 51);
const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);

pub(super) async fn ask(
    stream: TcpStream,
    vhost: &str,
    login: &Login,
    password: Option<&Secret>,
) -> Answer {
    let mut wire = Wire::new(stream, "AMQP 0-9-1");
    wire.send(b"AMQP\0\0\x09\x01").await?;
    let start = expect(&mut wire, START, 0).await?;
    let mechanisms = mechanisms(&start).ok_or_else(|| wire.strange("its greeting is cut"))?;
    if !mechanisms.split(' ').any(|word| word == "PLAIN") {
        let why = format!("it takes no passwords (PLAIN), only {}", short(&mechanisms));
        return Err(Bad::Unknown(why));
    }
    let user = login.user.as_deref().unwrap_or("guest");
    let guest = Zeroizing::new(String::from("guest"));
    let password = password.unwrap_or(&guest);
    let plain = Zeroizing::new(format!("\0{user}\0{}", password.as_str()));
    let mut body = Zeroizing::new(Vec::new());
    table(&mut body, &[("product", "lifeboat-probe")]);
    short_text(&mut body, "PLAIN");
    long_text(&mut body, plain.as_bytes());
    short_text(&mut body, "en_US");
    send(&mut wire, 0, START_OK, &body).await?;

    // A server that does not let one in may just hang up here.
    let tune = match expect(&mut wire, TUNE, 0).await {
        Err(Bad::Failure(why)) if why.contains("closes the connection") => {
            return Err(format!("it does not let {} in", short(user)).into());
        }
        other => other?,
    };
    // Its own limits, taken as they are; no heartbeats.
    let limits = tune
        .get(..6)
        .ok_or_else(|| wire.strange("its limits are cut"))?;
    let body = [limits, &[0, 0]].concat();
    send(&mut wire, 0, TUNE_OK, &body).await?;
    let mut body = Vec::new();
    short_text(&mut body, vhost);
    body.extend_from_slice(&[0, 0]);
    send(&mut wire, 0, OPEN, &body).await?;
    expect(&mut wire, OPEN_OK, 0).await?;
    send(&mut wire, 1, CHANNEL_OPEN, &[0]).await?;
    expect(&mut wire, CHANNEL_OPEN_OK, 1).await?;

    // All is well. A broker that is hung up on writes a warning: it is told instead.
    let mut body = 200_u16.to_be_bytes().to_vec();
    short_text(&mut body, "done");
    body.extend_from_slice(&[0; 4]);
    if send(&mut wire, 0, CLOSE, &body).await.is_ok() {
        let _ = expect(&mut wire, CLOSE_OK, 0).await;
    }
    Ok(())
}

/// The arguments of the method that has to come next.
async fn expect(
    wire: &mut Wire<TcpStream>,
    method: (u16, u16),
    channel: u16,
) -> Result<Vec<u8>, Bad> {
    for _ in 0..MOST_FRAMES {
        let head: [u8; 7] = wire.array().await?;
        if head.starts_with(b"AMQP") {
            return Err(wire.strange("it wants another version"));
        }
        let [kind, channel_high, channel_low, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let body = wire.take(length).await?;
        let [end] = wire.array().await?;
        if end != END {
            return Err(wire.strange("a frame without its end"));
        }
        if kind == HEARTBEAT {
            continue;
        }
        let mut rest = Bytes(&body);
        let came = number(&mut rest).zip(number(&mut rest));
        let Some(came) = came.filter(|_| kind == METHOD) else {
            return Err(wire.strange("a frame that holds no method"));
        };
        if came == method && u16::from_be_bytes([channel_high, channel_low]) == channel {
            return Ok(rest.0.to_vec());
        }
        if came == CLOSE || came == CHANNEL_CLOSE {
            let code = number(&mut rest).unwrap_or_default();
            let length = usize::from(rest.byte().unwrap_or_default());
            let text = String::from_utf8_lossy(rest.take(length).unwrap_or_default()).into_owned();
            return Err(format!("it says {code} {}", short(&text)).into());
        }
        // `connection.blocked` and the like say nothing that matters here.
    }
    Err(wire.strange("it does not come to the point"))
}

async fn send(
    wire: &mut Wire<TcpStream>,
    channel: u16,
    method: (u16, u16),
    arguments: &[u8],
) -> Answer {
    let length = u32::try_from(arguments.len() + 4).unwrap_or(u32::MAX);
    let mut frame = Zeroizing::new(vec![METHOD]);
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&method.0.to_be_bytes());
    frame.extend_from_slice(&method.1.to_be_bytes());
    frame.extend_from_slice(arguments);
    frame.push(END);
    wire.send(&frame).await
}

/// Of the greeting: version, a table, then the mechanisms as a long text.
fn mechanisms(start: &[u8]) -> Option<String> {
    let mut rest = Bytes(start);
    rest.take(2)?;
    let mut long = || {
        let length = u32::from_be_bytes(rest.take(4)?.try_into().ok()?);
        rest.take(usize::try_from(length).ok()?)
    };
    long()?;
    long().map(|text| String::from_utf8_lossy(text).into_owned())
}

fn number(rest: &mut Bytes<'_>) -> Option<u16> {
    rest.take(2)?.try_into().ok().map(u16::from_be_bytes)
}

fn short_text(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn long_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

fn table(out: &mut Vec<u8>, entries: &[(&str, &str)]) {
    let mut inner = Vec::new();
    for (name, value) in entries {
        short_text(&mut inner, name);
        inner.push(b'S');
        long_text(&mut inner, value.as_bytes());
    }
    long_text(out, &inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_says_how_one_may_log_in() {
        let mut start = vec![0, 9];
        table(&mut start, &[("product", "RabbitMQ")]);
        long_text(&mut start, b"AMQPLAIN PLAIN");
        long_text(&mut start, b"en_US");
        assert_eq!(mechanisms(&start).unwrap(), "AMQPLAIN PLAIN");
        for cut in 0..start.len() - 10 {
            assert!(mechanisms(&start[..cut]).is_none(), "{cut}");
        }
    }
}
