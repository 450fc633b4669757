//! Who gets in: profiles of Amazon's programs, credentials of their own for the vault that is copied to; and what is
//! larger on a server than any program writes.

use std::path::PathBuf;

use lifeboat_store::Area;
use lifeboat_testkit::server::{RestOptions, RestServer, S3Server};

use crate::{
    stores::{Remote, same, tree},
    support::Lab,
    tiny::{says, stderr, stdout},
};

#[test]
fn stores_s3_by_a_profile() {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    let mut remote = Remote::s3(&lab, &server);
    let home = lab.path("home");
    fs_err::create_dir_all(home.join(".aws")).unwrap();
    let credentials = format!(
        "[default]\naws_access_key_id = nobody\naws_secret_access_key = hunter2\n\n[vaults]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        S3Server::KEY,
        S3Server::SECRET
    );
    fs_err::write(home.join(".aws/credentials"), credentials).unwrap();
    let config = "[profile vaults]\nregion = us-east-1\n[profile work]\nsso_session = x\n[profile asks]\ncredential_process = x\n";
    fs_err::write(home.join(".aws/config"), config).unwrap();
    let set = |remote: &mut Remote, pairs: &[(&'static str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        remote.environment = pairs.collect();
        remote
            .environment
            .push(("HOME", home.display().to_string()));
    };
    set(&mut remote, &[("AWS_PROFILE", "vaults")]);
    remote.init();
    let data = lab.path("data");
    tree(&data);
    remote.run(None, &["backup", "--path", data.to_str().unwrap()], 0);
    // restic reads the same files.
    remote.restic(&["check"]);

    // The default is somebody else here, and the server's word says so.
    set(&mut remote, &[]);
    let said = says(&remote.run(None, &["points"], 1), &["does not take these"]);
    assert!(!said.contains("hunter2"), "{said}");
    for (profile, words) in [
        ("nobody", ["names the profile `nobody`", "mend the name"]),
        ("work", ["single sign-on", "export-credentials"]),
        ("asks", ["credential_process", "export-credentials"]),
    ] {
        set(&mut remote, &[("AWS_PROFILE", profile)]);
        says(&remote.run(None, &["points"], 1), &words);
    }
    // The environment's own keys come before any profile.
    let keys = S3Server::environment();
    set(&mut remote, &[keys[0], keys[1], ("AWS_PROFILE", "work")]);
    remote.run(None, &["points"], 0);
    fs_err::write(home.join(".aws/credentials"), "hunter2\n").unwrap();
    remote.run(None, &["points"], 0);
    set(&mut remote, &[]);
    let said = says(
        &remote.run(None, &["points"], 1),
        &["line 1 of", "credentials"],
    );
    assert!(!said.contains("hunter2"), "{said}");
}

/// Two users of one server, neither of whom reaches the other's bucket.
#[test]
fn stores_copied_between_vaults_with_credentials_of_their_own() {
    let lab = Lab::new();
    let users = [
        ("one", "secret of one", "first"),
        ("two", "secret of two", "second"),
    ];
    let server = S3Server::start_with_users(&lab.path("s3"), &users).unwrap();
    let of = |n: usize| {
        let (key, secret, bucket) = users[n];
        Remote {
            place: server.place("v").replace(S3Server::BUCKET, bucket),
            environment: vec![
                ("AWS_ACCESS_KEY_ID", key.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ],
            ..Remote::s3(&lab, &server)
        }
    };
    let (mut one, two) = (of(0), of(1));
    two.init();
    fs_err::remove_file(lab.path("etc/config.toml")).unwrap();
    one.init();
    let data = lab.path("data");
    tree(&data);
    one.run(None, &["backup", "--path", data.to_str().unwrap()], 0);
    says(
        &one.run(None, &["copy", "--to", &two.place], 1),
        &["permission denied at", "second"],
    );
    let to = [
        ("LIFEBOAT_TO_AWS_ACCESS_KEY_ID", users[1].0.to_owned()),
        ("LIFEBOAT_TO_AWS_SECRET_ACCESS_KEY", users[1].1.to_owned()),
    ];
    // Half of a pair is not completed by the other side's.
    one.environment.push(to[0].clone());
    says(
        &one.run(None, &["copy", "--to", &two.place], 1),
        &["AWS_SECRET_ACCESS_KEY is not"],
    );
    one.environment.push(to[1].clone());
    let copied = one.json(None, &["copy", "--to", &two.place]);
    assert_eq!(copied["points"][0]["outcome"], "copied", "{copied:#}");
    two.run(None, &["check", "--read-data"], 0);
    two.restic(&["check", "--read-data"]);
    // What an agent does there, it does as the copy did.
    let there = one.json(None, &["--in-vault", &two.place, "check"]);
    assert_eq!(there["snapshots"], 1, "{there:#}");
    let out = lab.path("out");
    let target = out.to_str().unwrap();
    two.run(None, &["restore", "latest", "--target", target], 0);
    same(&data, &out.join(data.strip_prefix("/").unwrap()));
    // And into a vault of another kind, which is not asked with these.
    let rest = RestServer::start(
        &lab.path("rest"),
        RestOptions {
            password: true,
            ..RestOptions::default()
        },
    );
    let rest = rest.unwrap();
    let third = Remote::rest(&lab, &rest);
    fs_err::remove_file(lab.path("etc/config.toml")).unwrap();
    third.init();
    let [user, password] = RestServer::environment();
    one.environment
        .push(("LIFEBOAT_TO_RESTIC_REST_USERNAME", user.1.to_owned()));
    one.environment
        .push(("LIFEBOAT_TO_RESTIC_REST_PASSWORD", password.1.to_owned()));
    one.run(None, &["copy", "--to", &third.place], 0);
    third.run(None, &["check"], 0);
}

/// A server that is somebody else's by now: objects of gigabytes where some hundred bytes belong.
#[test]
fn stores_objects_larger_than_any_program_writes() {
    let lab = Lab::new();
    let server = RestServer::start(&lab.path("rest"), RestOptions::default()).unwrap();
    let remote = Remote::rest(&lab, &server);
    remote.init();
    let data = lab.path("data");
    fs_err::create_dir_all(&data).unwrap();
    fs_err::write(data.join("file"), "file\n").unwrap();
    let backup = ["backup", "--path", data.to_str().unwrap()];
    remote.run(None, &backup, 0);
    let huge = |area: Area| -> PathBuf {
        let path = server
            .data()
            .join("one")
            .join(area.as_str())
            .join("ab".repeat(32));
        let file = fs_err::File::create(&path).unwrap();
        file.set_len(5 << 30).unwrap();
        path
    };
    for (area, line, code) in [
        (Area::Snapshots, &["points"][..], 3),
        // Other programs cannot begin before it is gone; its size stands in the list.
        (Area::Locks, &["check"], 0),
        (Area::Locks, &backup, 1),
        (Area::Index, &backup, 1),
    ] {
        let path = huge(area);
        let output = remote.run(None, line, code);
        let said = stdout(&output) + &stderr(&output);
        let large = ["more than any program writes", "too large to be one"];
        assert!(large.iter().any(|words| said.contains(words)), "{said}");
        assert!(said.contains(&"ab".repeat(4)), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        fs_err::remove_file(path).unwrap();
    }
    let path = huge(Area::Keys);
    let output = remote.command(None, &["points"]).output().unwrap();
    let said = stderr(&output);
    assert!(
        output.status.success() || said.contains("too large"),
        "{said}"
    );
    fs_err::remove_file(path).unwrap();

    // The config is looked at first.
    let config = server.data().join("one/config");
    let aside = lab.path("config");
    fs_err::rename(&config, &aside).unwrap();
    let file = fs_err::File::create(&config).unwrap();
    file.set_len(5 << 30).unwrap();
    let output = remote.run(None, &["points"], 1);
    says(
        &output,
        &["config at rest:", "more than any program writes"],
    );
    fs_err::remove_file(&config).unwrap();
    fs_err::rename(&aside, &config).unwrap();
    remote.run(None, &["check", "--read-data"], 0);
}
