//! Who may what: tokens over TLS, groups over a second socket.

use std::process::Command;

use serde_json::json;

use super::{Served, Via, answer};

#[test]
fn each_role_may_what_it_may_and_nobody_else_comes_in() {
    // Others can enter it, unlike the lab's own folder.
    let open = tempfile::Builder::new()
        .prefix("lb-")
        .tempdir_in("/tmp")
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(open.path(), mode).unwrap();
    let second = open.path().join("api");
    let socket = second.to_str().unwrap();
    let args = [
        "--api-socket",
        socket,
        "--api-viewers",
        "games",
        "--api-operators",
        "operator",
    ];
    let mut served = Served::start(&args, "");
    served.app("blog", &json!({}), "true");

    let viewer = served.token("look", &["--role", "viewer"]);
    let operator = served.token("run", &["--role", "operator", "--expires", "1h"]);
    let admin = served.token("all", &["--role", "admin"]);
    let expired = served.token("old", &["--role", "admin", "--expires", "0s"]);
    served
        .lab
        .run(None, &["token", "add", "old", "--role", "admin"], 2);
    let (viewer, operator, admin) = (
        Via::Token(&viewer),
        Via::Token(&operator),
        Via::Token(&admin),
    );
    let on = json!({"app": "blog", "on": true});
    let short = json!({"password": ""});
    let gone = json!({"kind": "restore", "point": "gone"});
    let allow = json!({"kind": "restore", "point": "gone", "as": "x", "allow": ["privileged"]});
    let repair = json!({"kind": "repair", "what": "points", "dry_run": true});
    let rows = [
        ("GET", "/status", None, [200, 200, 200]),
        ("GET", "/apps", None, [200, 200, 200]),
        ("GET", "/policies/blog", None, [200, 200, 200]),
        ("GET", "/jobs", None, [200, 200, 200]),
        ("GET", "/points", None, [200, 200, 200]),
        ("GET", "/events", None, [200, 200, 200]),
        ("GET", "/metrics", None, [200, 200, 200]),
        ("GET", "/openapi.json", None, [200, 200, 200]),
        ("POST", "/maintenance", Some(&on), [403, 200, 200]),
        ("POST", "/notify/test", None, [403, 409, 409]),
        ("POST", "/release", None, [403, 403, 200]),
        ("GET", "/audit", None, [403, 403, 200]),
        ("GET", "/points/abcdef01/files", None, [403, 403, 404]),
        ("GET", "/points/abcdef01/file", None, [403, 403, 404]),
        ("GET", "/points/abcdef01/definition", None, [404, 404, 404]),
        (
            "GET",
            "/points/abcdef01/diff/abcdef02",
            None,
            [403, 403, 404],
        ),
        (
            "GET",
            "/files?pattern=x&point=abcdef01",
            None,
            [403, 403, 404],
        ),
        ("GET", "/keys", None, [403, 403, 200]),
        ("POST", "/keys", Some(&short), [403, 403, 400]),
        ("GET", "/copies", None, [200, 200, 200]),
        ("GET", "/about", None, [200, 200, 200]),
        ("GET", "/apps/blog/definition", None, [200, 200, 200]),
        (
            "GET",
            "/apps/blog/definition?full=true",
            None,
            [403, 403, 200],
        ),
        ("POST", "/operations", Some(&gone), [403, 404, 404]),
        ("POST", "/operations", Some(&allow), [403, 403, 404]),
        ("POST", "/operations", Some(&repair), [403, 403, 202]),
    ];
    for (method, path, body, statuses) in rows {
        for (via, status) in [viewer, operator, admin].into_iter().zip(statuses) {
            let answer = served.ask(via, method, path, body);
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
            if status == 403 {
                answer.refused(403, "and this takes");
            }
        }
    }
    let shown = served.ask(viewer, "GET", "/jobs", None).json();
    let all = served.ask(admin, "GET", "/jobs", None).json();
    assert!(shown["items"][0]["log"].is_null(), "{shown}");
    assert!(all["items"].as_array().is_some());

    // Nobody, somebody else, somebody of yesterday.
    served
        .ask(Via::Nobody, "GET", "/status", None)
        .refused(401, "no token was given");
    for wrong in ["x", "lifeboat_look_x", "lifeboat_nobody_x"] {
        let answer = served.ask(Via::Token(wrong), "GET", "/status", None);
        answer.refused(401, "this token is not known here");
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
    }
    let late = served.ask(Via::Token(&expired), "GET", "/status", None);
    late.refused(401, "this token expired at");
    served.lab.run(None, &["token", "remove", "run"], 0);
    served
        .ask(operator, "GET", "/status", None)
        .refused(401, "was taken back");
    // Without TLS nothing is said at all.
    let plain = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "5"])
        .arg(format!("http://{}/api/v1/status", served.at))
        .output()
        .unwrap();
    assert!(!plain.status.success() && plain.stdout.is_empty());

    // The second socket: by group, as the kernel says it.
    let by_group = |group: &str, method: &str, path: &str, body: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", group, "--clear-groups"])
            .args([
                "curl",
                "-sS",
                "-i",
                "--max-time",
                "10",
                "--unix-socket",
                socket,
                "-X",
                method,
            ])
            .args([
                "-H",
                "Content-Type: application/json",
                "--data-binary",
                body,
            ])
            .arg(format!("http://lifeboat/api/v1{path}"))
            .output()
            .unwrap();
        answer(&output)
    };
    let off = json!({"app": "blog", "on": false}).to_string();
    assert_eq!(by_group("games", "GET", "/status", "").status, 200);
    by_group("games", "POST", "/maintenance", &off).refused(403, "user 65534 is viewer");
    assert_eq!(
        by_group("operator", "POST", "/maintenance", &off).status,
        200
    );
    by_group("nogroup", "GET", "/status", "").refused(403, "your user may not ask this agent");

    // Who did what stands in the log, and no token does, anywhere.
    let lines = served
        .lab
        .json(None, &["audit", "-n", "100"], 0)
        .to_string();
    for who in ["token run", "token all", "user 65534"] {
        assert!(lines.contains(who), "{who}: {lines}");
    }
    let Via::Token(admin) = admin else {
        unreachable!()
    };
    certificates_of_clients(&mut served, admin);
    let secret = admin.strip_prefix("lifeboat_all_").unwrap();
    let log = fs_err::read_to_string(served.lab.path("agent.log")).unwrap();
    let kept = fs_err::read_to_string(served.lab.path("etc/api-tokens.toml")).unwrap();
    for text in [&lines, &log, &kept] {
        assert!(!text.contains(secret));
    }
}

/// With an authority for clients nobody comes in over the network without a certificate of it, beside the token.
fn certificates_of_clients(served: &mut Served, admin: &str) {
    let certs = served.lab.path("certs");
    let authority = certs.join("nobody/ca.pem");
    served.kill();
    served.begin(&["--api-client-ca", authority.to_str().unwrap()]);
    let ask = |who: Option<&str>, via: Via| {
        let files =
            who.map(|who| ["cert", "key"].map(|file| certs.join(who).join(format!("{file}.pem"))));
        let files = files.map(|files| files.map(|file| file.display().to_string()));
        let args = files
            .iter()
            .flat_map(|[cert, key]| ["--cert", cert, "--key", key]);
        served.ask_with(via, "GET", "/status", None, &args.collect::<Vec<_>>())
    };
    for who in [None, Some("stranger"), Some("server")] {
        let answer = ask(who, Via::Token(admin));
        assert_eq!((answer.status, answer.body.as_str()), (0, ""), "{who:?}");
    }
    assert_eq!(ask(Some("client"), Via::Token(admin)).status, 200);
    ask(Some("client"), Via::Nobody).refused(401, "no token was given");
    // The socket knows who asks by the kernel's word.
    assert_eq!(ask(None, Via::Socket).status, 200);
}
