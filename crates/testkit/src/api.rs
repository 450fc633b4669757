//! A small blocking client of the Docker Engine's HTTP interface.
//!
//! It shares no code with the product on purpose: a test that compares what was with what came
//! back has to ask the engine itself. One connection a request, JSON in and out as
//! [`serde_json::Value`], so that a field that nobody has heard of is compared too.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Error, Result};

/// The version of the interface that is asked for: what Debian's 20.10 speaks, and newer ones too.
pub const VERSION: &str = "v1.41";

/// Long enough for loading a large image on a busy machine, short enough to end a stuck test.
const TIME_OUT: Duration = Duration::from_secs(180);

/// A client of one engine.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// What the engine answered.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// What a command in a container did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Its exit code.
    pub code: i64,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Client {
    /// A client for the engine that listens on this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the engine answers at all.
    pub fn ping(&self) -> bool {
        self.raw("GET", "/_ping", "text/plain", &mut std::io::empty(), 0)
            .is_ok_and(|response| response.status == 200)
    }

    /// GET, the answer as JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.json("GET", path, None)
    }

    /// GET, the answer as JSON, or nothing if there is no such thing.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.get(path) {
            Err(Error::Api { status: 404, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// POST of a JSON body, the answer as JSON (null when it is empty).
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json("POST", path, Some(body))
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.json("DELETE", path, None).map(drop)
    }

    /// The bytes of a GET, for archives.
    pub fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        let mut empty = std::io::empty();
        let response = self.raw("GET", &versioned(path), "text/plain", &mut empty, 0)?;
        check("GET", path, &response)?;
        Ok(response.body)
    }

    /// Sends `length` bytes as the body of a request: a tar for `images/load` or `archive`.
    pub fn upload(
        &self,
        method: &str,
        path: &str,
        body: &mut dyn Read,
        length: u64,
    ) -> Result<Vec<u8>> {
        let path = versioned(path);
        let response = self.raw(method, &path, "application/x-tar", body, length)?;
        check(method, &path, &response)?;
        Ok(response.body)
    }

    /// Loads an image archive and checks that the engine took it.
    pub fn load_image(&self, tar: &Path) -> Result<()> {
        let mut file = fs_err::File::open(tar)?;
        let length = file.metadata()?.len();
        let said = self.upload("POST", "/images/load?quiet=1", &mut file, length)?;
        let said = String::from_utf8_lossy(&said);
        if said.contains("\"errorDetail\"") || said.contains("\"error\"") {
            return Err(Error::Broken(format!(
                "the engine did not load {}: {said}",
                tar.display()
            )));
        }
        Ok(())
    }

    /// Creates a container and gives back its id.
    pub fn create_container(&self, name: &str, definition: &Value) -> Result<String> {
        let made = self.post(&format!("/containers/create?name={name}"), definition)?;
        text(&made, "/Id").map(str::to_owned)
    }

    /// Runs a command in a running container and waits for its end.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<Exec> {
        let body = json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true});
        let made = self.post(&format!("/containers/{container}/exec"), &body)?;
        let id = text(&made, "/Id")?;
        let start = json!({"Detach": false, "Tty": false}).to_string();
        let path = versioned(&format!("/exec/{id}/start"));
        let length = start.len() as u64;
        let json = "application/json";
        let response = self.raw("POST", &path, json, &mut start.as_bytes(), length)?;
        check("POST", &path, &response)?;
        let (stdout, stderr) = demultiplex(&response.body)?;
        let state = self.get(&format!("/exec/{id}/json"))?;
        let code = state["ExitCode"].as_i64();
        Ok(Exec {
            code: code.ok_or_else(|| Error::malformed("exec", "there is no exit code"))?,
            stdout,
            stderr,
        })
    }

    /// As [`Client::exec`], but the command has to succeed; gives back its stdout.
    pub fn exec_ok(&self, container: &str, command: &[&str]) -> Result<String> {
        let done = self.exec(container, command)?;
        if done.code == 0 {
            return Ok(done.stdout);
        }
        Err(Error::Command {
            command: format!("{} (in {container})", command.join(" ")),
            status: format!("exit {}", done.code),
            output: format!("{}{}", done.stdout, done.stderr),
        })
    }

    /// What a container printed, both streams, for messages.
    pub fn logs(&self, container: &str) -> Result<String> {
        let path = format!("/containers/{container}/logs?stdout=1&stderr=1&tail=60");
        let (stdout, stderr) = demultiplex(&self.get_bytes(&path)?)?;
        Ok(stdout + &stderr)
    }

    fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let sent = body.map(Value::to_string).unwrap_or_default();
        let length = sent.len() as u64;
        let kind = "application/json";
        let at = versioned(path);
        let response = self.raw(method, &at, kind, &mut sent.as_bytes(), length)?;
        check(method, path, &response)?;
        if response.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&response.body)
            .map_err(|why| Error::malformed(format!("the answer to {method} {path}"), why))
    }

    fn raw(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &mut dyn Read,
        length: u64,
    ) -> Result<Response> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIME_OUT))?;
        stream.set_write_timeout(Some(TIME_OUT))?;
        // HTTP/1.1, since the engine hijacks no 1.0 connection; closed after the one request.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        // An engine that refuses early closes its end while we write: its answer says why.
        let sent = std::io::copy(body, &mut stream);
        let response = read_response(BufReader::new(stream));
        match (sent, response) {
            (_, Ok(response)) => Ok(response),
            (Err(error), Err(_)) => Err(error.into()),
            (Ok(_), Err(error)) => Err(error),
        }
    }
}

/// A string in a JSON document, which has to be there.
pub fn text<'v>(value: &'v Value, pointer: &str) -> Result<&'v str> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::malformed("the engine's answer", format!("no {pointer} in {value}")))
}

fn versioned(path: &str) -> String {
    format!("/{VERSION}{path}")
}

fn check(method: &str, path: &str, response: &Response) -> Result<()> {
    if response.status < 400 {
        return Ok(());
    }
    let said: Option<Value> = serde_json::from_slice(&response.body).ok();
    let said = said.and_then(|value| value["message"].as_str().map(str::to_owned));
    let plain = || String::from_utf8_lossy(&response.body).into_owned();
    Err(Error::Api {
        request: format!("{method} {path}"),
        status: response.status,
        message: said.unwrap_or_else(plain),
    })
}

fn read_response(mut stream: BufReader<UnixStream>) -> Result<Response> {
    let broken = |why: &str| Error::malformed("the engine's HTTP answer", why);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| broken(&format!("status line {line:?}")))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("it ends in the headers"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16);
            let size = size.map_err(|_| broken(&format!("chunk size {line:?}")))?;
            let read = stream.by_ref().take(size).read_to_end(&mut body)?;
            if read as u64 != size {
                return Err(broken("a chunk is cut short"));
            }
            line.clear();
            stream.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        let read = stream.take(length).read_to_end(&mut body)?;
        if read as u64 != length {
            return Err(broken("the body is cut short"));
        }
    } else if status != 204 && status != 304 {
        stream.read_to_end(&mut body)?;
    }
    Ok(Response { status, body })
}

/// Takes the engine's stream of frames apart: one byte says which stream, four the length.
fn demultiplex(mut frames: &[u8]) -> Result<(String, String)> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((head, rest)) = frames.split_first_chunk::<8>() {
        let [stream, _, _, _, a, b, c, d] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((data, rest)) = rest.split_at_checked(length) else {
            return Err(Error::malformed("a stream of frames", "it is cut short"));
        };
        if stream == 2 {
            &mut stderr
        } else {
            &mut stdout
        }
        .extend_from_slice(data);
        frames = rest;
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(stdout), text(stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &'static [u8]) -> Result<Response> {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(bytes).unwrap();
        drop(there);
        read_response(BufReader::new(here))
    }

    #[test]
    fn reads_bodies_of_each_kind() {
        let sized = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab").unwrap();
        assert_eq!((sized.status, sized.body.as_slice()), (200, &b"ab"[..]));
        let chunked =
            answer(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().body, b"abc");
        let open = answer(b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\nuntil the end").unwrap();
        assert_eq!(open.body, b"until the end");
        assert_eq!(
            answer(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().status,
            204
        );
    }

    #[test]
    fn a_cut_body_is_an_error() {
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap_err();
        answer(b"HTTP/1.1 200 OK\r\n").unwrap_err();
    }

    #[test]
    fn frames_go_to_their_streams() {
        let frames = b"\x01\0\0\0\0\0\0\x02ok\x02\0\0\0\0\0\0\x03bad\x01\0\0\0\0\0\0\x01!";
        let (stdout, stderr) = demultiplex(frames).unwrap();
        assert_eq!((stdout.as_str(), stderr.as_str()), ("ok!", "bad"));
        demultiplex(b"\x01\0\0\0\0\0\0\x09ok").unwrap_err();
    }
}
