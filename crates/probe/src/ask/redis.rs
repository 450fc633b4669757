//! Redis and what speaks its protocol: PING is answered with PONG.

use lifeboat_plan::probe::Login;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::wire::{Wire, short};
use super::{Answer, Bad};
use crate::secret::Secret;

pub(super) async fn ask(stream: TcpStream, login: &Login, password: Option<&Secret>) -> Answer {
    let mut wire = Wire::new(stream, "Redis");
    if let Some(password) = password {
        let words = match &login.user {
            Some(user) => vec!["AUTH", user, password],
            None => vec!["AUTH", password],
        };
        wire.send(command(&words).as_bytes()).await?;
        let said = wire.line().await?;
        if !said.starts_with("+OK") {
            return Err(refused(&wire, &said));
        }
    }
    wire.send(command(&["PING"]).as_bytes()).await?;
    let said = wire.line().await?;
    if said == "+PONG" {
        return Ok(());
    }
    Err(refused(&wire, &said))
}

fn command(words: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!("*{}\r\n", words.len()));
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text
}

fn refused(wire: &Wire<TcpStream>, said: &str) -> Bad {
    match said.strip_prefix('-') {
        Some(why) if why.starts_with("LOADING") => Bad::Recovering(short(why)),
        Some(why) => Bad::Failure(format!("it says {}", short(why))),
        None => wire.strange("PING is not answered with PONG"),
    }
}
