//! Small servers: one request a connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server that keeps what it got.
pub struct Http {
    at: String,
    got: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<String>>,
}

impl Http {
    pub fn start(status: u16, body: &str) -> Self {
        let http = Self::serve();
        http.answer(status, body);
        http
    }

    pub fn redirect(to: &str) -> Self {
        let http = Self::serve();
        *http.answer.lock().unwrap() = format!(
            "HTTP/1.1 307 x\r\nlocation: {to}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        http
    }

    pub fn answer(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let got: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answer: Arc<Mutex<String>> = Arc::default();
        let (kept, said) = (Arc::clone(&got), Arc::clone(&answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    continue;
                }
                let mut headers = Vec::new();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    let Some((name, value)) = header.trim().split_once(':') else {
                        break;
                    };
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                let length = headers.iter().find(|(n, _)| n == "content-length");
                let length = length.map_or(0, |(_, v)| v.parse().unwrap());
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push(Request {
                    line: line.trim().to_owned(),
                    headers,
                    body: String::from_utf8(body).unwrap(),
                });
                let _ = stream.write_all(said.lock().unwrap().as_bytes());
            }
        });
        Self { at, got, answer }
    }

    pub fn at(&self) -> &str {
        &self.at
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub fn take(&self) -> Request {
        self.got.lock().unwrap().remove(0)
    }

    pub fn is_empty(&self) -> bool {
        self.got.lock().unwrap().is_empty()
    }
}

/// A mail server that takes everything: where, and what was said to it, a talk at a time.
pub fn smtp() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut talk = String::new();
            let mut in_data = false;
            let _ = stream.write_all(b"220 test\r\n");
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                talk.push_str(&line);
                let word = line.trim().to_ascii_uppercase();
                let answer = match word.as_str() {
                    "." if in_data => {
                        in_data = false;
                        "250 kept\r\n"
                    }
                    _ if in_data => continue,
                    "DATA" => {
                        in_data = true;
                        "354 go on\r\n"
                    }
                    "QUIT" => "221 bye\r\n",
                    _ if word.starts_with("EHLO") => {
                        "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n"
                    }
                    _ if word.starts_with("AUTH") => "235 yes\r\n",
                    _ => "250 yes\r\n",
                };
                let _ = stream.write_all(answer.as_bytes());
                if word == "QUIT" {
                    break;
                }
            }
            let _ = send.send(talk);
        }
    });
    (at, receive)
}
