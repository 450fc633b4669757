//! What hangs, floods, lies, redirects for ever or hangs up: bounded in time and memory, and told in a sentence.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lifeboat_engine::NetworkNamespace;
use lifeboat_plan::inventory::Container;
use lifeboat_plan::probe::Outcome;
use serde_json::json;

use crate::{ask, failure, shared, start};

/// A server of ours that listens on the container's loopback, in its network namespace. It ends with this process.
pub fn serve(
    container: &Container,
    port: u16,
    talk: impl Fn(TcpStream) + Send + Sync + Copy + 'static,
) {
    let namespace = NetworkNamespace::of_container(&container.raw)
        .unwrap()
        .unwrap();
    let (ready, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::os::fd::AsFd as _;
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.file().file().as_fd(), kind).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || talk(stream));
        }
    });
    wait.recv().unwrap();
}

/// Reads until the end of a request's head.
fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The most that a flood got rid of before whoever listens hung up.
static FLOODED: AtomicU64 = AtomicU64::new(0);

/// Until whoever listens hangs up.
fn flood(mut stream: TcpStream, bytes: &[u8]) {
    let bytes = bytes.repeat(4096 / bytes.len() + 1);
    let mut sent = 0;
    // Two gigabytes at most: the test would fail long before.
    for _ in 0..500_000 {
        if stream.write_all(&bytes).is_err() {
            break;
        }
        sent += bytes.len() as u64;
    }
    FLOODED.fetch_max(sent, Ordering::Relaxed);
}

const NETWORK: &[&str] = &[
    "http://:PORT/",
    "https://:PORT/",
    "grpc://:PORT/",
    "grpcs://:PORT/",
    "amqp://:PORT/",
    "redis://:PORT",
    "sql:postgres://:PORT/",
    "sql:mysql://:PORT/",
];

#[test]
fn every_protocol_is_bounded() {
    let (_, engine) = shared();
    let none = json!({"HostConfig": {"NetworkMode": "none"}});
    let container = start(&*engine, "hostile", none);
    serve(&container, 1001, |stream| {
        std::thread::sleep(Duration::from_secs(20));
        drop(stream);
    });
    serve(&container, 1002, |stream| flood(stream, b"A"));
    serve(&container, 1003, drop);
    serve(&container, 1004, |mut stream| {
        let mut some = [0; 8];
        let _ = stream.read(&mut some);
        let _ = stream.write_all(b"\x00\x01\x02\xff\xff\xff\xff\x7f");
    });
    serve(&container, 1005, |stream| flood(stream, b"\n"));
    serve(&container, 1006, |stream| flood(stream, b"\x00"));
    serve(&container, 1007, |stream| flood(stream, b"\xff"));
    // Lengths that are lies.
    serve(&container, 1008, |stream| {
        flood(stream, b"R\x7f\xff\xff\xff")
    });
    serve(&container, 1009, |mut stream| {
        let _ = stream.write_all(b"-");
        flood(stream, b"+");
    });
    for check in NETWORK {
        for port in 1001..=1009 {
            let given = check.replace("PORT", &port.to_string());
            let given = [("liveness", given.as_str()), ("liveness.timeout", "500ms")];
            let began = Instant::now();
            let why = failure(ask(&engine, &container, &given));
            let took = began.elapsed();
            assert!(
                took < Duration::from_millis(2500),
                "{given:?}: {took:?}: {why}"
            );
            assert!(why.len() < 400 && !why.contains('\n'), "{why:?}");
            if port == 1001 {
                assert_eq!(why, "no answer within 500ms", "{check}");
            }
            if port == 1003 {
                assert!(
                    why.contains("clos") || why.contains("reset") || why.contains("eof"),
                    "{check}: {why}"
                );
            }
        }
    }
    // What is read is bounded; beyond it there is what the kernel holds for both sides.
    let flooded = FLOODED.load(Ordering::Relaxed);
    assert!((4096..16 << 20).contains(&flooded), "{flooded}");
    engine.remove_container(&container.id, true, true).unwrap();
}

#[test]
fn http_that_does_not_end() {
    let (_, engine) = shared();
    let none = json!({"HostConfig": {"NetworkMode": "none"}});
    let container = start(&*engine, "hostile-http", none);
    let why = |given: &[(&str, &str)]| failure(ask(&engine, &container, given));

    // Round and round.
    serve(&container, 2001, |mut stream| {
        let head = request(&mut stream);
        let at: u32 = head
            .split(['/', ' '])
            .nth(2)
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let _ = write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n",
            at + 1
        );
    });
    assert_eq!(
        why(&[("liveness", "http://:2001/")]),
        "it redirects more than 10 times"
    );
    let taken = [("liveness", "http://:2001/"), ("liveness.status", "302")];
    assert_eq!(ask(&engine, &container, &taken), Outcome::Success);

    // Away from the container: nobody goes there, and the status counts.
    serve(&container, 2002, |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 307 Away\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n");
    });
    assert_eq!(
        ask(&engine, &container, &[("liveness", "http://:2002/")]),
        Outcome::Success
    );
    let strict = [
        ("liveness", "http://:2002/"),
        ("liveness.status", "200-299"),
    ];
    assert_eq!(why(&strict), "status 307");

    // A body without end: what matters stands at its beginning, or nowhere.
    serve(&container, 2003, |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nready ");
        flood(stream, b"x");
    });
    assert_eq!(
        ask(&engine, &container, &[("liveness", "http://:2003/")]),
        Outcome::Success
    );
    let body = |pattern| [("liveness", "http://:2003/"), ("liveness.body", pattern)];
    assert_eq!(
        ask(&engine, &container, &body("^read[xyz]")),
        Outcome::Success
    );
    assert_eq!(
        why(&body("never")),
        "its body does not match \"never\" in its first 64 KiB"
    );
    let json = [("liveness", "http://:2003/"), ("liveness.json", "a=b")];
    assert_eq!(why(&json), "its body is no JSON in its first 64 KiB");

    // A head without end, an answer that breaks off, one that comes drop by drop.
    serve(&container, 2004, |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        flood(stream, b"X-More: and more\r\n");
    });
    let head = why(&[("liveness", "http://:2004/")]);
    assert!(
        head.contains("head of its answer") || head.contains("HTTP"),
        "{head}"
    );
    serve(&container, 2005, |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    let cut = [("liveness", "http://:2005/"), ("liveness.body", "half")];
    let cut = why(&cut);
    assert!(
        cut.contains("closes the connection") || cut.contains("breaks"),
        "{cut}"
    );
    serve(&container, 2006, |mut stream| {
        request(&mut stream);
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            .iter()
            .cycle()
        {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let slow = [("liveness", "http://:2006/"), ("liveness.timeout", "1s")];
    assert_eq!(why(&slow), "no answer within 1s");
    engine.remove_container(&container.id, true, true).unwrap();
}

/// Headers, hosts, credentials by reference: what the server really gets.
#[test]
fn http_says_what_it_was_told_to_say() {
    let (_, engine) = shared();
    let body = json!({
        "HostConfig": {"NetworkMode": "none"}, "Env": ["TOKEN=Bearer hunter2"],
        "Cmd": ["sh", "-c", "echo file-secret >/key; ln -s /proc/self/environ /magic; exec sleep 3600"],
    });
    let container = start(&*engine, "headers", body);
    // It runs from the moment on that its shell does, which still has to write them.
    let last = format!("/proc/{}/root/magic", container.raw["State"]["Pid"]);
    let began = Instant::now();
    while fs_err::symlink_metadata(&last).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{last}");
        std::thread::sleep(Duration::from_millis(10));
    }
    serve(&container, 3001, |mut stream| {
        let head = request(&mut stream).to_ascii_lowercase();
        let text = serde_json::to_string(&json!({"head": head, "list": [{"up": true}]})).unwrap();
        let status = if head.contains("/missing") {
            "404 Not Found"
        } else {
            "200 OK"
        };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
    });
    let asked = |given: &[(&str, &str)]| {
        let mut all = vec![("liveness", "http://:3001/health?full=1")];
        all.extend_from_slice(given);
        ask(&engine, &container, &all)
    };
    let good = |given: &[(&str, &str)]| assert_eq!(asked(given), Outcome::Success, "{given:?}");
    good(&[("liveness.body", "^.{9}get /health\\?full=1 http/1.1")]);
    good(&[("liveness.body", "host: 127\\.0\\.0\\.1:3001")]);
    good(&[
        ("liveness.host", "shop.example"),
        ("liveness.body", "host: shop\\.example\\\\r"),
    ]);
    good(&[
        ("liveness.header.X-Probe", "yes: indeed"),
        ("liveness.body", "x-probe: yes: indeed"),
    ]);
    good(&[
        ("liveness.header.Authorization", "env:TOKEN"),
        ("liveness.body", "authorization: bearer hunter2"),
    ]);
    good(&[
        ("liveness.header.Authorization", "file:/key"),
        ("liveness.body", "authorization: file-secret\\\\r"),
    ]);
    good(&[("liveness.json", "list[0].up=true")]);
    good(&[("liveness.json", "$.list[0].up")]);
    let no = failure(asked(&[("liveness.json", "list[1].up=true")]));
    assert_eq!(no, "its JSON should have list[1].up=true, it has null");
    assert_eq!(
        failure(crate::simply(&engine, &container, "http://:3001/missing")),
        "status 404"
    );
    let taken = [
        ("liveness", "http://:3001/missing"),
        ("liveness.status", "2xx,404"),
    ];
    assert_eq!(ask(&engine, &container, &taken), Outcome::Success);
    // A link that leads out of the container's files is not followed.
    for away in ["file:/magic", "file:/no/such", "file:/", "env:NONE"] {
        let outcome = asked(&[("liveness.header.Authorization", away)]);
        assert!(
            matches!(outcome, Outcome::Unknown(_)),
            "{away}: {outcome:?}"
        );
    }
    engine.remove_container(&container.id, true, true).unwrap();
}
