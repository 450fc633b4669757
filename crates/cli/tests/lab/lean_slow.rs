//! A store that takes its time: 5 MB/s and 200 ms, within little memory; and one that stalls.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use lifeboat_testkit::server::{Between, S3Server, Then};

use crate::{
    lean::{Limited, hash, large, wide},
    stores::Remote,
    support::Lab,
    tiny::stderr,
};

/// A way to a server that takes its time: each answer comes `late`, and no more than so many bytes a second pass.
fn slow_way(server: u16, late: Duration, rate: u64) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(there) = TcpStream::connect(("127.0.0.1", server)) else {
                continue;
            };
            let ways = [
                (
                    client.try_clone().unwrap(),
                    there.try_clone().unwrap(),
                    Duration::ZERO,
                ),
                (there, client, late),
            ];
            for (mut from, mut to, late) in ways {
                thread::spawn(move || {
                    let mut buffer = vec![0; 16 << 10];
                    let mut last = Instant::now();
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        // What follows at once belongs to the same answer.
                        if last.elapsed() > Duration::from_millis(20) {
                            thread::sleep(late);
                        }
                        thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64));
                        if to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                        last = Instant::now();
                    }
                    let _ = to.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

fn port_of(place: &str) -> u16 {
    let (_, rest) = place.split_once("127.0.0.1:").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Sends so many bytes over a way of 5 MB/s and 200 ms, within little memory.
fn over_a_slow_way(bytes: u64) {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    let mut remote = Remote::s3(&lab, &server);
    let port = port_of(&remote.place);
    let slow = slow_way(port, Duration::from_millis(200), 5_000_000);
    remote.place = remote.place.replace(&port.to_string(), &slow.to_string());
    remote.init();
    let source = lab.path("source");
    fs_err::create_dir_all(&source).unwrap();
    large(&source.join("big"), bytes);
    // Each is a request of its own when it is restored.
    wide(&source.join("small"), 40);
    let limited = Limited::new("slow", 300 << 20);
    let target = lab.path("out");
    for args in [
        ["backup", "--path", source.to_str().unwrap()].as_slice(),
        &["restore", "latest", "--target", target.to_str().unwrap()],
    ] {
        let (output, peak) = limited.run(&remote.command(None, args));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(peak < 256 << 20, "{peak}");
    }
    let back = target.join(source.strip_prefix("/").unwrap());
    assert_eq!(hash(&source.join("big")), hash(&back.join("big")));
}

#[test]
fn lean_a_slow_store_is_waited_for() {
    over_a_slow_way(6 << 20);
}

#[test]
#[ignore = "some minutes"]
fn soak_lean_a_gigabyte_over_a_slow_way() {
    over_a_slow_way(1 << 30);
}

/// Nothing passes for so long in the middle of a backup.
fn stalled(pause: Duration) {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    let mut remote = Remote::s3(&lab, &server);
    let between = Between::start(port_of(&remote.place)).unwrap();
    remote.place = between.place(&remote.place);
    remote.init();
    let source = lab.path("source");
    fs_err::create_dir_all(&source).unwrap();
    large(&source.join("big"), 60 << 20);
    between.after(20 << 20, Then::Hold);
    let args = ["backup", "--path", source.to_str().unwrap()];
    let child = remote.command(None, &args).spawn().unwrap();
    between.is_holding();
    thread::sleep(pause);
    between.go_on();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    remote.run(None, &["check", "--read-data"], 0);
}

#[test]
fn lean_a_store_that_stalls() {
    stalled(Duration::from_secs(6));
}

#[test]
#[ignore = "more than a minute"]
fn soak_lean_a_store_that_stalls_for_a_minute() {
    stalled(Duration::from_secs(65));
}
