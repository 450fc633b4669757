//! `init`, keys and what a vault answers when the key is not right.

use std::os::unix::fs::PermissionsExt;

use crate::host::{Host, contains, is_one_sentence, stderr, stdout};

fn mode(path: &std::path::Path) -> u32 {
    fs_err::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_alone_makes_vault_and_key_and_later_commands_find_them() {
    let host = Host::new();
    let assert = host.run("init").success();
    // No terminal and no --sheet: the sheet is nowhere, and what to do is said.
    let (out, err) = (stdout(&assert), stderr(&assert));
    assert!(
        err.contains("etc/key") && err.contains("away from this machine"),
        "{err}"
    );
    let key = fs_err::read_to_string(host.path("etc/key")).unwrap();
    assert!(!out.contains(key.trim()) && !err.contains(key.trim()));
    assert_eq!(mode(&host.path("etc/key")), 0o600);
    assert!(host.path("var/vault/config").is_file());
    assert!(!contains(&host.path("var"), key.trim().as_bytes()));
    let assert = host.run("points").success();
    assert_eq!(stdout(&assert), "");
    assert!(stderr(&assert).contains("no recovery point yet"));
    assert_eq!(
        stdout(&host.run("points -o json -q").success()),
        "{\"points\":[],\"unreadable\":[]}\n"
    );
    host.run("check --read-data").success();
}

#[test]
fn a_second_init_touches_nothing() {
    let host = Host::new();
    host.run("init -q").success();
    let key = fs_err::read(host.path("etc/key")).unwrap();
    let text = stderr(&host.run("init").code(1));
    assert!(is_one_sentence(&text), "{text}");
    assert_eq!(fs_err::read(host.path("etc/key")).unwrap(), key);
    host.run("points").success();
}

#[test]
fn the_sheet_goes_to_its_file_and_never_into_json() {
    let host = Host::new();
    let assert = host.run("init -o json --sheet sheet.txt").success();
    let key = fs_err::read_to_string(host.path("etc/key")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(report["key_file"], host.path("etc/key").to_str().unwrap());
    assert_eq!(report["sheet"], host.path("sheet.txt").to_str().unwrap());
    assert!(!stdout(&assert).contains(key.trim()) && !stderr(&assert).contains(key.trim()));
    let sheet = fs_err::read_to_string(host.path("sheet.txt")).unwrap();
    assert_eq!(mode(&host.path("sheet.txt")), 0o600);
    for word in [
        key.trim(),
        "restic",
        "lifeboat",
        report["vault_id"].as_str().unwrap(),
    ] {
        assert!(sheet.contains(word), "no `{word}` in the sheet");
    }
}

#[test]
fn a_wrong_password_is_12() {
    let host = Host::new();
    fs_err::write(host.path("right"), "correct horse\n").unwrap();
    fs_err::write(host.path("wrong"), "battery staple\n").unwrap();
    host.run("init --vault v --password-file right").success();
    host.run("points --vault v --password-file right").success();
    // Remembered from `init`.
    host.run("points").success();
    let assert = host.run("points --vault v --password-file wrong").code(12);
    let text = stderr(&assert);
    assert!(is_one_sentence(&text), "{text}");
    assert!(
        !text.contains("battery") && !text.contains("correct"),
        "{text}"
    );
    host.lifeboat()
        .env("LIFEBOAT_PASSWORD", "no")
        .arg("points")
        .assert()
        .code(12);
    host.lifeboat()
        .env("LIFEBOAT_PASSWORD", "correct horse")
        .arg("points")
        .assert()
        .success();
    host.lifeboat()
        .env("LIFEBOAT_PASSWORD_FILE", host.path("wrong"))
        .arg("points")
        .assert()
        .code(12);
    host.run(
        "points --password-command cat\u{a0}right"
            .replace('\u{a0}', "${IFS}")
            .as_str(),
    )
    .success();
}

#[test]
fn without_a_key_and_without_a_terminal_the_ways_are_named() {
    let host = Host::new();
    host.run("init -q").success();
    fs_err::remove_file(host.path("etc/key")).unwrap();
    fs_err::remove_file(host.path("etc/config.toml")).unwrap_or_default();
    let text = stderr(&host.run("points").code(1));
    assert!(is_one_sentence(&text), "{text}");
    for way in ["--password-file", "--password-command", "LIFEBOAT_PASSWORD"] {
        assert!(text.contains(way), "{text}");
    }
}

#[test]
fn a_copied_vault_and_its_key_are_enough_on_another_host() {
    let (old, new) = (Host::new(), Host::new());
    old.run("init -q").success();
    let line = format!(
        "points --vault {} --password-file {}",
        old.path("var/vault").display(),
        old.path("etc/key").display()
    );
    new.run(&line).success();
    // Another vault's key is at hand: it is tried, and does not fit.
    new.run("init -q").success();
    let assert = new
        .run(&format!(
            "points --vault {}",
            old.path("var/vault").display()
        ))
        .code(12);
    let text = stderr(&assert);
    assert!(
        text.contains("does not open") && text.contains("--password-file"),
        "{text}"
    );
}
