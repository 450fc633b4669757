//! Clients outside: whether the app answers, asked again and again.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{DB_ADDRESS, WEB_PORT};
use crate::Result;

/// How long a client waits for an answer.
pub const PATIENT: Duration = Duration::from_secs(1);
/// How often it asks.
const ASKS: Duration = Duration::from_millis(100);

/// Whether the web front serves its page. Only from within the engine's network.
pub fn serves_page() -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), WEB_PORT);
        let mut stream = connect(address)?;
        stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

/// Whether the database takes a session: it asks for a password, or has none to ask for, and does not say that it is
/// starting up. Only from within the engine's network.
pub fn takes_sessions() -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = connect(SocketAddr::new(IpAddr::V4(DB_ADDRESS), 5432))?;
        // The protocol's start-up message, version 3.0.
        let parameters = b"user\0postgres\0database\0postgres\0\0";
        let mut message = vec![0, 0, 0, 8, 0, 3, 0, 0];
        message.extend(parameters);
        message[3] = u8::try_from(message.len()).unwrap_or(u8::MAX);
        stream.write_all(&message)?;
        let mut first = [0; 1];
        stream.read_exact(&mut first)?;
        Ok(first == *b"R")
    };
    ask().unwrap_or(false)
}

/// Whether a cache answers there. Only from within the engine's network.
pub fn answers_ping(address: IpAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = connect(SocketAddr::new(address, 6379))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"+PONG\r\n")
    };
    ask().unwrap_or(false)
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENT)?;
    stream.set_read_timeout(Some(PATIENT))?;
    Ok(stream)
}

/// Asks until it is over, on this thread, which is in the engine's network from then on. `keeper` is
/// [`keeper_pid`](crate::engine::PrivateEngine::keeper_pid); `told` takes when it was asked and whether there was an
/// answer.
pub fn keep_asking(
    keeper: u32,
    over: &AtomicBool,
    asks: impl Fn() -> bool,
    mut told: impl FnMut(SystemTime, bool),
) -> Result<()> {
    use std::os::fd::AsFd as _;
    let namespace = fs::File::open(format!("/proc/{keeper}/ns/net"))?;
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.file().as_fd(), network).map_err(std::io::Error::from)?;
    while !over.load(Ordering::Relaxed) {
        let asked = SystemTime::now();
        told(asked, asks());
        std::thread::sleep(ASKS);
    }
    Ok(())
}
