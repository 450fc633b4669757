//! A registry in the vault that is pushed to: by docker and skopeo, killed in between, beside a prune, with tokens.
//!
//! Seen to fail: the kills, while a manifest was answered before its point was written.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use lifeboat_testkit::{images, packages};
use serde_json::json;

use crate::{
    registry_serve::{Served, docker, docker_does, empty, id},
    support::Lab,
    tiny::{self, stderr, stdout},
};

const NAME: &str = "registry.example";

/// A real image that skopeo copies from.
pub fn image() -> String {
    let image = images::busybox().unwrap();
    format!("docker-archive:{}", image.tar.display())
}

/// skopeo, which shares no code with ours.
pub fn skopeo(args: &[&str]) -> Output {
    packages::ensure(&[("skopeo", "a second client of registries for the tests")]).unwrap();
    let mut command = Command::new("skopeo");
    command.arg("--insecure-policy").args(args);
    command.output().unwrap()
}

pub fn skopeo_does(args: &[&str]) -> String {
    let output = skopeo(args);
    assert!(
        output.status.success(),
        "skopeo {args:?}: {}",
        stderr(&output)
    );
    stdout(&output)
}

fn push(served: &Served, name: &str) -> Output {
    let to = format!("docker://{}/{name}", served.address());
    skopeo(&["copy", "--dest-tls-verify=false", &image(), &to])
}

fn digest(served: &Served, name: &str) -> Result<String, String> {
    let from = format!("docker://{}/{name}", served.address());
    let output = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &from,
    ]);
    match output.status.success() {
        true => Ok(stdout(&output).trim().to_owned()),
        false => Err(stderr(&output)),
    }
}

#[test]
fn docker_pushes_into_the_vault_and_pulls_again() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "one");
    let served = Served::start(&lab, &engine, &["--accept"]);
    let name = "127.0.0.1:5000/team/app:1.0";
    docker_does(&engine, &format!("tag lifeboat/busybox:latest {name}"));
    let image = id(&engine, name);
    let said = docker_does(&engine, &format!("push {name}"));
    let digest = said.split("digest: ").nth(1).unwrap();
    let digest = digest.split_whitespace().next().unwrap().to_owned();
    docker_does(&engine, &format!("rmi -f {image}"));
    docker_does(&engine, &format!("pull 127.0.0.1:5000/team/app@{digest}"));
    docker_does(&engine, &format!("pull {name}"));
    assert_eq!(id(&engine, name), image);
    // Into another repository: mounted from the first, and nothing is sent.
    docker_does(&engine, &format!("tag {name} 127.0.0.1:5000/other:2"));
    let said = docker_does(&engine, "push 127.0.0.1:5000/other:2");
    assert!(said.contains("Mounted from team/app"), "{said}");
    served.stop();

    // The next server, which only serves, has it; and so does plain restic.
    let empty = empty(&lab, &[], Vec::new());
    let served = Served::start(&lab, &empty, &[]);
    let said = docker_does(&empty, "pull 127.0.0.1:5000/other:2");
    assert!(said.contains(&digest), "{said}");
    let refused = docker(&empty, "push 127.0.0.1:5000/other:2");
    assert!(!refused.status.success());
    served.stop();
    lab.run(None, &["registry", "check", "--read-data"], 0);
    lab.restic(&["check", "--read-data"]);
}

#[test]
fn what_was_answered_outlives_kills_and_a_prune() {
    let lab = Lab::new();
    lab.init();
    let line = ["--accept", "--name", NAME, "--listen", "127.0.0.1:0"];
    let mut answered = Vec::new();
    for round in 0..4 {
        let served = Served::here(&lab, &line);
        for number in 0..2 {
            let name = format!("team/app:v{round}{number}");
            assert!(push(&served, &name).status.success());
            answered.push(name);
        }
        // The next is under way when the power goes.
        let to = format!("docker://{}/team/app:lost{round}", served.address());
        let mut under_way = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--dest-tls-verify=false",
                &image(),
                &to,
            ])
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40 * round));
        served.kill();
        let _ = under_way.wait();
        if round == 1 {
            // Points that the next ones replaced, and what was never named, are garbage.
            lab.run(None, &["prune", "--instant"], 0);
        }
    }
    let served = Served::here(&lab, &line);
    let first = digest(&served, &answered[0]).unwrap();
    for name in &answered {
        assert_eq!(digest(&served, name).as_ref(), Ok(&first), "{name}");
    }
    // Two at once on one host would write over each other.
    let second = lab.run(None, &[&["registry", "serve"], &line[..]].concat(), 1);
    assert!(
        stderr(&second).contains("another process takes pushes"),
        "{}",
        stderr(&second)
    );
    // Deleted, and still in the point before.
    let point = &lab.json(None, &["points"], 0)["points"];
    let before = point.as_array().unwrap().last().unwrap()["id"]
        .as_str()
        .unwrap()[..8]
        .to_owned();
    let to = format!("docker://{}/{}", served.address(), answered[0]);
    // skopeo deletes the manifest, and with it all its tags.
    skopeo_does(&["delete", "--tls-verify=false", &to]);
    assert!(
        digest(&served, &answered[0])
            .unwrap_err()
            .contains("manifest unknown")
    );
    assert_eq!(
        digest(&served, &format!("point-{before}/{}", answered[0])),
        Ok(first)
    );
    served.stop();
    lab.run(None, &["registry", "check", "--read-data"], 0);
    lab.run(None, &["check", "--read-data"], 0);
    // On disk nothing waits that the vault has.
    let staged: Vec<PathBuf> = fs_err::read_dir(lab.path("state").join("registry"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("blobs"))
        .filter(|path| path.is_dir())
        .collect();
    assert_eq!(staged.len(), 1);
}

#[test]
fn pushers_come_with_tokens() {
    let lab = Lab::new();
    lab.init();
    let (secret, users) = (lab.path("secret"), lab.path("users"));
    fs_err::write(&secret, "open sesame\n").unwrap();
    // bcrypt of `correct horse`.
    let hash = "$2b$05$2VoYxXVPSae.DSPHPdX8Iur8otkbjEZ4mLtQcMx2wulmcntIwQTdC";
    fs_err::write(&users, format!("bob:{hash}\n")).unwrap();
    let engine = tiny::engine(&lab, "one");
    let served = Served::start(
        &lab,
        &engine,
        &[
            "--accept",
            "--token-auth",
            "--user",
            "ann",
            "--user-password-file",
            secret.to_str().unwrap(),
            "--users",
            users.to_str().unwrap(),
            "--pusher",
            "ann",
        ],
    );
    let name = "127.0.0.1:5000/team/app:1.0";
    docker_does(&engine, &format!("tag lifeboat/busybox:latest {name}"));
    let as_user = |user: &str, password: &str, line: &str| {
        let config = lab.path(user);
        fs_err::create_dir_all(&config).unwrap();
        let mut login = engine.netns_command("sh");
        login.args([
            "-c",
            "printf %s \"$2\" | docker --config \"$1\" login -u \"$3\" --password-stdin 127.0.0.1:5000",
            "sh",
        ]);
        login.arg(&config).args([password, user]);
        login.env("DOCKER_HOST", engine.docker_host());
        let login = login.output().unwrap();
        if !login.status.success() {
            return Err(stderr(&login));
        }
        let output = docker(&engine, &format!("--config {} {line}", config.display()));
        match output.status.success() {
            true => Ok(stdout(&output)),
            false => Err(stderr(&output)),
        }
    };
    assert!(!docker(&engine, &format!("push {name}")).status.success());
    as_user("ann", "wrong", "version").unwrap_err();
    as_user("bob", "correct horse", &format!("push {name}")).unwrap_err();
    as_user("ann", "open sesame", &format!("push {name}")).unwrap();
    as_user("bob", "correct horse", &format!("pull {name}")).unwrap();

    // skopeo comes to the same endpoint; so does our own client, with a password and with an identity token.
    let mut inspect = engine.netns_command("skopeo");
    inspect.args([
        "inspect",
        "--tls-verify=false",
        "--creds",
        "bob:correct horse",
    ]);
    inspect.arg(format!("docker://{name}"));
    let inspect = inspect.output().unwrap();
    assert!(inspect.status.success(), "{}", stderr(&inspect));
    // `bob:correct horse`.
    let asked = "GET /token?service=lifeboat&offline_token=true HTTP/1.0\\r\\nHost: x\\r\\nAuthorization: Basic Ym9iOmNvcnJlY3QgaG9yc2U=\\r\\n\\r\\n";
    let mut token = engine.netns_command("bash");
    token.arg("-c");
    token.arg(format!(
        "exec 3<>/dev/tcp/127.0.0.1/5000; printf '{asked}' >&3; cat <&3"
    ));
    let token = stdout(&token.output().unwrap());
    let token = token.split("\r\n\r\n").nth(1).unwrap();
    let token: serde_json::Value = serde_json::from_str(token).unwrap();
    let token = token["refresh_token"].as_str().unwrap();
    let config = lab.path("identity");
    fs_err::create_dir_all(&config).unwrap();
    let backup = |login: serde_json::Value| {
        let auths = json!({"auths": {"127.0.0.1:5000": login}});
        fs_err::write(config.join("config.json"), auths.to_string()).unwrap();
        let mut backup = engine.netns_command(env!("CARGO_BIN_EXE_lifeboat"));
        backup
            .args(["registry", "backup", "127.0.0.1:5000"])
            .env("LIFEBOAT_CONFIG_DIR", lab.path("etc"))
            .env("LIFEBOAT_STATE_DIR", lab.path("state"))
            .env("DOCKER_CONFIG", &config);
        backup.output().unwrap()
    };
    // `<token>:`, as docker keeps it.
    let auth = "PHRva2VuPjo=";
    let good = backup(json!({"auth": auth, "identitytoken": token}));
    assert!(good.status.success(), "{}", stderr(&good));
    let bad = backup(json!({"auth": auth, "identitytoken": "e30.AAAA"}));
    assert!(!bad.status.success());
    assert!(
        stderr(&bad).contains("token server answers 401"),
        "{}",
        stderr(&bad)
    );
    let said = served.stop();
    assert!(
        !said.contains("sesame") && !said.contains("horse"),
        "{said}"
    );
}
