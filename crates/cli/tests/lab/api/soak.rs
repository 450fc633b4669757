//! Schemathesis with each role, and a hundred clients at once.

use std::process::Command;
use std::time::{Duration, Instant};

use lifeboat_testkit::cache;
use serde_json::json;

use super::{Served, Via};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";

#[test]
fn soak_api_under_schemathesis() {
    let tool = cache::entry("tool-schemathesis", SCHEMATHESIS, |folder| {
        let done = |mut command: Command| {
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(folder);
        done(make);
        let mut install = Command::new(folder.join("bin/python"));
        install.args(["-m", "pip", "-q", "install", SCHEMATHESIS]);
        done(install);
        Ok(())
    })
    .unwrap();
    let served = Served::start(&[], "[policy.\"*\"]\nretain = \"3d\"\n");
    served.app("blog", &json!({}), "echo one > /data/rows");
    for role in ["viewer", "operator", "admin"] {
        let token = served.token(role, &["--role", role]);
        let began = Instant::now();
        // Streams go on for ever, which it takes for a hang.
        let output = Command::new(tool.join("bin/python"))
            .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", "--phases", "examples,coverage,fuzzing"])
            .arg(served.url(Via::Nobody, "/openapi.json"))
            .args(["--tls-verify", served.authority().to_str().unwrap()])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .args(["--exclude-path", "/api/v1/events/stream", "--max-examples", "40"])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance"])
            .args(["--generation-deterministic", "--suppress-health-check", "all", "--request-timeout", "30", "--no-color"])
            .current_dir(served.lab.path("."))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{role}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let summary = text.lines().rev().take(12).collect::<Vec<_>>();
        println!(
            "{role}: {:.0} s; {}",
            began.elapsed().as_secs_f64(),
            summary.join(" | ")
        );
    }
    let verdict = served.lab.json(None, &["audit", "verify"], 0);
    println!("{} changes written down", verdict["lines"]);
}

#[test]
fn soak_a_hundred_clients_read_status() {
    let served = Served::start(&[], "");
    for app in 0..20 {
        served.app(&format!("app{app}"), &json!({}), "true");
    }
    let socket = served.socket();
    let clients: Vec<_> = (0..100)
        .map(|client| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                use std::io::{BufRead as _, BufReader, Read as _, Write as _};
                // Not all in the same instant.
                std::thread::sleep(Duration::from_millis(client * 10));
                let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let mut took = Vec::new();
                for _ in 0..20 {
                    let began = Instant::now();
                    stream
                        .write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
                        .unwrap();
                    let (mut length, mut line) = (0, String::new());
                    while reader.read_line(&mut line).unwrap() > 2 {
                        let lower = line.to_ascii_lowercase();
                        if let Some(value) = lower.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    took.push(began.elapsed());
                    assert!(body.starts_with(b"{\"now\":"));
                    std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
                }
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = clients
        .into_iter()
        .flat_map(|c| c.join().unwrap())
        .collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{} answers: p50 {:?}, p99 {:?}, longest {:?}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert!(at(0.99) < Duration::from_millis(20), "{:?}", at(0.99));
}
