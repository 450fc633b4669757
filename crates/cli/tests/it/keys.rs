//! `key`, with Debian's restic on the same vault.

use serde_json::Value;

use crate::host::{Host, is_one_sentence, restic, stderr, stdout};

fn list(host: &Host, flags: &str) -> Vec<Value> {
    let text = stdout(&host.run(&format!("{flags} key list -o json")).success());
    let json: Value = serde_json::from_str(&text).unwrap();
    json["keys"].as_array().unwrap().clone()
}

fn vault() -> Host {
    let host = Host::new();
    host.with_data();
    host.run("init -q").success();
    fs_err::write(host.path("second"), "second password\n").unwrap();
    fs_err::write(host.path("third"), "third password\n").unwrap();
    host
}

#[test]
fn a_second_password_opens_for_both_programs_until_it_is_removed() {
    let host = vault();
    host.run("key add --new-password-file second --user anna --host laptop")
        .success();
    let keys = list(&host, "");
    assert_eq!(keys.len(), 2);
    let second = keys.iter().find(|key| key["current"] == false).unwrap();
    assert_eq!(
        (&second["username"], &second["hostname"]),
        (&Value::from("anna"), &Value::from("laptop"))
    );
    host.run("--password-file second points -q").success();
    let text = restic(&host, "second", &["key", "list"]);
    assert!(text.contains("anna") && text.contains("laptop"), "{text}");
    // restic's key opens for us.
    restic(
        &host,
        "etc/key",
        &["key", "add", "--new-password-file", "third"],
    );
    host.run("--password-file third check").success();

    // Not the one in use, and none that is not there.
    let current = keys.iter().find(|key| key["current"] == true).unwrap();
    for (line, word) in [
        (
            format!("key remove {}", current["id"].as_str().unwrap()),
            "key passwd",
        ),
        ("key remove 00000000".to_owned(), "key list"),
        ("key remove x".to_owned(), "key list"),
    ] {
        let text = stderr(&host.run(&line).code(1));
        assert!(is_one_sentence(&text) && text.contains(word), "{text}");
    }
    assert_eq!(list(&host, "").len(), 3);

    let id = second["id"].as_str().unwrap();
    host.run(&format!("key remove {}", &id[..8])).success();
    let text = stderr(&host.run("--password-file second points").code(12));
    assert!(is_one_sentence(&text), "{text}");
    restic(&host, "etc/key", &["check"]);
}

#[test]
fn a_key_that_is_in_use_somewhere_is_not_removed_by_way_of_another() {
    let host = vault();
    host.run("key add --new-password-file second").success();
    let first = list(&host, "")
        .into_iter()
        .find(|k| k["current"] == true)
        .unwrap();
    // Each may remove the other's, but the last one that opens always stays.
    host.run(&format!(
        "--password-file second key remove {}",
        first["id"].as_str().unwrap()
    ))
    .success();
    let only = list(&host, "--password-file second");
    assert_eq!(only.len(), 1);
    let line = format!(
        "--password-file second key remove {}",
        only[0]["id"].as_str().unwrap()
    );
    host.run(&line).code(1);
    assert_eq!(list(&host, "--password-file second").len(), 1);
}

#[test]
fn a_new_password_takes_the_place_of_the_old_one() {
    let host = vault();
    host.run("backup --path data -q").success();
    let old = fs_err::read_to_string(host.path("etc/key")).unwrap();
    fs_err::write(host.path("old"), &old).unwrap();
    let text = stderr(&host.run("key passwd --new-password-file second").success());
    assert!(text.contains("recovery sheet"), "{text}");
    // The key file that `init` made holds the new one, so nothing has to be said.
    assert_eq!(
        fs_err::read_to_string(host.path("etc/key")).unwrap(),
        "second password\n"
    );
    host.run("check").success();
    assert_eq!(list(&host, "").len(), 1);
    host.run("--password-file old points").code(12);
    restic(&host, "second", &["check"]);

    // A generated one, with its sheet.
    host.run("key passwd --generate --sheet sheet").success();
    let new = fs_err::read_to_string(host.path("etc/key")).unwrap();
    assert_eq!(new.trim().len(), 47);
    assert!(
        fs_err::read_to_string(host.path("sheet"))
            .unwrap()
            .contains(new.trim())
    );
    host.run("points -q").success();
    host.run("--password-file second points").code(12);

    // Refused, and nothing is changed: the same again, nobody to ask, an empty one, a sheet that is there.
    fs_err::write(host.path("empty"), "\n").unwrap();
    for (line, code) in [
        ("key passwd --new-password-file etc/key", 1),
        ("key passwd", 2),
        ("key passwd --new-password-file empty", 1),
        ("key passwd --new-password-file nowhere", 1),
        ("key passwd --generate --sheet sheet", 2),
        ("key add --new-password-command false", 1),
    ] {
        let text = stderr(&host.run(line).code(code));
        assert!(is_one_sentence(&text), "{line}: {text}");
    }
    assert_eq!(fs_err::read_to_string(host.path("etc/key")).unwrap(), new);
    assert_eq!(list(&host, "").len(), 1);
}

#[test]
fn the_password_of_a_flag_is_not_written_over_the_remembered_key() {
    let host = vault();
    host.run("key add --new-password-file second").success();
    let key = fs_err::read(host.path("etc/key")).unwrap();
    let text = stderr(
        &host
            .run("--password-file second key passwd --new-password-file third")
            .success(),
    );
    assert!(text.contains("kept nowhere on this machine"), "{text}");
    assert_eq!(fs_err::read(host.path("etc/key")).unwrap(), key);
    host.run("points -q").success();
    host.run("--password-file third points -q").success();
    host.run("--password-file second points").code(12);
}

#[test]
fn the_sheet_is_asked_for_until_it_is_saved() {
    let host = vault();
    let reminder = "`lifeboat key saved` ends this note";
    let text = stderr(&host.run("backup --path data").success());
    assert!(text.contains(reminder), "{text}");
    let text = stderr(&host.run("backup --path data -q").success());
    assert!(!text.contains(reminder), "{text}");
    fs_err::copy(host.path("etc/key"), host.path("copy")).unwrap();
    host.run("--password-file second key saved").code(12);
    host.run("--password-file copy key saved").success();
    let text = stderr(&host.run("backup --path data").success());
    assert!(!text.contains(reminder), "{text}");
    // A new password makes an old sheet worthless.
    host.run("key passwd --new-password-file second -q")
        .success();
    let text = stderr(&host.run("backup --path data").success());
    assert!(text.contains(reminder), "{text}");
}
