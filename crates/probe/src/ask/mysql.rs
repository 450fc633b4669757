//! MySQL's protocol (MariaDB's too), as far as logging in and one query go.
//!
//! A password goes over the wire as a hash. Where the server wants it itself (MySQL 8 after its start, until it has
//! seen the account once), it goes through TLS, never in the clear.

use aws_lc_rs::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::tls::{Connector, Stream};
use super::wire::{Bytes, Question, Wire, short};
use super::{Answer, Bad};

const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";

const WITH_DATABASE: u32 = 0x8;
const PROTOCOL_41: u32 = 0x200;
const TLS: u32 = 0x800;
const TRANSACTIONS: u32 = 0x2000;
const SECURE: u32 = 0x8000;
const PLUGINS: u32 = 0x8_0000;

/// So many packets are read for one answer.
const MOST_PACKETS: usize = 200;
/// A node of a Galera cluster that is not part of it yet.
const NOT_YET: u16 = 1047;

type Talk = Wire<Box<dyn Stream>>;

/// A connection, and the number of the next packet.
struct Session {
    wire: Talk,
    next: u8,
}

pub(super) async fn ask(stream: TcpStream, tls: &Connector, question: &Question<'_>) -> Answer {
    let mut greeting = Wire::new(stream, "MySQL");
    let (number, body) = packet(&mut greeting).await?;
    let hello = Hello::read(&body).ok_or_else(|| greeting.strange("its greeting is cut"))?;
    let mut wanted = PROTOCOL_41 | TRANSACTIONS | SECURE | PLUGINS;
    if !question.database.is_empty() {
        wanted |= WITH_DATABASE;
    }
    let mut next = number.wrapping_add(1);
    // Only where the password itself may be asked for: a handshake costs both sides.
    let sealed = hello.plugin == SHA2 && hello.can & TLS != 0 && question.password.is_some();
    let stream = if sealed {
        wanted |= TLS;
        send(&mut greeting, next, &head(wanted)).await?;
        next = next.wrapping_add(1);
        tls.maybe(true, greeting.into_inner(), &[]).await?
    } else {
        tls.maybe(false, greeting.into_inner(), &[]).await?
    };
    let wire = Wire::new(stream, "MySQL");
    let mut session = Session { wire, next };
    session.log_in(question, &hello, wanted, sealed).await?;
    session.next = 0;
    let query = [&[3], question.query.as_bytes()].concat();
    session.send(&query).await?;
    let answer = session.first_field(question).await;
    session.next = 0;
    let _ = session.send(&[1]).await;
    answer
}

/// What a server says first.
struct Hello {
    can: u32,
    salt: Vec<u8>,
    plugin: String,
}

impl Hello {
    fn read(body: &[u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        if rest.byte()? != 10 {
            return None;
        }
        rest.text()?;
        rest.take(4)?;
        let mut salt = rest.take(8)?.to_vec();
        rest.take(1)?;
        let low = rest.take(2)?;
        rest.take(3)?;
        let high = rest.take(2)?;
        let can = u32::from_le_bytes([low[0], low[1], high[0], high[1]]);
        let length = usize::from(rest.byte()?);
        rest.take(10)?;
        let more = rest.take(length.saturating_sub(8).max(13))?;
        salt.extend_from_slice(more.strip_suffix(&[0]).unwrap_or(more));
        let plugin = rest.text().map_or(NATIVE.to_owned(), |name| {
            String::from_utf8_lossy(name).into_owned()
        });
        Some(Self { can, salt, plugin })
    }
}

fn head(wanted: u32) -> Vec<u8> {
    let mut body = wanted.to_le_bytes().to_vec();
    body.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    // utf8mb4, which both know by this number.
    body.push(45);
    body.extend_from_slice(&[0; 23]);
    body
}

impl Session {
    async fn log_in(
        &mut self,
        question: &Question<'_>,
        hello: &Hello,
        wanted: u32,
        sealed: bool,
    ) -> Answer {
        let password = question.password.map_or("", |password| password.as_str());
        // A way that is not known here is answered with the old one: the server names the way that it wants.
        let plugin = if hello.plugin == SHA2 { SHA2 } else { NATIVE };
        let hash = hashed(plugin, password, &hello.salt).unwrap_or_default();
        let mut body = Zeroizing::new(head(wanted));
        body.extend_from_slice(question.user.unwrap_or("root").as_bytes());
        body.push(0);
        body.push(hash.len() as u8);
        body.extend_from_slice(&hash);
        if wanted & WITH_DATABASE != 0 {
            body.extend_from_slice(question.database.as_bytes());
            body.push(0);
        }
        body.extend_from_slice(plugin.as_bytes());
        body.push(0);
        self.send(&body).await?;
        for _ in 0..8 {
            let body = self.packet().await?;
            let mut rest = Bytes(&body);
            match rest.byte() {
                Some(0) => return Ok(()),
                Some(0xfe) => {
                    let name =
                        String::from_utf8_lossy(rest.text().unwrap_or_default()).into_owned();
                    let salt = rest.0.strip_suffix(&[0]).unwrap_or(rest.0);
                    let unknown = || {
                        Bad::Unknown(format!(
                            "it wants a login that is not known here ({})",
                            short(&name)
                        ))
                    };
                    let hash = hashed(&name, password, salt).ok_or_else(unknown)?;
                    self.send(&hash).await?;
                }
                // It has seen the account, and takes the hash.
                Some(1) if rest.0 == [3] => {}
                Some(1) if rest.0 == [4] && sealed => {
                    let text = Zeroizing::new([password.as_bytes(), b"\0"].concat());
                    self.send(&text).await?;
                }
                Some(1) => {
                    let why = "it wants the password itself and offers no TLS to send it through";
                    return Err(Bad::Unknown(why.to_owned()));
                }
                _ => return Err(self.wire.strange("an answer out of turn")),
            }
        }
        Err(self.wire.strange("it does not come to the point"))
    }

    async fn first_field(&mut self, question: &Question<'_>) -> Answer {
        let body = self.packet().await?;
        if matches!(body.first(), None | Some(0 | 0xfb)) {
            return Err("the query brings no row".into());
        }
        // The columns, an end, then the rows.
        for _ in 0..MOST_PACKETS {
            if is_end(&self.packet().await?) {
                break;
            }
        }
        let row = self.packet().await?;
        if is_end(&row) {
            return Err("the query brings no row".into());
        }
        let mut rest = Bytes(&row);
        let cut = || Bad::Failure("a row of its answer is cut".to_owned());
        let length = match rest.byte().ok_or_else(cut)? {
            0xfb => return question.judge(None),
            0xfc => rest
                .take(2)
                .map(|b| usize::from(b[0]) | usize::from(b[1]) << 8),
            0xfd | 0xfe => None,
            short => Some(usize::from(short)),
        };
        let field = length.and_then(|length| rest.take(length));
        question.judge(Some(field.ok_or_else(cut)?))
    }

    async fn packet(&mut self) -> Result<Vec<u8>, Bad> {
        let (number, body) = packet(&mut self.wire).await?;
        self.next = number.wrapping_add(1);
        Ok(body)
    }

    async fn send(&mut self, body: &[u8]) -> Answer {
        send(&mut self.wire, self.next, body).await
    }
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// The next packet with its number; an error becomes ours.
async fn packet<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
) -> Result<(u8, Vec<u8>), Bad> {
    let [a, b, c, number] = wire.array().await?;
    let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    let body = wire.take(length).await?;
    let mut rest = Bytes(&body);
    if rest.byte() != Some(0xff) {
        return Ok((number, body));
    }
    let code = rest
        .take(2)
        .map_or(0, |b| u16::from(b[0]) | u16::from(b[1]) << 8);
    // Before the login there is no state in front of the text.
    let text = match rest.0 {
        [b'#', state @ ..] => state.get(5..).unwrap_or_default(),
        text => text,
    };
    let text = short(&String::from_utf8_lossy(text));
    if code == NOT_YET {
        return Err(Bad::Recovering(text));
    }
    Err(format!("it says {text} ({code})").into())
}

async fn send<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    number: u8,
    body: &[u8],
) -> Answer {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut packet = Zeroizing::new(vec![length[0], length[1], length[2], number]);
    packet.extend_from_slice(body);
    wire.send(&packet).await
}

/// What stands for the password with a salt; nothing for none.
fn hashed(plugin: &str, password: &str, salt: &[u8]) -> Option<Vec<u8>> {
    let hash = |how: &'static Algorithm, parts: &[&[u8]]| {
        digest::digest(how, &parts.concat()).as_ref().to_vec()
    };
    let known = matches!(plugin, NATIVE | SHA2);
    if password.is_empty() {
        return known.then(Vec::new);
    }
    let (inner, outer) = match plugin {
        NATIVE => {
            let how = &SHA1_FOR_LEGACY_USE_ONLY;
            let inner = hash(how, &[password.as_bytes()]);
            let outer = hash(how, &[salt, &hash(how, &[&inner])]);
            (inner, outer)
        }
        SHA2 => {
            let inner = hash(&SHA256, &[password.as_bytes()]);
            let outer = hash(&SHA256, &[&hash(&SHA256, &[&inner]), salt]);
            (inner, outer)
        }
        _ => return None,
    };
    Some(inner.iter().zip(&outer).map(|(a, b)| a ^ b).collect())
}
