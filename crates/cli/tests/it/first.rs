//! A vault's first moments, and one that is too new: two `init` at once, an `init` that was killed, a format that nobody
//! knows yet.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use lifeboat_store::{LocalStore, ObjectName, Store};
use lifeboat_vault::{
    Environment,
    config::Config,
    key::{self, Cost},
    seal::{KeyMaterial, SealKey},
};

use crate::host::{Host, is_one_sentence, stderr};

/// The program as a process that can be left alone, or killed.
fn process(host: &Host, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.args(args).env_clear().current_dir(host.path(""));
    command.env("LIFEBOAT_CONFIG_DIR", host.path("etc"));
    command.env("LIFEBOAT_STATE_DIR", host.path("var"));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn of_two_inits_at_once_one_makes_the_vault_and_the_other_says_so() {
    let host = Host::new();
    let racers: Vec<_> = (0..4)
        .map(|n| {
            fs_err::write(host.path(&format!("password-{n}")), format!("password {n}")).unwrap();
            let file = format!("password-{n}");
            let mut command = process(&host, &["init", "--password-file", &file]);
            command.env("LIFEBOAT_CONFIG_DIR", host.path(&format!("etc-{n}")));
            command.spawn().unwrap()
        })
        .collect();
    let ends: Vec<_> = racers
        .into_iter()
        .map(|racer| racer.wait_with_output().unwrap())
        .collect();
    let won: Vec<usize> = (0..4).filter(|n| ends[*n].status.success()).collect();
    assert_eq!(won.len(), 1, "{ends:?}");
    for end in ends.iter().filter(|end| !end.status.success()) {
        let text = String::from_utf8_lossy(&end.stderr);
        assert_eq!(end.status.code(), Some(1), "{text}");
        assert!(text.contains("already"), "{text}");
    }
    host.run(&format!("points --password-file password-{}", won[0]))
        .success();
}

/// Killed after any time: the next one ends it, with the key that the first one made, or says that there is one.
#[test]
fn an_init_that_was_killed_is_run_again() {
    let mut both = [0, 0];
    for tenth in 0..12 {
        let host = Host::new();
        let mut child = process(&host, &["init", "-q"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(15 * tenth));
        let _ = child.kill();
        let _ = child.wait();
        let key = fs_err::read(host.path("etc/key")).ok();
        let again = host.run("init -q");
        match again.get_output().status.code() {
            Some(0) => both[0] += 1,
            code => {
                both[1] += 1;
                assert_eq!(code, Some(1));
                let text = stderr(&again);
                assert!(text.contains("already"), "{text}");
            }
        }
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            assert_eq!(fs_err::read(host.path("etc/key")).unwrap(), key);
        }
        host.run("check").success();
        host.run("points").success();
    }
    assert!(both[0] > 0, "{both:?}: none was killed in time");
}

/// What is there is not touched, by nobody.
#[test]
fn a_format_that_is_too_new_is_refused_by_all() {
    let host = Host::new();
    let env = Environment::system("a program of the future");
    let store = LocalStore::new(&host.path("var/vault"));
    store.create().unwrap();
    let master = KeyMaterial::random(&*env.random).unwrap();
    let seal = SealKey::new(&master).unwrap();
    let config = Config {
        version: 3,
        ..Config::generate(&*env.random).unwrap()
    };
    let sealed = seal.seal(&*env.random, &config.to_json().unwrap());
    store.put(&ObjectName::config(), &sealed.unwrap()).unwrap();
    let cost = Cost {
        log_n: 1,
        r: 1,
        p: 1,
    };
    key::add(&store, b"known", &master, &env, cost).unwrap();
    fs_err::write(host.path("password"), "known").unwrap();
    host.with_data();
    for line in [
        "points",
        "backup --path data",
        "restore latest --target out",
        "check",
        "prune",
        "repair index",
    ] {
        let assert = host
            .run(&format!("{line} --password-file password"))
            .code(1);
        let text = stderr(&assert);
        assert!(is_one_sentence(&text), "{line}: {text}");
        for word in ["format version 3", "use a newer lifeboat"] {
            assert!(text.contains(word), "{line}: {text}");
        }
    }
    let left = host.run("init --password-file password").code(1);
    assert!(stderr(&left).contains("already"), "{}", stderr(&left));
    assert!(!host.path("out").exists());
}
