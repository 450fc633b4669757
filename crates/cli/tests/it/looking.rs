//! `dump`, `find`, `diff`, `stats`, each held against Debian's restic on the same vault.

use std::{collections::BTreeSet, os::unix::fs::symlink, process::Command};

use serde_json::Value;

use crate::host::{Host, is_one_sentence, restic, restic_bytes, stderr, stdout};

/// Two points of a folder in which much happens between them.
fn two() -> (Host, String, String) {
    let host = Host::new();
    let data = host.with_data();
    fs_err::create_dir_all(data.join("old/deep")).unwrap();
    fs_err::write(data.join("old/deep/a.conf"), "a").unwrap();
    fs_err::write(data.join("becomes"), "a file").unwrap();
    fs_err::write(data.join("stays"), vec![3; 100_000]).unwrap();
    fs_err::hard_link(data.join("stays"), data.join("stays too")).unwrap();
    symlink("hello.txt", data.join("link")).unwrap();
    fs_err::write(data.join(format!("{}.txt", "long".repeat(50))), "long").unwrap();
    fs_err::write(data.join("Größe.txt"), "x").unwrap();
    host.run("init -q").success();
    let backup = || {
        let text = stdout(&host.run("backup --path data -o json -q").success());
        let json: Value = serde_json::from_str(&text).unwrap();
        json["id"].as_str().unwrap().to_owned()
    };
    let first = backup();
    fs_err::write(data.join("hello.txt"), "other words\n").unwrap();
    fs_err::remove_dir_all(data.join("old")).unwrap();
    fs_err::create_dir_all(data.join("new/deep")).unwrap();
    fs_err::write(data.join("new/deep/b.conf"), vec![9; 2_000_000]).unwrap();
    fs_err::remove_file(data.join("becomes")).unwrap();
    symlink("stays", data.join("becomes")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs_err::set_permissions(data.join("stays"), mode).unwrap();
    let second = backup();
    (host, first, second)
}

#[test]
fn a_file_comes_out_byte_for_byte() {
    let (host, first, second) = two();
    let data = host.path("data");
    for id in [&first, &second] {
        for name in ["hello.txt", "deep/er/big.bin", "stays too"] {
            let path = data.join(name).display().to_string();
            let ours = host.lifeboat().args(["dump", id, &path]).output().unwrap();
            assert!(ours.status.success(), "{ours:?}");
            let theirs = restic_bytes(&host, "etc/key", &["dump", id, &path]);
            assert!(ours.stdout == theirs, "{name}");
        }
    }
}

#[test]
fn a_folder_comes_out_as_the_archive_that_restic_makes() {
    let (host, first, second) = two();
    let data = host.path("data").display().to_string();
    for folder in [&data, "/"] {
        let ours = host
            .lifeboat()
            .args(["dump", &first, folder])
            .output()
            .unwrap();
        assert!(ours.status.success());
        fs_err::write(host.path("ours.tar"), &ours.stdout).unwrap();
        let theirs = restic_bytes(&host, "etc/key", &["dump", &first, folder]);
        fs_err::write(host.path("theirs.tar"), theirs).unwrap();
        let names = |tar: &str| {
            let output = Command::new("tar")
                .args(["-tf"])
                .arg(host.path(tar))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(names("ours.tar"), names("theirs.tar"));
        for tar in ["ours", "theirs"] {
            let at = host.path(&format!("{tar}-{}", folder.len()));
            fs_err::create_dir_all(&at).unwrap();
            let mut command = Command::new("tar");
            command
                .arg("-xf")
                .arg(host.path(&format!("{tar}.tar")))
                .arg("-C")
                .arg(&at);
            assert!(command.status().unwrap().success());
        }
        // GNU tar compares links, modes, owners and content. restic rounds times to seconds.
        let mut diff = Command::new("tar");
        diff.arg("-df").arg(host.path("ours.tar")).arg("-C");
        let diff = diff
            .arg(host.path(&format!("theirs-{}", folder.len())))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&diff.stdout).into_owned();
        // restic makes two files of two names; we make one file with two.
        let differences: Vec<&str> = said
            .lines()
            .filter(|line| !line.contains("Not linked to") && !line.contains("Mod time"))
            .collect();
        assert!(differences.is_empty(), "{said}");
    }
    // What is on the disk now is the second point, to the nanosecond.
    let line = format!(
        "{} dump {second} {data} | tar -d -C /",
        env!("CARGO_BIN_EXE_lifeboat")
    );
    let mut shell = Command::new("bash");
    let shell = shell.args(["-o", "pipefail", "-c", &line]);
    let shell = shell.env("LIFEBOAT_CONFIG_DIR", host.path("etc"));
    let output = shell
        .env("LIFEBOAT_STATE_DIR", host.path("var"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let file = format!("{data}/hello.txt");
    let one = host
        .lifeboat()
        .args(["dump", &first, &file, "--archive", "tar"])
        .output()
        .unwrap();
    assert_eq!(one.stdout.len() % 512, 0);
}

#[test]
fn what_cannot_be_dumped_is_said() {
    let (host, first, _) = two();
    for (line, code, word) in [
        (format!("dump {first} /no/such"), 1, "lifeboat ls"),
        (format!("dump {first} /a/../b"), 1, "`.` and `..`"),
        (
            format!("dump {first} {}/link", host.path("data").display()),
            1,
            "neither a file nor a folder",
        ),
        ("dump nothing /".to_owned(), 1, ""),
        (format!("dump {first} / -o json"), 2, "no JSON"),
    ] {
        let assert = host.run(&line).code(code);
        let text = stderr(&assert);
        assert!(
            is_one_sentence(&text) && text.contains(word),
            "{line}: {text}"
        );
        assert_eq!(stdout(&assert), "");
    }
}

#[test]
fn a_reader_of_an_archive_that_goes_away_is_no_failure() {
    let (host, first, _) = two();
    let program = env!("CARGO_BIN_EXE_lifeboat");
    let line = format!("set -o pipefail; {program} dump {first} / | head -c 600 >/dev/null");
    let status = Command::new("bash")
        .args(["-c", &line])
        .env("LIFEBOAT_CONFIG_DIR", host.path("etc"))
        .env("LIFEBOAT_STATE_DIR", host.path("var"))
        .status();
    assert!(status.unwrap().success());
}

/// `(point, path)` of everything that restic finds.
fn restic_finds(host: &Host, args: &[&str]) -> BTreeSet<(String, String)> {
    let args: Vec<&str> = ["find", "--json"].iter().chain(args).copied().collect();
    let text = String::from_utf8(restic_bytes(host, "etc/key", &args)).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let found = json.as_array().unwrap().iter().flat_map(|point| {
        let id = point["snapshot"].as_str().unwrap().to_owned();
        let matches = point["matches"].as_array().unwrap().iter();
        matches.map(move |m| (id.clone(), m["path"].as_str().unwrap().to_owned()))
    });
    found.collect()
}

fn we_find(host: &Host, args: &[&str]) -> BTreeSet<(String, String)> {
    let output = host
        .lifeboat()
        .arg("find")
        .args(args)
        .args(["-o", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = json["points"].as_array().unwrap().iter().flat_map(|point| {
        let id = point["id"].as_str().unwrap().to_owned();
        assert_eq!(point["hits"], point["matches"].as_array().unwrap().len());
        let matches = point["matches"].as_array().unwrap().iter();
        matches.map(move |m| (id.clone(), m["path"].as_str().unwrap().to_owned()))
    });
    found.collect()
}

#[test]
fn what_restic_finds_and_nothing_else() {
    let (host, first, second) = two();
    let anchored = format!("{}/*.txt", host.path("data").display());
    for (args, some) in [
        (vec!["*.conf"], true),
        (vec!["hello.txt"], true),
        (vec!["deep"], true),
        (vec!["new", "old"], true),
        (vec![anchored.as_str()], true),
        (vec!["-i", "HELLO*"], true),
        (vec!["HELLO*"], false),
        (vec!["er/*.bin"], true),
        (vec!["nothing"], false),
        (vec!["--newest", "2020-01-01", "*"], false),
        (vec!["--oldest", "2020-01-01", "*.txt"], true),
        (vec!["-s", first.as_str(), "*"], true),
        (vec!["-s", second.as_str(), "Größe.txt"], true),
    ] {
        let ours = we_find(&host, &args);
        assert_eq!(ours, restic_finds(&host, &args), "{args:?}");
        assert_eq!(!ours.is_empty(), some, "{args:?}");
    }
    let text = stdout(&host.run("find *.conf -l").success());
    assert!(
        text.contains(&format!("in point {}", &first[..8])) && text.contains("-rw-"),
        "{text}"
    );
    let text = stderr(&host.run("find nothing").success());
    assert!(text.contains("nothing matches"), "{text}");
    for line in ["find x --app shop", "find x -s 00000000", "find ["] {
        let text = stderr(&host.run(line).code(1));
        assert!(is_one_sentence(&text), "{line}: {text}");
    }
}

/// The lines `+    /path` of a comparison, and its figures.
fn lines(text: &str) -> (BTreeSet<String>, Vec<String>) {
    let is_change = |line: &&str| line.contains("    /") && !line.starts_with(' ');
    let changes = text.lines().filter(is_change).map(str::to_owned).collect();
    let figures = text.lines().filter(|line| line.contains(" new,"));
    let figures = figures.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    (changes, figures.collect())
}

#[test]
fn what_differs_is_what_restic_says() {
    let (host, first, second) = two();
    for (a, b) in [(&first, &second), (&second, &first), (&first, &first)] {
        for metadata in [None, Some("--metadata")] {
            let args: Vec<&str> = ["diff", a, b].into_iter().chain(metadata).collect();
            let output = host.lifeboat().args(&args).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let ours = lines(&String::from_utf8(output.stdout).unwrap());
            let theirs = lines(&restic(&host, "etc/key", &args));
            assert_eq!(ours, theirs, "{args:?}");
            assert_eq!(ours.1.len(), 5);
            assert_eq!(ours.0.is_empty(), a == b);
        }
    }
    let text = stdout(
        &host
            .run(&format!("diff {first} {second} -o json"))
            .success(),
    );
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["app"], Value::Null);
    let letters: BTreeSet<&str> = json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["change"].as_str().unwrap())
        .collect();
    assert_eq!(letters, BTreeSet::from(["+", "-", "M", "T"]));
    assert_eq!(json["statistics"]["added"]["files"], 1);
    let text = stderr(&host.run(&format!("diff {first} nothing")).code(1));
    assert!(is_one_sentence(&text), "{text}");
}

#[test]
fn figures_are_those_of_restic() {
    let (host, first, _) = two();
    let ours = |line: &str| -> Value {
        let text = stdout(&host.run(&format!("stats {line} -o json")).success());
        serde_json::from_str(&text).unwrap()
    };
    let theirs = |args: &[&str]| -> Value {
        let args: Vec<&str> = ["stats", "--json"].iter().chain(args).copied().collect();
        serde_json::from_slice(&restic_bytes(&host, "etc/key", &args)).unwrap()
    };
    for point in ["", first.as_str()] {
        let point: Vec<&str> = Some(point).filter(|p| !p.is_empty()).into_iter().collect();
        let figures = ours(&point.join(" "));
        let total = &figures["total"];
        let restore = theirs(&point);
        assert_eq!(total["logical_bytes"], restore["total_size"]);
        assert_eq!(total["entries"], restore["total_file_count"]);
        let raw = [&["--mode", "raw-data"][..], &point].concat();
        let raw = theirs(&raw);
        assert_eq!(total["blobs"], raw["total_blob_count"]);
        assert_eq!(total["stored_bytes"], raw["total_size"]);
        // Debian's does not say it.
        let unique = &raw["total_uncompressed_size"];
        assert!(unique.is_null() || *unique == total["unique_bytes"]);
        assert_eq!(figures["unused_bytes"].is_null(), !point.is_empty());
    }
    let all = ours("");
    assert_eq!(all["total"]["points"], 2);
    assert_eq!(all["unused_bytes"], 0);
    assert_eq!(all["apps"].as_array().unwrap().len(), 1);
    assert!(stdout(&host.run("stats").success()).contains("DEDUP"));
}
