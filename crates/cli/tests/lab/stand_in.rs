//! A stand-in for an engine that cannot be had here: it passes everything on to a real one, and says one
//! thing otherwise.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Command, Output},
};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::Value;

use crate::{support::Lab, tiny::stderr};

/// In front of an engine; lives as long as the test's process.
pub struct StandIn {
    socket: PathBuf,
}

impl StandIn {
    /// Where the engine says `is`, this says `said`, which is as long.
    pub fn before(lab: &Lab, engine: &PrivateEngine, is: &'static str, said: &'static str) -> Self {
        assert_eq!(is.len(), said.len());
        let socket = lab.path("stand-in.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let real = engine.socket();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect(&real).unwrap();
                let (asks, gives) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
                std::thread::spawn(move || pass(asks, engine, |_| {}));
                std::thread::spawn(move || pass(gives, client, |b| say(b, is, said)));
            }
        });
        Self { socket }
    }

    pub fn run(&self, lab: &Lab, args: &[&str], code: i32) -> Output {
        let mut command: Command = lab.command(None, args);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        output
    }

    pub fn json(&self, lab: &Lab, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        serde_json::from_slice(&self.run(lab, &args, code).stdout).unwrap()
    }
}

/// The answer that holds it comes in one piece.
fn say(bytes: &mut [u8], is: &str, said: &str) {
    let (is, said) = (is.as_bytes(), said.as_bytes());
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(is.len()).position(|w| w == is) {
        let at = from + at;
        bytes[at..at + is.len()].copy_from_slice(said);
        from = at + is.len();
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream, change: impl Fn(&mut [u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
