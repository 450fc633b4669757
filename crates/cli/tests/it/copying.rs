//! `copy`, between our vaults and restic's.

use serde_json::Value;

use crate::host::{Host, is_one_sentence, restic_at, stderr, stdout};

fn vaults() -> Host {
    let host = Host::new();
    let data = host.with_data();
    host.run("init -q").success();
    fs_err::write(host.path("other"), "another password\n").unwrap();
    // The second vault does not take the place of the first.
    host.run("--vault usb --password-file other init -q")
        .success();
    for n in 0..3 {
        fs_err::write(data.join("hello.txt"), format!("hello {n}\n")).unwrap();
        host.run(&format!("backup --path data --tag n{n} -q"))
            .success();
    }
    host
}

fn copy(host: &Host, line: &str, code: i32) -> Value {
    let assert = host.run(&format!(
        "copy --to usb --to-password-file other -o json {line}"
    ));
    serde_json::from_str(&stdout(&assert.code(code))).unwrap()
}

fn outcomes(report: &Value) -> Vec<&str> {
    let points = report["points"].as_array().unwrap();
    points
        .iter()
        .map(|p| p["outcome"].as_str().unwrap())
        .collect()
}

#[test]
fn points_arrive_once_under_another_key_and_restic_knows_them() {
    let host = vaults();
    let would = copy(&host, "--dry-run", 0);
    assert_eq!(outcomes(&would), ["would"; 3]);
    let usb = "--vault usb --password-file other";
    assert!(
        stdout(&host.run(&format!("{usb} points -o json")).success()).contains("\"points\":[]")
    );

    let one = copy(&host, "latest", 0);
    assert_eq!(outcomes(&one), ["copied"]);
    let all = copy(&host, "", 0);
    assert_eq!(outcomes(&all), ["copied", "copied", "there"]);
    assert_eq!(all["points"][2]["copy"], one["points"][0]["copy"]);
    assert_eq!(outcomes(&copy(&host, "", 0)), ["there"; 3]);
    assert_eq!(outcomes(&copy(&host, "--tag n1", 0)), ["there"]);

    host.run(&format!("{usb} check --read-data")).success();
    restic_at(&host, "usb", "other", &["check", "--read-data"]);
    // restic's own copy finds nothing to do.
    let said = restic_at(
        &host,
        "usb",
        "other",
        &[
            "copy",
            "--from-repo",
            "var/vault",
            "--from-password-file",
            "etc/key",
        ],
    );
    assert_eq!(
        said.matches("skipping source snapshot").count(),
        3,
        "{said}"
    );
    // What comes out of the copy is what comes out of the original.
    host.run("restore latest --target a").success();
    host.run(&format!("{usb} restore latest --target b"))
        .success();
    let same = std::process::Command::new("diff")
        .arg("-r")
        .args([host.path("a"), host.path("b")])
        .status();
    assert!(same.unwrap().success());
    // And back again there is nothing to do.
    let back = stdout(
        &host
            .run(&format!(
                "{usb} copy --to var/vault --to-password-file etc/key -o json"
            ))
            .success(),
    );
    assert_eq!(
        outcomes(&serde_json::from_str(&back).unwrap()),
        ["there"; 3]
    );
    // Another vault in the place of one's own, as an agent looks after it; what is forgotten there stays so.
    let there = "--in-vault usb --in-password-file other";
    host.run(&format!("{there} forget --keep-tag n2")).success();
    assert_eq!(
        outcomes(&copy(&host, "--only-newer", 0)),
        ["older", "older", "there"]
    );
    let absent = format!("{there} forget nobody --keep-last 1");
    host.run(&absent).code(1);
    host.run(&format!("{absent} --missing-ok")).success();
}

#[test]
fn what_restic_copied_is_known_and_what_it_wrote_is_copied() {
    let host = vaults();
    restic_at(
        &host,
        "usb",
        "other",
        &[
            "copy",
            "--from-repo",
            "var/vault",
            "--from-password-file",
            "etc/key",
        ],
    );
    assert_eq!(outcomes(&copy(&host, "", 0)), ["there"; 3]);
    // Another chunker, other packs, other compression.
    restic_at(&host, "theirs", "other", &["init"]);
    restic_at(
        &host,
        "theirs",
        "other",
        &["backup", "--compression", "max", "data"],
    );
    let line = "--vault theirs --password-file other copy --to usb -o json";
    let report: Value = serde_json::from_str(&stdout(&host.run(line).success())).unwrap();
    assert_eq!(outcomes(&report), ["copied"]);
    restic_at(&host, "usb", "other", &["check", "--read-data"]);
}

#[test]
fn wrong_input_is_one_sentence_and_nothing_is_written() {
    let host = vaults();
    for (line, code, word) in [
        ("copy --to nowhere", 10, "nowhere"),
        ("copy --to usb", 12, "password is wrong"),
        (
            "copy --to usb --to-password-file nothing",
            1,
            "--to-password-file",
        ),
        (
            "copy --to usb --to-password-command false",
            1,
            "--to-password-command",
        ),
        ("copy --to usb --to-password-file other nothing", 1, ""),
        (
            "copy --to usb --to-password-file other --app shop",
            1,
            "shop",
        ),
        ("copy --to var/vault", 1, "another place"),
        ("copy --to b2:nothing", 1, ""),
    ] {
        let text = stderr(&host.run(line).code(code));
        assert!(
            is_one_sentence(&text) && text.contains(word),
            "{line}: {text}"
        );
    }
    let text = stdout(
        &host
            .run("--vault usb --password-file other points -o json")
            .success(),
    );
    assert!(text.contains("\"points\":[]"), "{text}");
}
