//! What nobody should send.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Served, Via};

#[test]
fn wrong_input_is_refused_in_a_sentence_and_slow_clients_are_left() {
    let served = Served::start(&[], "[copy.far]\nto = \"/nowhere\"\nrpo = \"6h\"\n");
    served.app("blog", &json!({}), "true");

    // They take ten seconds each, at the same time as all that follows.
    let slow = |sent: &'static str| {
        let socket = served.socket();
        std::thread::spawn(move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(25)))
                .unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
            let began = Instant::now();
            let mut said = String::new();
            let _ = stream.read_to_string(&mut said);
            (began.elapsed(), said)
        })
    };
    let head = slow("GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let silent = slow("");
    let body = slow(
        "POST /api/v1/maintenance HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );

    let get = |path: &str| served.ask(Via::Socket, "GET", path, None);
    for path in [
        "/apps/..%2f..%2fetc%2fpasswd",
        "/apps/../../../etc/passwd",
        "/points/..",
        "/apps/a%00b",
    ] {
        get(path).refused(400, "the path climbs");
    }
    get("/apps/a%20b").refused(400, "only ASCII letters");
    get("/apps/blgo").refused(404, "did you mean `blog`?");
    get("/points/nothex").refused(400, "hexadecimal");
    get("/points?app=../x").refused(400, "the host `..`");
    get("/points/0123abcd/files?path=../../etc").refused(400, "the path climbs");
    get("/jobs/one").refused(400, "");
    get("/jobs/4711").refused(404, "there is no job 4711");
    get("/jobs?limit=0").refused(400, "limit=0 is not between 1 and 1000");
    get("/jobs?limit=x").refused(400, "the query cannot be read");
    get("/jobs?cursor=x").refused(400, "cursor");
    get("/jobs?sort=up").refused(400, "sort");
    get("/nothing").refused(404, "there is nothing at this path");
    served
        .ask(Via::Socket, "DELETE", "/status", None)
        .refused(405, "not asked so");

    let post =
        |path: &str, body: serde_json::Value| served.ask(Via::Socket, "POST", path, Some(&body));
    post("/operations", json!({"kind": "format"})).refused(400, "unknown variant `format`");
    post("/operations", json!({"kind": "backup"})).refused(400, "`app` to back up is missing");
    post("/operations", json!({"kind": "backup", "app": "/etc"})).refused(400, "cannot be empty");
    post(
        "/operations",
        json!({"kind": "backup", "app": "x", "command": "sh"}),
    )
    .refused(400, "command");
    post("/operations", json!({"kind": "prune", "app": "x"})).refused(400, "unknown field `app`");
    for (wanted, why) in [
        (json!({"kind": "restore"}), "`point` is missing"),
        (json!({"kind": "restore", "point": "../x"}), "the host `..`"),
        (
            json!({"kind": "restore", "point": "x@../../etc"}),
            "what stands behind `@`",
        ),
        (
            json!({"kind": "restore", "point": "blog", "command": "sh"}),
            "unknown field `command`",
        ),
        (
            json!({"kind": "restore", "point": "blog", "maps": {"entrypoint": {}}}),
            "entrypoint",
        ),
        (
            json!({"kind": "remove_copy", "name": "../x", "confirm": "../x"}),
            "only ASCII letters",
        ),
        (json!({"kind": "pin", "points": []}), "names none"),
        (
            json!({"kind": "pin", "points": ["--all"]}),
            "only ASCII letters",
        ),
        (
            json!({"kind": "prune", "max_unused": "a\nb"}),
            "control characters",
        ),
        (
            json!({"kind": "repair", "what": "index", "only": ["x"]}),
            "takes less than was said",
        ),
        (
            json!({"kind": "repair", "what": "packs", "only": ["../x"]}),
            "64 hexadecimal",
        ),
        (
            json!({"kind": "registry_restore", "to": "--plain-http"}),
            "HOST:PORT",
        ),
        (
            json!({"kind": "registry_forget"}),
            "no rule says what stays",
        ),
    ] {
        post("/operations", wanted).refused(400, why);
    }
    let nowhere = json!({"kind": "restore", "point": "default/lab/never"});
    post("/operations", nowhere).refused(404, "the vault has no point of `never`");
    let keys = |body: serde_json::Value| post("/keys", body);
    keys(json!({"password": ""})).refused(400, "the password is empty");
    keys(json!({"password": "a\nb"})).refused(400, "more than one line");
    keys(json!({"password": "s3cret", "file": "/x"})).refused(400, "unknown field `file`");
    served
        .ask(Via::Socket, "DELETE", "/keys/..%2fx", None)
        .refused(400, "the path climbs");
    served
        .ask(Via::Socket, "DELETE", "/keys/01234567", None)
        .refused(404, "there is no key");
    get("/points/0123abcd/file?path=../x").refused(400, "the path climbs");
    get("/files?pattern=").refused(400, "the pattern is empty");
    get("/shown/audit").refused(400, "the path cannot be read");
    get("/copies/..%2fx").refused(400, "the path climbs");
    post("/operations", json!({"kind": "copy", "name": "fra"})).refused(404, "did you mean `far`?");
    post("/maintenance", json!({"app": "blgo", "on": true})).refused(404, "did you mean `blog`?");
    post(
        "/maintenance",
        json!({"app": "x".repeat(70_000), "on": true}),
    )
    .refused(413, "64 KiB");
    let send = |args: &[&str]| {
        let args = [&["--data-binary", "{"], args].concat();
        served.ask_with(Via::Socket, "POST", "/maintenance", None, &args)
    };
    send(&["-H", "Content-Type: application/json"]).refused(400, "the body cannot be read");
    send(&["-H", "Content-Type: text/xml"]).refused(415, "send application/json");
    let key = format!("Idempotency-Key: {}", "k".repeat(300));
    send(&["-H", "Content-Type: application/json", "-H", &key]).refused(400, "longer than 255");
    // The length is not known beforehand.
    let large = served.lab.path("large");
    fs_err::write(&large, vec![b'x'; 100_000]).unwrap();
    let large = format!("@{}", large.display());
    let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", &large];
    served
        .ask_with(Via::Socket, "POST", "/maintenance", None, &chunked)
        .refused(413, "64 KiB");

    // Followed from the beginning, as long as it is wanted.
    let args = ["-N", "-H", "Last-Event-ID: 0", "--max-time", "2"];
    let events = served.ask_with(Via::Socket, "GET", "/events/stream", None, &args);
    assert!(events.body.contains("the agent begins"), "{}", events.body);
    assert!(events.body.contains("id: 1"), "{}", events.body);

    // Certificates that are none end it before it begins.
    let cert = served.lab.path("agent.log");
    let cert = cert.to_str().unwrap();
    let args = [
        "agent",
        "--api-listen",
        "127.0.0.1:1",
        "--api-cert",
        cert,
        "--api-key",
        cert,
    ];
    let refused = served.lab.run(Some(&served.engine), &args, 1);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("holds no certificate in PEM"), "{said}");

    for (thread, words) in [
        (head, ""),
        (silent, ""),
        (body, "did not come within ten seconds"),
    ] {
        let (took, said) = thread.join().unwrap();
        assert!(took < Duration::from_secs(15), "{took:?}: {said}");
        assert!(said.contains(words), "{said}");
    }
}
