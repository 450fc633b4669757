//! `backup --path`, and everything that reads: no engine anywhere.

use serde_json::Value;

use crate::host::{Host, is_one_sentence, stderr, stdout};

fn protected() -> (Host, String) {
    let host = Host::new();
    host.with_data();
    host.run("init -q").success();
    let assert = host
        .run("backup --path data --exclude *.log --tag nightly -o json")
        .success();
    let report: Value = serde_json::from_str(&stdout(&assert)).unwrap();
    (host, report["id"].as_str().unwrap().to_owned())
}

#[test]
fn files_go_in_and_come_back() {
    let (host, id) = protected();
    let table = stdout(&host.run("points").success());
    assert!(
        table.contains(&id[..8]) && table.contains("nightly") && table.ends_with("1 point\n"),
        "{table}"
    );

    let assert = host.run("restore latest --target out").success();
    assert!(
        stdout(&assert).contains("restored from"),
        "{}",
        stdout(&assert)
    );
    let back = host.path(&format!("out{}", host.path("data").display()));
    assert_eq!(fs_err::read(back.join("hello.txt")).unwrap(), b"hello\n");
    assert_eq!(
        fs_err::read(back.join("deep/er/big.bin")).unwrap(),
        vec![7; 300_000]
    );
    assert!(!back.join("deep/skip.log").exists());
    host.run("check --read-data").success();
}

#[test]
fn a_second_backup_reads_nothing_anew() {
    let (host, _) = protected();
    let assert = host.run("backup --path data --exclude *.log").success();
    let text = stdout(&assert);
    assert!(
        text.contains("0 new or changed") && text.contains("restore with: lifeboat restore "),
        "{text}"
    );
}

#[test]
fn a_listing_for_people_and_for_programs() {
    let (host, id) = protected();
    let data = host.path("data");
    let text = stdout(&host.run(&format!("ls {} -r", &id[..8])).success());
    assert!(
        text.lines()
            .any(|line| line == data.join("deep/er/big.bin").to_str().unwrap()),
        "{text}"
    );
    let text = stdout(
        &host
            .run(&format!("ls latest {} -l", data.display()))
            .success(),
    );
    assert!(text.contains("-rw-"), "{text}");
    let json: Value =
        serde_json::from_str(&stdout(&host.run("ls latest -r -o json").success())).unwrap();
    let big = json["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["path"].as_str().unwrap().ends_with("big.bin"));
    assert_eq!(big.unwrap()["size"], 300_000);
}

#[test]
fn only_what_is_included() {
    let (host, _) = protected();
    host.run("restore latest --target out --include *.txt")
        .success();
    let back = host.path(&format!("out{}", host.path("data").display()));
    assert!(back.join("hello.txt").exists() && !back.join("deep/er/big.bin").exists());
    let text = stderr(
        &host
            .run("restore latest --target none --include *.sql")
            .code(1),
    );
    assert!(
        is_one_sentence(&text) && text.contains("--include"),
        "{text}"
    );
}

#[test]
fn what_is_not_there_is_1_and_says_so() {
    let (host, _) = protected();
    for line in [
        "ls shop",
        "restore shop --target out",
        "ls 00000000",
        "points shop",
        "ls latest /no/such",
    ] {
        let text = stderr(&host.run(line).code(1));
        assert!(is_one_sentence(&text), "{line}: {text}");
    }
    let text = stderr(&host.run("backup --path no/such/path"));
    assert!(text.contains("no/such/path"), "{text}");
}

/// At least as long as the bytes last; how evenly is tested beside the store itself.
#[test]
fn a_directory_has_its_limits_as_well() {
    let host = Host::new();
    host.run("init -q").success();
    let data = host.with_data();
    let noise: Vec<u8> = (0..300_000_u64)
        .flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .collect();
    fs_err::write(data.join("noise"), &noise).unwrap();
    let began = std::time::Instant::now();
    host.run("backup --path data --limit-upload 2000").success();
    let took = began.elapsed().as_secs_f64();
    assert!(took > 0.8, "2.4 MB at 2 MB/s took {took} s");
    let began = std::time::Instant::now();
    host.run("restore latest --target out --limit-download 2000")
        .success();
    let took = began.elapsed().as_secs_f64();
    assert!(took > 0.8, "2.4 MB at 2 MB/s took {took} s");
}

#[test]
fn a_dry_run_writes_nothing() {
    let (host, _) = protected();
    let text = stdout(&host.run("backup --path data -n").success());
    assert!(text.starts_with("dry run"), "{text}");
    let json: Value = serde_json::from_str(&stdout(&host.run("points -o json").success())).unwrap();
    assert_eq!(json["points"].as_array().unwrap().len(), 1);
}

#[test]
fn exclude_files_are_read() {
    let (host, _) = protected();
    fs_err::write(host.path("patterns"), "# none of these\n*.bin\n*.log\n").unwrap();
    host.run("backup --path data --exclude-file patterns -q")
        .success();
    let text = stdout(&host.run("ls latest -r").success());
    assert!(
        text.contains("hello.txt") && !text.contains("big.bin"),
        "{text}"
    );
    let text = stderr(
        &host
            .run("backup --path data --exclude-file nowhere")
            .code(1),
    );
    assert!(is_one_sentence(&text) && text.contains("nowhere"), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (host, _) = protected();
    let program = env!("CARGO_BIN_EXE_lifeboat");
    let mut shell = assert_cmd::Command::new("bash");
    let assert = shell
        .args(["-c", &format!("set -o pipefail; {program} ls latest -r | head -c 1 >/dev/null; {program} points >&-; true")])
        .env("LIFEBOAT_CONFIG_DIR", host.path("etc"))
        .env("LIFEBOAT_STATE_DIR", host.path("var"))
        .assert()
        .success();
    assert!(!stderr(&assert).contains("panicked"), "{}", stderr(&assert));
}
