//! Points that nobody can delete before their time: Object Lock, as versitygw has it.

use std::path::Path;

use lifeboat_testkit::server::{RestOptions, RestServer, S3Server};
use serde_json::Value;

use crate::{
    stores::{Remote, same},
    support::Lab,
    tiny::{noise, says, stderr, stdout},
};

/// A vault whose points are locked for thirty days.
fn init(remote: &Remote) {
    let sheet = remote.lab.path("sheet.txt");
    let said = remote.run(
        None,
        &[
            "init",
            "--object-lock",
            "compliance",
            "--lock-for",
            "30d",
            "--sheet",
            sheet.to_str().unwrap(),
        ],
        0,
    );
    let said = stdout(&said);
    assert!(said.contains("locked for 30 days"), "{said}");
}

fn backup(remote: &Remote) -> String {
    let data = remote.lab.path("data");
    let report = remote.json(None, &["backup", "--path", data.to_str().unwrap()]);
    report["id"].as_str().unwrap().to_owned()
}

fn points(remote: &Remote) -> Vec<Value> {
    let points = remote.json(None, &["points"]);
    points["points"].as_array().unwrap().clone()
}

/// Two files: `one` comes and goes, `both` stays.
fn write(lab: &Lab, one: u64) {
    let data = lab.path("data");
    fs_err::create_dir_all(&data).unwrap();
    fs_err::write(data.join("both"), noise(3_000_000, 1)).unwrap();
    fs_err::write(data.join("one"), noise(3_000_000, one)).unwrap();
}

fn whole(remote: &Remote) {
    remote.run(None, &["check", "--read-data"], 0);
    remote.restic(&["check", "--read-data"]);
}

fn comes_back(remote: &Remote, id: &str, data: &Path) {
    let out = remote.lab.path("out");
    let _ = fs_err::remove_dir_all(&out);
    remote.run(None, &["restore", id, "--target", out.to_str().unwrap()], 0);
    same(data, &out.join(data.strip_prefix("/").unwrap()));
}

/// Nothing of ours deletes a point, nothing of others can; and what they hide comes back.
#[test]
fn locked_points_stay_until_their_time_is_over() {
    let lab = Lab::new();
    let server = S3Server::start_locking(&lab.path("s3")).unwrap();
    let remote = Remote::s3(&lab, &server);
    init(&remote);
    write(&lab, 2);
    let first = backup(&remote);
    fs_err::remove_file(lab.path("data/one")).unwrap();
    let second = backup(&remote);
    whole(&remote);
    for point in points(&remote) {
        let until = point["locked_until"].as_i64().unwrap();
        assert!(until > 1_700_000_000 + 29 * 86_400, "{point}");
    }
    let said = stdout(&remote.run(None, &["points"], 0));
    assert!(said.contains("locked until"), "{said}");
    let said = stdout(&remote.run(None, &["stats"], 0));
    assert!(
        said.contains("locked for 30 days (compliance); 2 points now"),
        "{said}"
    );

    // Ours refuse before they begin.
    says(
        &remote.run(None, &["forget", &first[..8]], 1),
        &["the store keeps it until", "nothing was forgotten"],
    );
    let fates = remote.json(None, &["forget", "--keep-last", "1", "--prune"]);
    assert_eq!(fates["forgotten"].as_array().unwrap().len(), 0, "{fates}");
    assert_eq!(points(&remote).len(), 2);

    // Another program with the same keys and the same password deletes what it can.
    remote.restic(&["forget", "--prune", &first[..8], &second[..8]]);
    assert_eq!(points(&remote).len(), 0);
    let said = remote.run(None, &["repair", "deleted"], 0);
    assert!(
        stdout(&said).contains("2 points among them"),
        "{}",
        stdout(&said)
    );
    remote.run(None, &["repair", "index"], 0);
    whole(&remote);
    comes_back(&remote, &second, &lab.path("data"));
    assert_eq!(points(&remote).len(), 2);

    // Once their time is over they go, and nothing stays of them.
    server.let_locks_end("/snapshots/").unwrap();
    let done = remote.json(None, &["forget", &first, "--prune"]);
    assert_eq!(done["forgotten"].as_array().unwrap().len(), 1, "{done}");
    let waiting = &done["prune"]["waiting"][0];
    assert_eq!(waiting["what"], "retention", "{done}");
    let bytes = |waiting: &Value| waiting["bytes"].as_u64().unwrap();
    let all = done["prune"]["waiting"].as_array().unwrap();
    assert!(all.iter().map(bytes).sum::<u64>() > 2_900_000, "{done}");
    assert_eq!(done["prune"]["deleted"]["packs"], 0, "{done}");
    // The locks of restic's runs, which it could only hide.
    assert!(done["prune"]["swept"].as_u64().unwrap() > 0, "{done}");
    remote.run(None, &["check", "--read-data"], 1);
    server.let_locks_end("").unwrap();
    let done = remote.json(None, &["prune"]);
    assert!(
        done["deleted"]["bytes"].as_u64().unwrap() > 2_900_000,
        "{done}"
    );
    remote.restic(&["check", "--read-data"]);
    comes_back(&remote, &second, &lab.path("data"));
    // But for index files that the prune itself wrote and replaced.
    remote.run(None, &["prune"], 0);
    let listed = server.ask("GET", "?versions=", &[]).unwrap();
    assert!(!listed.contains("/locks/"), "{listed}");
    let hidden = |one: &&str| one.contains("<IsLatest>false");
    let mut hidden = listed.split("<Version>").skip(1).filter(hidden);
    assert!(hidden.all(|one| one.contains("/index/")), "{listed}");
}

/// Whoever has the keys can write over everything, too: rubbish on top, the right bytes below.
#[test]
fn locked_points_that_were_written_over_come_back() {
    let lab = Lab::new();
    let server = S3Server::start_locking(&lab.path("s3")).unwrap();
    let remote = Remote::s3(&lab, &server);
    init(&remote);
    write(&lab, 2);
    let id = backup(&remote);
    let listed = server.ask("GET", "?versions=", &[]).unwrap();
    let keys = listed.split("<Key>").skip(1);
    let keys: Vec<&str> = keys.map(|key| key.split('<').next().unwrap()).collect();
    assert!(keys.len() >= 5, "{keys:?}");
    for key in keys.iter().filter(|key| !key.contains("/locks/")) {
        server.write_over(&format!("/{key}"), b"rubbish").unwrap();
    }
    let output = remote.command(None, &["check"]).output().unwrap();
    assert!(!output.status.success(), "{}", stdout(&output));
    let said = stdout(&remote.run(None, &["repair", "deleted"], 0));
    assert!(said.contains("1 point among them"), "{said}");
    whole(&remote);
    comes_back(&remote, &id, &lab.path("data"));
    let said = stdout(&remote.run(None, &["repair", "deleted"], 0));
    assert!(said.contains("0 objects came back"), "{said}");
}

/// What a new point shares with old ones is locked for as long as the new one, and `check` tells where it is not.
#[test]
fn locked_for_as_long_as_the_newest_point_that_needs_it() {
    let lab = Lab::new();
    let server = S3Server::start_locking(&lab.path("s3")).unwrap();
    let remote = Remote::s3(&lab, &server);
    init(&remote);
    write(&lab, 2);
    let first = backup(&remote);
    remote.run(None, &["check"], 0);
    // As if the first backup had been made long ago, by a host whose memory is gone with it.
    server.let_locks_end("").unwrap();
    fs_err::remove_dir_all(lab.path("state/locks")).unwrap();
    says(
        &remote.run(None, &["check"], 1),
        &["is whole, but 1 point is not locked as it promises"],
    );
    let second = backup(&remote);
    let said = stdout(&remote.run(None, &["check"], 1));
    assert!(
        said.contains(&format!("point {} is not locked", &first[..8])),
        "{said}"
    );
    assert!(
        !said.contains(&format!("point {} is not locked", &second[..8])),
        "{said}"
    );
    // Known to be locked: nothing is asked for again.
    let memory = fs_err::read_dir(lab.path("state/locks"))
        .unwrap()
        .next()
        .unwrap();
    let memory = memory.unwrap().path();
    let before = fs_err::read_to_string(&memory).unwrap();
    assert!(
        before
            .lines()
            .filter(|line| line.starts_with("data/"))
            .count()
            >= 2,
        "{before}"
    );

    // What another program wrote is locked by a pin.
    remote.run(None, &["pin", &first], 0);
    let data = lab.path("data");
    fs_err::write(data.join("theirs"), noise(1_000_000, 9)).unwrap();
    remote.restic(&["backup", data.to_str().unwrap()]);
    let said = stdout(&remote.run(None, &["check"], 1));
    assert!(said.contains("another program wrote"), "{said}");
    let theirs = points(&remote)
        .into_iter()
        .find(|p| p["locked_until"].is_null());
    let theirs = theirs.unwrap()["id"].as_str().unwrap().to_owned();
    let said = remote.run(None, &["pin", &theirs], 0);
    assert!(
        stdout(&said).contains("nobody delete it before"),
        "{}",
        stdout(&said)
    );
    whole(&remote);
}

#[test]
fn locked_is_refused_where_it_cannot_be() {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    let remote = Remote::s3(&lab, &server);
    let lock = ["init", "--object-lock", "governance", "--lock-for", "1d"];
    says(
        &remote.run(None, &lock, 1),
        &["has no Object Lock", "create-bucket"],
    );
    for (args, words) in [
        (
            ["init", "--object-lock", "forever", "--lock-for", "1d"],
            "compliance",
        ),
        (
            ["init", "--object-lock", "governance", "--lock-for", "5s"],
            "a minute",
        ),
        (
            ["init", "--object-lock", "governance", "--lock-for", "9999d"],
            "ten years",
        ),
    ] {
        let output = remote.run(None, &args, 2);
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    remote.run(None, &["init", "--lock-for", "1d"], 2);
    let rest = RestServer::start(&lab.path("rest"), RestOptions::default()).unwrap();
    says(
        &Remote::rest(&lab, &rest).run(None, &lock, 1),
        &["only S3 has Object Lock"],
    );
    says(
        &Remote::rest(&lab, &rest).run(None, &["repair", "deleted"], 1),
        &["is gone"],
    );
}

/// Where nothing can be deleted, that is said before anything is begun.
#[test]
fn append_only_is_said_before_forgetting_and_freeing() {
    let lab = Lab::new();
    let options = RestOptions {
        append_only: true,
        ..RestOptions::default()
    };
    let mut server = RestServer::start(&lab.path("rest"), options).unwrap();
    let remote = Remote::rest(&lab, &server);
    remote.init();
    write(&lab, 2);
    let first = backup(&remote);
    write(&lab, 3);
    backup(&remote);
    let packs = || {
        let mut find = std::process::Command::new("find");
        let found = find
            .arg(server.data())
            .args(["-path", "*/one/*", "-type", "f"]);
        stdout(&found.output().unwrap()).lines().count()
    };
    let before = packs();
    for args in [
        &["forget", &first[..]][..],
        &["forget", "--keep-last", "1", "--prune"],
        &["prune"],
        &["prune", "--max-unused", "0", "--instant"],
    ] {
        says(
            &remote.run(None, args, 1),
            &["append-only", "nothing was changed"],
        );
    }
    assert_eq!(packs(), before);
    remote.run(None, &["prune", "--dry-run"], 0);
    whole(&remote);
    server.server.kill();
}

/// The store's clock judges, and a person is told that this one is wrong.
#[test]
fn locked_and_not_by_a_clock_that_is_wrong() {
    let lab = Lab::new();
    let s3 = S3Server::start_locking(&lab.path("s3")).unwrap();
    let rest = RestServer::start(&lab.path("rest"), RestOptions::default()).unwrap();
    let remotes = [Remote::s3(&lab, &s3), Remote::rest(&lab, &rest)];
    write(&lab, 2);
    for (remote, locks) in remotes.iter().zip([true, false]) {
        match locks {
            true => init(remote),
            false => drop(remote.init()),
        }
        for (seconds, word) in [("3600", "ahead of"), ("-7200", "behind")] {
            let ahead = |args: &[&str]| {
                let mut command = remote.command(None, args);
                let output = command.env("LIFEBOAT_TEST_CLOCK_AHEAD", seconds).output();
                let output = output.unwrap();
                assert_eq!(
                    output.status.code(),
                    Some(0),
                    "{args:?} {}",
                    stderr(&output)
                );
                stderr(&output)
            };
            let data = lab.path("data");
            ahead(&["backup", "--path", data.to_str().unwrap()]);
            for args in [&["prune"][..], &["forget", "--keep-last", "9"]] {
                let said = ahead(args);
                assert!(said.contains("the clock of this machine is"), "{said}");
                assert!(said.contains(word), "{said}");
            }
        }
        let said = stderr(&remote.run(None, &["prune"], 0));
        assert!(!said.contains("the clock"), "{said}");
        if locks {
            // Locked from when the store says that it is.
            remote.run(None, &["check"], 0);
        }
        fs_err::remove_file(lab.path("etc/config.toml")).unwrap();
    }
}
