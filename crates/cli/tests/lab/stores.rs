//! The whole way on each kind of server: made, filled, checked, restored, compared; and Debian's restic
//! on the same vault, both ways.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lifeboat_testkit::{
    engine::PrivateEngine,
    server::{RestOptions, RestServer, S3Server, SftpServer},
};
use serde_json::Value;

use crate::{
    support::Lab,
    tiny::{self, IDLE, noise, stderr, stdout},
};

/// A vault on a server, with what is needed to reach it.
pub struct Remote<'a> {
    pub lab: &'a Lab,
    pub place: String,
    pub environment: Vec<(&'static str, String)>,
    /// What restic calls it, where that is another name (user and password stand in the URL).
    pub for_restic: Option<String>,
    pub ca: Option<PathBuf>,
    /// What restic needs to be told beside that.
    pub restic_options: Vec<String>,
    /// The words with which a restic is called that reaches it; Debian's by its name where there are none.
    pub restic: Vec<String>,
}

impl<'a> Remote<'a> {
    pub fn s3(lab: &'a Lab, server: &S3Server) -> Self {
        Self {
            lab,
            place: server.place("hosts/one"),
            environment: S3Server::environment()
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec(),
            for_restic: None,
            ca: None,
            restic_options: Vec::new(),
            restic: Vec::new(),
        }
    }

    pub fn sftp(lab: &'a Lab, server: &SftpServer) -> Self {
        let path = lab.path("far/away");
        let command = format!("sftp.command={}", server.restic_command());
        Self {
            lab,
            place: server.place(&path),
            environment: vec![("LIFEBOAT_SSH", server.ssh())],
            for_restic: Some(SftpServer::restic_place(&path)),
            ca: None,
            restic_options: vec!["-o".to_owned(), command],
            restic: Vec::new(),
        }
    }

    pub fn rest(lab: &'a Lab, server: &RestServer) -> Self {
        let place = server.place("one");
        let user = format!("//{}:correct%20horse@", RestServer::USER);
        Self {
            lab,
            for_restic: Some(place.replacen("//", &user, 1)),
            place,
            environment: RestServer::environment()
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec(),
            ca: Some(server.authority()).filter(|ca| ca.exists()),
            restic_options: Vec::new(),
            restic: Vec::new(),
        }
    }

    pub fn command(&self, engine: Option<&PrivateEngine>, args: &[&str]) -> Command {
        let mut command = self.lab.command(engine, args);
        command.envs(self.environment.iter().cloned());
        command.env("LIFEBOAT_VAULT", &self.place);
        if let Some(ca) = &self.ca {
            command.env("LIFEBOAT_CACERT", ca);
        }
        command
    }

    pub fn run(&self, engine: Option<&PrivateEngine>, args: &[&str], code: i32) -> Output {
        let output = self.command(engine, args).output().unwrap();
        let (out, err) = (stdout(&output), stderr(&output));
        assert_eq!(
            output.status.code(),
            Some(code),
            "lifeboat {} at {}\n--- stdout\n{out}\n--- stderr\n{err}",
            args.join(" "),
            self.place
        );
        for (name, value) in self.secrets() {
            assert!(!(out.clone() + &err).contains(value), "{name} was shown");
        }
        output
    }

    fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let words = ["SECRET", "PASSWORD", "ACCOUNT_KEY", "TOKEN"];
        let secret = move |name: &str| words.iter().any(|word| name.contains(word));
        let all = self.environment.iter();
        all.filter(move |(name, _)| secret(name))
            .map(|(name, value)| (*name, value.as_str()))
    }

    pub fn json(&self, engine: Option<&PrivateEngine>, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        serde_json::from_slice(&self.run(engine, &args, 0).stdout).unwrap()
    }

    pub fn init(&self) -> Output {
        let sheet = self.lab.path("sheet.txt");
        let _ = fs_err::remove_file(&sheet);
        self.run(None, &["init", "--sheet", sheet.to_str().unwrap()], 0)
    }

    /// Debian's restic, or the one that reaches it; it has to be content.
    pub fn restic(&self, args: &[&str]) -> String {
        let (program, words) = match self.restic.split_first() {
            Some((program, words)) => (program.as_str(), words),
            None => ("restic", &[][..]),
        };
        let mut command = Command::new(program);
        command.args(words);
        command.envs(self.environment.iter().cloned());
        command.args(["-r", self.for_restic.as_ref().unwrap_or(&self.place)]);
        command
            .arg("--password-file")
            .arg(self.lab.key())
            .arg("--no-cache");
        if let Some(ca) = &self.ca {
            command.arg("--cacert").arg(ca);
        }
        let output = command
            .args(&self.restic_options)
            .args(args)
            .output()
            .unwrap();
        let text = stdout(&output) + &stderr(&output);
        assert!(output.status.success(), "restic {}: {text}", args.join(" "));
        text
    }
}

/// A small tree with more than one pack in it.
pub fn tree(at: &Path) {
    fs_err::create_dir_all(at.join("deep/er")).unwrap();
    fs_err::write(at.join("hello.txt"), "hello\n").unwrap();
    fs_err::write(at.join("deep/noise"), noise(40_000_000, 7)).unwrap();
    for n in 0..200 {
        fs_err::write(at.join(format!("deep/er/{n}")), noise(n * 37, n as u64 + 1)).unwrap();
    }
}

pub fn same(one: &Path, other: &Path) {
    let mut diff = Command::new("diff");
    let said = diff.arg("-r").arg(one).arg(other).output().unwrap();
    assert!(said.status.success(), "{}", stdout(&said));
}

fn secrets_are_nowhere(lab: &Lab, secret: &str) {
    let mut grep = Command::new("grep");
    let found = grep.args(["-rl", "--", secret]);
    let found = found
        .arg(lab.path("etc"))
        .arg(lab.path("state"))
        .arg(lab.path("sheet.txt"));
    let found = stdout(&found.output().unwrap());
    assert_eq!(found, "", "a secret of the store was written down");
}

/// What the other program does there in between.
#[derive(Clone, Copy, PartialEq)]
pub enum Other {
    Restic,
    /// None reaches it.
    Nobody,
}

/// Files there and back, by us and by restic, each reading what the other wrote.
fn whole_way(remote: &Remote) {
    whole_way_with(remote, Other::Restic);
}

/// The same where perhaps nobody but us gets there: then we make the second point, and restic checks the copy.
pub fn whole_way_with(remote: &Remote, other: Other) {
    let restic = |args: &[&str]| match other {
        Other::Restic => remote.restic(args),
        Other::Nobody => String::new(),
    };
    let lab = remote.lab;
    let said = stdout(&remote.init());
    assert!(said.contains("the store never replaces"), "{said}");
    for (_, secret) in remote.secrets() {
        secrets_are_nowhere(lab, secret);
    }
    let data = lab.path("data");
    tree(&data);
    fs_err::write(data.join("old"), noise(3_000_000, 95)).unwrap();
    let report = remote.json(None, &["backup", "--path", data.to_str().unwrap()]);
    let id = report["id"].as_str().unwrap();
    remote.run(None, &["check", "--read-data"], 0);
    let out = lab.path("out");
    remote.run(None, &["restore", id, "--target", out.to_str().unwrap()], 0);
    same(&data, &out.join(data.strip_prefix("/").unwrap()));

    // The other program, on the same vault.
    restic(&["check", "--read-data"]);
    if other == Other::Restic {
        let theirs = lab.path("theirs");
        restic(&["restore", id, "--target", theirs.to_str().unwrap()]);
        same(&data, &theirs.join(data.strip_prefix("/").unwrap()));
    }
    fs_err::write(data.join("new"), noise(3_000_000, 99)).unwrap();
    fs_err::remove_file(data.join("old")).unwrap();
    match other {
        Other::Restic => drop(restic(&["backup", data.to_str().unwrap()])),
        Other::Nobody => {
            remote.run(None, &["backup", "--path", data.to_str().unwrap()], 0);
        }
    }
    let points = remote.json(None, &["points"]);
    assert_eq!(points["points"].as_array().unwrap().len(), 2, "{points}");
    remote.run(None, &["check", "--read-data"], 0);
    fs_err::remove_dir_all(&out).unwrap();
    remote.run(
        None,
        &["restore", "latest", "--target", out.to_str().unwrap()],
        0,
    );
    same(&data, &out.join(data.strip_prefix("/").unwrap()));

    pruned_and_copied(remote, other, id, &data);

    // There is one already, and it stays.
    let output = remote.run(None, &["init"], 1);
    tiny::says(&output, &["already"]);
    restic(&["check"]);
    let locks = restic(&["list", "locks", "--no-lock"]);
    assert_eq!(locks.trim(), "", "locks were left");
}

/// What nobody needs goes from the server; what stays is copied into a directory and comes back from there.
fn pruned_and_copied(remote: &Remote, other: Other, gone: &str, data: &Path) {
    let lab = remote.lab;
    remote.run(None, &["forget", gone], 0);
    let pruned = remote.json(None, &["prune", "--max-unused", "0"]);
    let freed = pruned["deleted"]["bytes"].as_u64().unwrap();
    assert!(freed > 3_000_000, "{pruned:#}");
    remote.run(None, &["check", "--read-data"], 0);
    if other == Other::Restic {
        remote.restic(&["check", "--read-data"]);
    }

    let copy = lab.path("copy");
    let there = |args: &[&str]| {
        let mut command = remote.command(None, args);
        let output = command.env("LIFEBOAT_VAULT", &copy).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    };
    // The copy does not take the place of the vault.
    let settings = fs_err::read(lab.path("etc/config.toml")).unwrap();
    fs_err::remove_file(lab.path("etc/config.toml")).unwrap();
    fs_err::remove_file(lab.path("sheet.txt")).unwrap();
    there(&["init", "--sheet", lab.path("sheet.txt").to_str().unwrap()]);
    fs_err::write(lab.path("etc/config.toml"), settings).unwrap();
    let copied = remote.json(None, &["copy", "--to", copy.to_str().unwrap()]);
    assert_eq!(copied["points"][0]["outcome"], "copied", "{copied:#}");
    there(&["check", "--read-data"]);
    if other == Other::Nobody {
        let mut restic = Command::new("restic");
        restic
            .arg("-r")
            .arg(&copy)
            .arg("--password-file")
            .arg(lab.key());
        let said = restic.args(["--no-cache", "check", "--read-data"]).output();
        let said = said.unwrap();
        assert!(said.status.success(), "{}", stderr(&said));
    }
    let back = lab.path("back");
    there(&["restore", "latest", "--target", back.to_str().unwrap()]);
    same(data, &back.join(data.strip_prefix("/").unwrap()));
}

#[test]
fn stores_s3_files_there_and_back() {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    whole_way(&Remote::s3(&lab, &server));
}

#[test]
fn stores_rest_files_there_and_back() {
    let lab = Lab::new();
    let options = RestOptions {
        password: true,
        tls: true,
        ..RestOptions::default()
    };
    let server = RestServer::start(&lab.path("rest"), options).unwrap();
    whole_way(&Remote::rest(&lab, &server));
}

#[test]
fn stores_sftp_files_there_and_back() {
    let lab = Lab::new();
    let server = SftpServer::start(&lab.path("ssh")).unwrap();
    whole_way(&Remote::sftp(&lab, &server));
}

/// An app on each: protected, lost, brought back on another engine.
#[test]
fn stores_an_app_comes_back_from_each() {
    let lab = Lab::new();
    let s3 = S3Server::start(&lab.path("s3")).unwrap();
    let rest = RestServer::start(&lab.path("rest"), RestOptions::default()).unwrap();
    let engine = tiny::engine(&lab, "a");
    tiny::run(&engine, "shop", IDLE, &["shop_data:/data"]);
    let file = |engine: &PrivateEngine| engine.volume_path("shop_data").unwrap().join("big");
    fs_err::write(file(&engine), noise(20_000_000, 3)).unwrap();
    let sftp = SftpServer::start(&lab.path("ssh")).unwrap();
    let remotes = [
        Remote::s3(&lab, &s3),
        Remote::rest(&lab, &rest),
        Remote::sftp(&lab, &sftp),
    ];
    for remote in &remotes {
        remote.init();
        let report = remote.json(Some(&engine), &["backup", "shop"]);
        assert_eq!(report["protected"][0]["level"], "crash", "{report}");
        remote.run(None, &["check", "--read-data"], 0);
        remote.restic(&["check"]);
        // The same key for the next vault: one password file is enough for the test.
        fs_err::remove_file(lab.path("etc/config.toml")).unwrap();
    }
    engine.destroy().unwrap();
    for (n, remote) in remotes.iter().enumerate() {
        let engine = tiny::engine(&lab, &format!("b{n}"));
        remote.json(Some(&engine), &["restore", "shop"]);
        assert!(tiny::runs(&engine, "shop"));
        assert_eq!(fs_err::read(file(&engine)).unwrap(), noise(20_000_000, 3));
        engine.destroy().unwrap();
    }
}
