//! Stores that fail: each with the sentence that a person gets, and nothing lost.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use lifeboat_testkit::server::{RestOptions, RestServer, S3Server};

use crate::{
    stores::{Remote, same, tree},
    support::Lab,
    tiny::{Small, noise, says, stderr, stdout},
};

fn backup(remote: &Remote, more: &[&str]) -> Command {
    let data = remote.lab.path("data");
    let mut args = vec!["backup", "--path", data.to_str().unwrap()];
    args.extend(more);
    remote.command(None, &args)
}

/// Starts a backup that takes some seconds, and waits until the server has some of it.
fn half_way(remote: &Remote, server_data: &std::path::Path, more: &[&str]) -> Child {
    let mut command = backup(remote, &["--limit-upload", "10240"]);
    let mut child = command
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let packs = || {
        let mut find = Command::new("find");
        let found = find
            .arg(server_data)
            .args(["-path", "*/data/*", "-size", "+1M"]);
        !found.output().unwrap().stdout.is_empty()
    };
    for _ in 0..1200 {
        if packs() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("nothing reached the server");
}

fn healthy(remote: &Remote) {
    remote.run(None, &["check", "--read-data"], 0);
    remote.restic(&["check", "--read-data"]);
    let (data, out) = (remote.lab.path("data"), remote.lab.path("out"));
    let _ = fs_err::remove_dir_all(&out);
    remote.run(
        None,
        &["restore", "latest", "--target", out.to_str().unwrap()],
        0,
    );
    same(&data, &out.join(data.strip_prefix("/").unwrap()));
}

#[test]
fn stores_s3_server_that_dies_half_way() {
    let lab = Lab::new();
    let mut server = S3Server::start(&lab.path("s3")).unwrap();
    let bucket = server.bucket();
    let remote = Remote::s3(&lab, &server);
    remote.init();
    tree(&lab.path("data"));

    // It does not come back within the time: one sentence, and what was there is there.
    let child = half_way(&remote, &bucket, &["--retry-store", "2"]);
    server.server.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    says(
        &output,
        &[
            "does not answer",
            "s3:http://127.0.0.1",
            "run the command again",
        ],
    );
    server.server.start_again().unwrap();

    // It comes back: the backup goes on by itself.
    let child = half_way(&remote, &bucket, &[]);
    server.server.kill();
    std::thread::sleep(Duration::from_secs(3));
    server.server.start_again().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("trying again"),
        "{}",
        stderr(&output)
    );
    healthy(&remote);
}

#[test]
fn stores_rest_server_that_dies_half_way() {
    let lab = Lab::new();
    let mut server = RestServer::start(&lab.path("rest"), RestOptions::default()).unwrap();
    let data = server.data();
    let remote = Remote::rest(&lab, &server);
    remote.init();
    tree(&lab.path("data"));
    let child = half_way(&remote, &data, &[]);
    server.server.kill();
    std::thread::sleep(Duration::from_secs(3));
    server.server.start_again().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    healthy(&remote);
}

#[test]
fn stores_keys_buckets_and_servers_that_are_not_there() {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    let mut remote = Remote::s3(&lab, &server);
    says(
        &remote.run(None, &["points"], 10),
        &["there is no vault at s3:http://"],
    );
    remote.init();

    let right = remote.environment.clone();
    remote.environment[1].1 = "hunter2".to_owned();
    let said = says(
        &remote.run(None, &["points"], 1),
        &["AWS_SECRET_ACCESS_KEY"],
    );
    assert!(!said.contains("hunter2"));
    remote.environment.clear();
    says(
        &remote.run(None, &["points"], 1),
        &["no keys", "AWS_ACCESS_KEY_ID"],
    );
    remote.environment = right;

    let place = std::mem::replace(
        &mut remote.place,
        server.place("").replace("vaults", "gone"),
    );
    says(&remote.run(None, &["points"], 1), &["no such bucket"]);
    says(&remote.run(None, &["init"], 1), &["no such bucket"]);
    remote.place = place.replace("http://127.0.0.1", "http://192.0.2.1");
    says(
        &remote.run(None, &["points"], 1),
        &["192.0.2.1", "without TLS", "--insecure-http"],
    );
    remote.place = "rest:http://u:hunter2@127.0.0.1:9/".to_owned();
    let said = says(
        &remote.run(None, &["points"], 1),
        &["does not answer", "127.0.0.1:9"],
    );
    assert!(!said.contains("hunter2"), "{said}");
    remote.place = "b2:bucket".to_owned();
    says(&remote.run(None, &["points"], 1), &["`b2:`", "s3:"]);
}

#[test]
fn stores_that_run_full() {
    let lab = Lab::new();
    // S3 says so in its own words, rest-server by its quota.
    let small = Small::mount(&lab.path("disk"), "24m");
    let s3 = S3Server::start_over(&lab.path("s3"), &lab.path("disk/buckets")).unwrap();
    let quota = RestOptions {
        max_size: Some(24 << 20),
        ..RestOptions::default()
    };
    let mut rest = RestServer::start(&lab.path("rest"), quota).unwrap();
    tree(&lab.path("data"));
    let remotes = [Remote::s3(&lab, &s3), Remote::rest(&lab, &rest)];
    for remote in &remotes {
        remote.init();
        let output = backup(remote, &["--retry-store", "2"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        says(
            &output,
            &[if remote.ca.is_none() && remote.place.starts_with("rest") {
                "no space"
            } else {
                "s3:"
            }],
        );
        remote.run(None, &["check", "--read-data"], 0);
        fs_err::remove_file(lab.path("etc/config.toml")).unwrap();
    }
    small.grow("300m");
    healthy_again(&remotes[0]);
    rest.server.kill();
}

fn healthy_again(remote: &Remote) {
    let output = backup(remote, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    healthy(remote);
}

#[test]
fn stores_append_only_takes_backups_and_gives_them_back() {
    let lab = Lab::new();
    let options = RestOptions {
        append_only: true,
        ..RestOptions::default()
    };
    let server = RestServer::start(&lab.path("rest"), options).unwrap();
    let remote = Remote::rest(&lab, &server);
    let said = stdout(&remote.init());
    assert!(said.contains("append-only"), "{said}");
    tree(&lab.path("data"));
    for n in 0..2 {
        fs_err::write(lab.path("data/more"), noise(100_000, n)).unwrap();
        healthy_again(&remote);
    }
}

/// Two at once: one vault, and one sentence for the other.
#[test]
fn stores_two_inits_at_once_and_one_that_was_interrupted() {
    let lab = Lab::new();
    let s3 = S3Server::start(&lab.path("s3")).unwrap();
    let rest = RestServer::start(&lab.path("rest"), RestOptions::default()).unwrap();
    for remote in [Remote::s3(&lab, &s3), Remote::rest(&lab, &rest)] {
        let racers: Vec<Child> = (0..3)
            .map(|n| {
                let password = lab.path(&format!("password-{n}"));
                fs_err::write(&password, format!("password {n}")).unwrap();
                let args = ["init", "--password-file", password.to_str().unwrap()];
                let mut command = remote.command(None, &args);
                command.env("LIFEBOAT_CONFIG_DIR", lab.path(&format!("etc-{n}")));
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let ends: Vec<_> = racers
            .into_iter()
            .map(|racer| racer.wait_with_output().unwrap())
            .collect();
        let won: Vec<usize> = (0..3).filter(|n| ends[*n].status.success()).collect();
        assert_eq!(won.len(), 1, "{ends:?}");
        for n in (0..3).filter(|n| *n != won[0]) {
            says(&ends[n], &["already"]);
        }
        let password = lab.path(&format!("password-{}", won[0]));
        let args = ["points", "--password-file", password.to_str().unwrap()];
        remote.run(None, &args, 0);
    }

    // A key and no config: what an `init` leaves that was killed between the two.
    let remote = Remote {
        place: rest.place("two"),
        ..Remote::rest(&lab, &rest)
    };
    remote.init();
    fs_err::remove_file(rest.data().join("two/config")).unwrap();
    says(&remote.run(None, &["points"], 10), &["no vault"]);
    remote.init();
    remote.run(None, &["check"], 0);
    let keys = fs_err::read_dir(rest.data().join("two/keys")).unwrap();
    assert_eq!(keys.count(), 1);
}
