//! A stand-in for what no server here does by itself: it passes on to a real one, and from a certain moment on answers
//! in its place with an error that the test gives (keys that have run out, a clock that is off), or holds everything
//! until the test goes on. Bytes pass unread, so that what is signed stays signed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::Result;

/// What happens once enough has passed.
#[derive(Debug, Clone)]
pub enum Then {
    /// Everybody gets this answer.
    Answer(Answer),
    /// Nothing passes until [`Between::go_on`].
    Hold,
}

/// An answer of an S3 server that refuses.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status, e.g. `400 Bad Request`.
    pub status: &'static str,
    /// The server's word for it.
    pub code: &'static str,
    /// What else stands in the error, as XML.
    pub more: &'static str,
}

#[derive(Debug, Default)]
struct State {
    passed: u64,
    /// After so many bytes to the server.
    then: Option<(u64, Then)>,
    holding: bool,
    answering: Option<Answer>,
    open: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Stands between a client and a server on this machine, on a port of its own.
#[derive(Debug)]
pub struct Between {
    port: u16,
    shared: Arc<Shared>,
}

impl Between {
    /// In front of the server at this port. It lives as long as the test's process.
    pub fn start(server: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let for_all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&for_all);
                std::thread::spawn(move || shared.serve(client, server));
            }
        });
        Ok(Self { port, shared })
    }

    /// A place of the server, by way of this.
    pub fn place(&self, place: &str) -> String {
        let Some((before, rest)) = place.split_once("127.0.0.1:") else {
            return place.to_owned();
        };
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        format!("{before}127.0.0.1:{}{path}", self.port)
    }

    /// From now on, once so many bytes more have gone to the server.
    pub fn after(&self, bytes: u64, then: Then) {
        let mut state = self.shared.lock();
        let at = state.passed + bytes;
        state.then = Some((at, then));
    }

    /// Waits until nothing passes any more.
    pub fn is_holding(&self) {
        let mut state = self.shared.lock();
        while !state.holding {
            state = self.shared.wait(state);
        }
    }

    /// Everything passes again.
    pub fn go_on(&self) {
        let mut state = self.shared.lock();
        state.then = None;
        state.holding = false;
        state.answering = None;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: Arc<Self>, mut client: TcpStream, server: u16) {
        let answer = self.lock().answering.clone();
        if let Some(answer) = answer {
            let _ = refuse(&mut client, &answer);
            return;
        }
        let Ok(mut there) = TcpStream::connect(("127.0.0.1", server)) else {
            return;
        };
        let ends = [client.try_clone(), there.try_clone()];
        let [Ok(mut back), Ok(mut from)] = ends else {
            return;
        };
        let both = [client.try_clone(), there.try_clone()];
        self.lock().open.extend(both.into_iter().flatten());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            if !self.pass(read) || there.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = there.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Whether these bytes go on to the server.
    fn pass(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        state.passed += bytes as u64;
        if state
            .then
            .as_ref()
            .is_some_and(|(at, _)| state.passed >= *at)
        {
            match state.then.take() {
                Some((_, Then::Answer(answer))) => {
                    state.answering = Some(answer);
                    for stream in state.open.drain(..) {
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                }
                Some((_, Then::Hold)) => state.holding = true,
                None => {}
            }
            self.changed.notify_all();
        }
        while state.holding {
            state = self.wait(state);
        }
        state.answering.is_none()
    }
}

/// Reads a request to its end, as far as that can be told, and answers it.
fn refuse(client: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let head = request.windows(4).position(|at| at == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.split("content-length:").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
            if request.len() >= head + 4 + length.unwrap_or(0_usize) {
                break;
            }
        }
        match client.read(&mut buffer)? {
            0 => break,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let head_only = request.starts_with(b"HEAD");
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>The test says so.</Message>{}</Error>",
        answer.code, answer.more
    );
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        body.len()
    );
    client.write_all(head.as_bytes())?;
    if !head_only {
        client.write_all(body.as_bytes())?;
    }
    client.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_on_then_answers_then_passes_on() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut buffer = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..read]).unwrap();
                }
            }
        });
        let between = Between::start(server).unwrap();
        let talk = || {
            let mut stream = TcpStream::connect(("127.0.0.1", between.port)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut heard = vec![0; 1000];
            let read = stream.read(&mut heard).unwrap_or(0);
            String::from_utf8_lossy(&heard[..read]).into_owned()
        };
        assert!(talk().starts_with("GET /"));
        let answer = Answer {
            status: "400 Bad Request",
            code: "ExpiredToken",
            more: "",
        };
        between.after(5, Then::Answer(answer));
        assert_eq!(talk(), "");
        assert!(talk().starts_with("HTTP/1.1 400"));
        between.go_on();
        assert!(talk().starts_with("GET /"));
        let place = between.place("s3:http://127.0.0.1:1/vaults/x");
        assert_eq!(
            place,
            format!("s3:http://127.0.0.1:{}/vaults/x", between.port)
        );
    }
}
