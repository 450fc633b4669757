//! PostgreSQL's protocol, version 3, as far as logging in and one simple query go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::scram::Scram;
use super::wire::{Bytes, Question, Wire, short};
use super::{Answer, Bad};

/// So many messages are read: parameters, notices, columns.
const MOST_MESSAGES: usize = 200;
/// `cannot_connect_now`: it starts up, or recovers.
const NOT_NOW: &str = "57P03";

pub(super) async fn ask(stream: TcpStream, question: &Question<'_>) -> Answer {
    let mut wire = Wire::new(stream, "PostgreSQL");
    let user = question.user.unwrap_or("postgres");
    log_in(&mut wire, question, user).await?;
    send(
        &mut wire,
        b'Q',
        &[question.query.as_bytes(), b"\0"].concat(),
    )
    .await?;
    let answer = first_field(&mut wire, question).await;
    // Goodbye: without it the server's log says that somebody hung up.
    let _ = send(&mut wire, b'X', b"").await;
    answer
}

async fn log_in(wire: &mut Wire<TcpStream>, question: &Question<'_>, user: &str) -> Answer {
    let database = match question.database {
        "" => user,
        name => name,
    };
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in [
        "user",
        user,
        "database",
        database,
        "application_name",
        "lifeboat-probe",
    ] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    wire.send(&[&length.to_be_bytes()[..], &body].concat())
        .await?;

    let mut scram: Option<Scram> = None;
    for _ in 0..MOST_MESSAGES {
        let (kind, body) = message(wire).await?;
        match kind {
            b'Z' => return Ok(()),
            b'R' => authenticate(wire, question, user, &body, &mut scram).await?,
            b'S' | b'K' | b'N' => {}
            _ => return Err(wire.strange("an answer out of turn")),
        }
    }
    Err(wire.strange("it does not come to the point"))
}

async fn authenticate(
    wire: &mut Wire<TcpStream>,
    question: &Question<'_>,
    user: &str,
    body: &[u8],
    scram: &mut Option<Scram>,
) -> Answer {
    let mut rest = Bytes(body);
    let how = rest
        .take(4)
        .map(|b| [b[0], b[1], b[2], b[3]])
        .map(u32::from_be_bytes);
    if how == Some(0) {
        return Ok(());
    }
    let missing = || Bad::Unknown("it wants a password; say where it is with .password".to_owned());
    let password = question.password.ok_or_else(missing)?;
    match how {
        Some(3) => {
            let body = Zeroizing::new([password.as_bytes(), b"\0"].concat());
            send(wire, b'p', &body).await
        }
        Some(5) => {
            let salt = rest
                .take(4)
                .ok_or_else(|| wire.strange("its salt is cut"))?;
            let inner = hex_md5(&[password.as_bytes(), user.as_bytes()]);
            let outer = hex_md5(&[inner.as_bytes(), salt]);
            send(wire, b'p', format!("md5{}\0", outer.as_str()).as_bytes()).await
        }
        Some(10) => {
            const NAME: &[u8] = b"SCRAM-SHA-256";
            let offered = std::iter::from_fn(|| rest.text().filter(|name| !name.is_empty()));
            if !offered.into_iter().any(|name| name == NAME) {
                return Err(Bad::Unknown(
                    "it wants a login that is not known here".to_owned(),
                ));
            }
            let new = Scram::new().map_err(Bad::Unknown)?;
            let first = new.first();
            let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
            let body = [NAME, b"\0", &length, first.as_bytes()].concat();
            *scram = Some(new);
            send(wire, b'p', &body).await
        }
        Some(11) => {
            let begun = scram
                .as_mut()
                .ok_or_else(|| wire.strange("a login out of turn"))?;
            let proof = begun
                .answer(rest.0, password)
                .await
                .map_err(|why| wire.strange(why))?;
            send(wire, b'p', proof.as_bytes()).await
        }
        Some(12) => {
            let begun = scram
                .as_ref()
                .ok_or_else(|| wire.strange("a login out of turn"))?;
            if begun.is_proved(rest.0) {
                return Ok(());
            }
            Err(wire.strange("it does not know the password itself"))
        }
        _ => Err(Bad::Unknown(
            "it wants a login that is not known here".to_owned(),
        )),
    }
}

/// The first field of the first row, judged.
async fn first_field(wire: &mut Wire<TcpStream>, question: &Question<'_>) -> Answer {
    for _ in 0..MOST_MESSAGES {
        let (kind, body) = message(wire).await?;
        match kind {
            b'D' => {
                let mut rest = Bytes(&body);
                let cut = || Bad::Failure("a row of its answer is cut".to_owned());
                let fields = rest.take(2).ok_or_else(cut)?;
                if fields == [0, 0] {
                    return question.judge(None);
                }
                let length = rest.take(4).ok_or_else(cut)?;
                let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
                return match usize::try_from(length) {
                    Ok(length) => question.judge(Some(rest.take(length).ok_or_else(cut)?)),
                    Err(_) => question.judge(None),
                };
            }
            b'C' | b'I' | b'Z' => return Err("the query brings no row".into()),
            b'T' | b'S' | b'N' | b'A' => {}
            _ => return Err(wire.strange("an answer out of turn")),
        }
    }
    Err(wire.strange("it does not come to the point"))
}

/// The next message; an error becomes ours.
async fn message(wire: &mut Wire<TcpStream>) -> Result<(u8, Vec<u8>), Bad> {
    let [kind, length @ ..]: [u8; 5] = wire.array().await?;
    let length = u32::from_be_bytes(length).checked_sub(4);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let body = wire
        .take(length.ok_or_else(|| wire.strange("a message without length"))?)
        .await?;
    if kind != b'E' {
        return Ok((kind, body));
    }
    let mut rest = Bytes(&body);
    let (mut code, mut text) = (String::new(), String::new());
    while let Some(field) = rest.byte().filter(|field| *field != 0) {
        let value = String::from_utf8_lossy(rest.text().unwrap_or_default()).into_owned();
        match field {
            b'C' => code = value,
            b'M' => text = value,
            _ => {}
        }
    }
    if code == NOT_NOW {
        return Err(Bad::Recovering(short(&text)));
    }
    Err(format!("it says {} ({})", short(&text), short(&code)).into())
}

async fn send(wire: &mut Wire<TcpStream>, kind: u8, body: &[u8]) -> Answer {
    let mut message = Zeroizing::new(vec![kind]);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    wire.send(&message).await
}

fn hex_md5(parts: &[&[u8]]) -> Zeroizing<String> {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finalize();
    Zeroizing::new(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}
