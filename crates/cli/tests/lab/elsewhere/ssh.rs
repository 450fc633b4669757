//! Over SSH, with the system's own program.

use std::process::Command;

use lifeboat_testkit::{
    packages,
    remote::{self, SshServer},
};

use super::{Elsewhere, ended, helpers};
use crate::support::Lab;
use crate::tiny::{self, IDLE, says};

fn over_ssh(
    lab: &Lab,
    far: &Elsewhere,
    server: &SshServer,
    address: &str,
    args: &[&str],
) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = lab.command(None, args);
    command
        .env("DOCKER_HOST", address)
        .env("PATH", format!("{}:{path}", server.bin().display()));
    far.there(&command)
}

#[test]
fn an_app_comes_back_over_ssh_and_no_key_is_taken_unseen() {
    packages::ensure(remote::PACKAGES).unwrap();
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    tiny::run(
        &engine,
        "one",
        "echo kept >/data/x; sync; exec sleep 900",
        &["data:/data"],
    );
    tiny::run(&engine, "two", IDLE, &["more:/data"]);
    let data = engine.volume_path("data").unwrap();
    while !data.join("x").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    fs_err::write(data.join("large"), tiny::noise(5 << 20, 7)).unwrap();
    lab.run(Some(&engine), &["backup", "--all"], 0);
    engine.destroy().unwrap();

    let far = Elsewhere::start(&lab, "b");
    let server = SshServer::start(&far.engine, &lab.path("ssh")).unwrap();
    let address = server.address();
    let try_it = |words: &[&str]| {
        let output = ended(
            &mut over_ssh(&lab, &far, &server, &address, &["restore", "one"]),
            1,
        );
        says(&output, words)
    };
    server.know("").unwrap();
    try_it(&["host key", "not known here", "ssh -p 2222 root@"]);
    server.know("other-host").unwrap();
    try_it(&["host key", "is not the one"]);
    server.know("host").unwrap();
    server.client("stranger").unwrap();
    try_it(&["none of our keys", "no password is asked for"]);
    server.client("user").unwrap();
    let nowhere = format!("{address}/nowhere.sock");
    let output = ended(
        &mut over_ssh(&lab, &far, &server, &nowhere, &["restore", "one"]),
        1,
    );
    says(&output, &["no engine runs on"]);
    assert_eq!(tiny::names(&far.engine), Vec::<String>::new());

    ended(
        &mut over_ssh(&lab, &far, &server, &address, &["restore", "one"]),
        0,
    );
    let there = far.engine.volume_path("data").unwrap();
    assert_eq!(fs_err::read_to_string(there.join("x")).unwrap(), "kept\n");
    assert_eq!(
        fs_err::read(there.join("large")).unwrap(),
        tiny::noise(5 << 20, 7)
    );
    // One file of it, into the container that runs.
    fs_err::write(there.join("x"), "spoilt\n").unwrap();
    let one = ["restore", "one", "--into", "one:/data/x"];
    ended(&mut over_ssh(&lab, &far, &server, &address, &one), 0);
    assert_eq!(fs_err::read_to_string(there.join("x")).unwrap(), "kept\n");
    // With the socket's path in the address.
    let exact = format!("{address}{}", far.engine.socket().display());
    ended(
        &mut over_ssh(&lab, &far, &server, &exact, &["restore", "two"]),
        0,
    );
    for name in ["one", "two"] {
        assert!(tiny::runs(&far.engine, name));
    }
    assert_eq!(helpers(&far.engine), Vec::<String>::new());
    let output = ended(
        &mut over_ssh(&lab, &far, &server, &address, &["backup", "one"]),
        1,
    );
    says(&output, &["run lifeboat on that host"]);
}
