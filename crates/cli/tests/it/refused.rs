//! Wrong input: one sentence on standard error, nothing on standard output, the right exit code.

use crate::host::{Host, is_one_sentence, stderr, stdout};

fn refused(host: &Host, line: &str, code: i32, words: &[&str]) {
    let assert = host.run(line).code(code);
    let text = stderr(&assert);
    assert!(is_one_sentence(&text), "{line}: {text}");
    for word in words {
        assert!(text.contains(word), "{line}: no `{word}` in: {text}");
    }
    assert_eq!(stdout(&assert), "", "{line}");
}

#[test]
fn no_vault_is_10_and_nobody_is_asked_for_a_password() {
    let host = Host::new();
    for line in [
        "points",
        "check",
        "ls latest",
        "restore latest --target t",
        "backup --path /etc",
    ] {
        refused(&host, line, 10, &["no vault", "lifeboat init"]);
    }
    refused(&host, "points --vault elsewhere", 10, &["elsewhere"]);
}

#[test]
fn a_directory_that_is_no_vault_is_10() {
    let host = Host::new();
    let data = host.with_data();
    refused(
        &host,
        &format!("points --vault {}", data.display()),
        10,
        &["no vault", "data"],
    );
    let file = data.join("hello.txt");
    let assert = host.run(&format!("points --vault {}", file.display()));
    let text = stderr(&assert);
    assert!(is_one_sentence(&text), "{text}");
    assert!(
        [1, 10].contains(&assert.get_output().status.code().unwrap()),
        "{text}"
    );
}

#[test]
fn a_plan_of_files_without_an_engine_is_what_ls_shows() {
    let host = Host::new();
    let line = "restore shop --target t --dry-run";
    refused(&host, line, 2, &["--target", "lifeboat ls"]);
}

#[test]
fn a_place_that_cannot_be_a_vault_is_named() {
    refused(
        &Host::new(),
        "points --vault b2:bucket/x",
        1,
        &["`b2:`", "s3:"],
    );
}

#[test]
fn no_engine_is_named_with_its_address() {
    let host = Host::new();
    refused(&host, "apps", 1, &["no.sock", "DOCKER_HOST"]);
    refused(&host, "backup --all", 1, &["no.sock"]);
    refused(&host, "restore shop", 1, &["no.sock"]);
    refused(&host, "apps --engine gopher://x", 2, &["gopher://x"]);
    // A flag outweighs the environment.
    refused(
        &host,
        "apps --engine unix:///other.sock",
        1,
        &["/other.sock"],
    );
}

#[test]
fn what_a_part_has_no_use_for_is_not_passed_over() {
    let host = Host::new();
    let copy = "restore shop --volume db --as db-then --dry-run";
    for (line, words) in [
        (
            format!("{copy} --network-access"),
            ["--network-access", "has none"],
        ),
        (format!("{copy} --allow devices"), ["--allow", "has none"]),
        (
            "restore shop --volume db --as db-then --ports".to_owned(),
            ["--ports", "has none"],
        ),
        (format!("{copy} --map-env A=b"), ["mappings", "--as"]),
        (
            "restore shop --bind /srv --map-port 80:81".to_owned(),
            ["mappings", "--service"],
        ),
        (
            "restore shop --replace --stop-users".to_owned(),
            ["--stop-users", "for a part"],
        ),
    ] {
        refused(&host, &line, 2, &words);
    }
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let host = Host::new();
    fs_err::create_dir_all(host.path("etc")).unwrap();
    fs_err::write(host.path("etc/config.toml"), "vualt = 'x'\n").unwrap();
    refused(&host, "points", 1, &["config.toml", "vualt"]);
}

#[test]
fn a_take_over_is_of_one_app() {
    refused(
        &Host::new(),
        "backup a b --take-over h/a",
        2,
        &["--take-over", "one"],
    );
}

#[test]
fn a_sheet_is_refused_before_anything_is_made() {
    let host = Host::new();
    fs_err::write(host.path("there"), "mine").unwrap();
    refused(&host, "init --sheet there", 2, &["there already"]);
    refused(
        &host,
        "init --sheet no/such/folder/sheet",
        2,
        &["no directory"],
    );
    fs_err::create_dir_all(host.path("v")).unwrap();
    refused(&host, "init --vault v --sheet v/sheet", 2, &["outside"]);
    assert_eq!(fs_err::read_to_string(host.path("there")).unwrap(), "mine");
    assert!(!host.path("var").exists() && !host.path("etc").exists());
}

#[test]
fn a_password_source_that_holds_none_is_named() {
    let host = Host::new();
    fs_err::write(host.path("empty"), "\n").unwrap();
    refused(
        &host,
        "init --password-file empty",
        1,
        &["empty", "no password"],
    );
    refused(
        &host,
        "init --password-file missing",
        1,
        &["missing", "--password-file"],
    );
    refused(
        &host,
        "init --password-command false",
        1,
        &["--password-command", "exit status"],
    );
    assert!(!host.path("var").exists());
}
