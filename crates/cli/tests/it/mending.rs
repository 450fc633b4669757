//! `check` of a part of the data, and `repair`: from damage to a whole vault.

use std::path::PathBuf;

use serde_json::Value;

use crate::host::{Host, is_one_sentence, restic, stderr, stdout};

/// A vault with two points of ever other data, each in a pack of its own.
fn vault() -> Host {
    let host = Host::new();
    let data = host.with_data();
    host.run("init -q").success();
    for n in 0..2_u32 {
        let mut state = n + 1;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        });
        let noise: Vec<u8> = noise.take(3_000_000).collect();
        fs_err::write(data.join(format!("noise-{n}")), noise).unwrap();
        host.run("backup --path data -q").success();
    }
    host
}

/// Packs, the largest first: those hold data.
fn packs(host: &Host) -> Vec<PathBuf> {
    let mut packs = Vec::new();
    for folder in fs_err::read_dir(host.path("var/vault/data")).unwrap() {
        for pack in fs_err::read_dir(folder.unwrap().path()).unwrap() {
            packs.push(pack.unwrap().path());
        }
    }
    packs.sort_by_key(|pack| std::cmp::Reverse(fs_err::metadata(pack).unwrap().len()));
    packs
}

fn spoil(pack: &PathBuf) {
    let mut bytes = fs_err::read(pack).unwrap();
    bytes[1000] ^= 1;
    fs_err::write(pack, bytes).unwrap();
}

fn json(host: &Host, line: &str, code: i32) -> Value {
    let assert = host.run(&format!("{line} -o json")).code(code);
    serde_json::from_str(&stdout(&assert)).unwrap()
}

#[test]
fn a_part_of_the_data_is_read_and_what_was_read_is_remembered() {
    let host = vault();
    let all = packs(&host).len() as u64;
    assert!(all >= 3, "{all}");
    let first = json(&host, "check --read-data-rolling 1/1000000", 0);
    assert_eq!(first["read_packs"], 1);
    assert_eq!(first["never_read"], all - 1);
    // Each run reads another pack, until all are known.
    for left in (0..all - 1).rev() {
        let next = json(&host, "check --read-data-rolling 1/1000000", 0);
        assert_eq!(next["read_packs"], 1);
        assert_eq!(next["never_read"], left);
    }
    let text = stdout(&host.run("check --read-data-rolling 1/1000000").success());
    assert!(text.contains("everything since"), "{text}");
    // What is damaged is found the day it is read, and not taken for read.
    spoil(&packs(&host)[0]);
    let codes: Vec<i32> = (0..all)
        .map(|_| {
            let output = host.run("check --read-data-rolling 1/1000000");
            output.get_output().status.code().unwrap()
        })
        .collect();
    // From then on it comes first each time.
    let found = codes.iter().position(|code| *code == 1).unwrap();
    assert!(codes[found..].iter().all(|code| *code == 1), "{codes:?}");
    let again = json(&host, "check --read-data-rolling 1/1000000", 1);
    assert_eq!(again["never_read"], 1);
    // Lost memory begins anew, and says so.
    let folder = host.path("var/verified");
    for file in fs_err::read_dir(folder).unwrap() {
        fs_err::write(file.unwrap().path(), "{").unwrap();
    }
    let text = stderr(&host.run("check --read-data-rolling 50%"));
    assert!(text.contains("never read"), "{text}");
}

#[test]
fn subsets_are_those_of_restic() {
    let host = vault();
    let mut sum = 0;
    for part in 1..=5 {
        let line = format!("check --read-data-subset {part}/5");
        let ours = json(&host, &line, 0)["read_packs"].as_u64().unwrap();
        let theirs = restic(
            &host,
            "etc/key",
            &["check", &format!("--read-data-subset={part}/5")],
        );
        // `[0:00] 100.00%  1 / 1 packs`, or nothing where there is nothing to read.
        let said = format!("read group #{part} of {ours} data packs (out of total");
        assert!(theirs.contains(&said), "{ours}: {theirs}");
        sum += ours;
    }
    assert_eq!(sum, packs(&host).len() as u64);
    assert!(
        json(&host, "check --read-data-subset 50%", 0)["read_packs"]
            .as_u64()
            .unwrap()
            >= 1
    );
    assert_eq!(
        json(&host, "check --read-data-subset 1K", 0)["read_packs"],
        1
    );
}

#[test]
fn from_damage_to_a_whole_vault() {
    let host = vault();
    let pack = packs(&host).remove(0);
    spoil(&pack);
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    let text = stdout(&host.run("check --read-data").code(1));
    assert!(text.contains(&name) && text.contains("needed by"), "{text}");

    let dry = json(&host, "repair packs --dry-run", 3);
    assert_eq!(dry["packs"][0]["id"], name);
    assert!(pack.exists());
    let text = stdout(&host.run("repair packs --set-aside aside").code(3));
    assert!(
        text.contains("set aside as") && text.contains("next: a backup"),
        "{text}"
    );
    assert!(!pack.exists());
    assert!(host.path(&format!("aside/pack-{name}")).is_file());
    // The source still has it: a backup finds what is missing, though nothing changed there.
    host.run("backup --path data -q").success();
    host.run("check --read-data").success();
    restic(&host, "etc/key", &["check", "--read-data"]);
    assert!(stdout(&host.run("repair packs").success()).contains("no pack"));
    assert!(stdout(&host.run("repair points").success()).contains("no point"));
}

#[test]
fn what_is_lost_for_good_is_named_and_taken_out() {
    let host = vault();
    spoil(&packs(&host)[0]);
    host.run("repair packs --set-aside aside").code(3);
    let dry = json(&host, "repair points --dry-run", 0);
    let losses = dry["points"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|p| p["losses"].as_array().unwrap());
    assert!(losses.clone().count() > 0);
    for loss in losses {
        assert!(loss["path"].as_str().unwrap().contains("/data/"), "{loss}");
        assert_eq!(loss["what"], "shortened");
    }
    let before = dry["points"].as_array().unwrap().len();
    let text = stdout(&host.run("repair points --forget").success());
    assert_eq!(text.matches("is repaired as").count(), before, "{text}");
    assert_eq!(text.matches("it is deleted").count(), before, "{text}");
    host.run("check --read-data").success();
    restic(&host, "etc/key", &["check", "--read-data"]);
    let points = stdout(&host.run("points").success());
    assert!(points.contains("incomplete, repaired"), "{points}");
    host.run("restore latest --target out").success();
}

#[test]
fn wrong_input_is_one_sentence() {
    let host = vault();
    let missing = format!("repair packs {}", "ab".repeat(32));
    for (line, code, word) in [
        (missing.as_str(), 1, "there is no pack"),
        ("repair points nothing", 1, ""),
        ("repair points --app shop", 1, "shop"),
        ("--vault nowhere repair packs", 10, "nowhere"),
    ] {
        let text = stderr(&host.run(line).code(code));
        assert!(
            is_one_sentence(&text) && text.contains(word),
            "{line}: {text}"
        );
    }
    // A folder that cannot be made: nothing is changed.
    let pack = packs(&host).remove(0);
    spoil(&pack);
    fs_err::write(host.path("file"), "").unwrap();
    let text = stderr(&host.run("repair packs --set-aside file/x").code(1));
    assert!(
        is_one_sentence(&text) && text.contains("nothing was changed"),
        "{text}"
    );
    assert!(pack.exists());
}
