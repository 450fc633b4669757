//! `forget`, `prune`, `pin`: what a person sees, and restic's own judgement of the same vault.

use std::process::Command;

use serde_json::Value;

use crate::host::{Host, is_one_sentence, stderr, stdout};

/// A vault whose points were made by restic, at these times, of one folder.
fn with_points(times: &[&str]) -> Host {
    let host = Host::new();
    host.with_data();
    host.run("init -q").success();
    for (n, time) in times.iter().enumerate() {
        fs_err::write(host.path("data/hello.txt"), format!("{n} {time}")).unwrap();
        let data = host.path("data");
        restic(
            &host,
            &[
                "backup",
                "-q",
                "--host",
                "h",
                "--time",
                time,
                data.to_str().unwrap(),
            ],
        );
    }
    host
}

fn restic(host: &Host, args: &[&str]) -> String {
    let output = Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(host.path("var/vault"))
        .arg("--password-file")
        .arg(host.path("etc/key"))
        .args(args)
        .env("TZ", "UTC")
        .output()
        .expect("restic is missing: run `cargo xtask test`, which installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "restic {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(host: &Host, line: &str) -> Value {
    let assert = host.run(&format!("{line} -o json")).success();
    serde_json::from_str(&stdout(&assert)).unwrap()
}

fn ids(host: &Host) -> Vec<String> {
    let points = json(host, "points")["points"].as_array().unwrap().clone();
    points
        .iter()
        .map(|point| point["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_policy_forgets_and_prune_frees() {
    let host = with_points(&[
        "2026-01-01 10:00:00",
        "2026-01-01 20:00:00",
        "2026-01-02 10:00:00",
        "2026-01-03 10:00:00",
    ]);
    let before = ids(&host);
    // These were stored today: in the years of which they speak nobody saw them.
    let line = "forget --keep-daily 2 --trust-times";
    let dry = stdout(&host.run(&format!("{line} --dry-run --prune")).success());
    assert!(dry.contains("2 points would go, 2 would stay"), "{dry}");
    assert!(
        dry.contains("daily") && dry.contains("no rule keeps it"),
        "{dry}"
    );
    assert_eq!(ids(&host), before);
    let report = json(&host, &format!("{line} --prune --max-unused 0"));
    assert_eq!(report["forgotten"].as_array().unwrap().len(), 2);
    assert!(
        report["prune"]["deleted"]["packs"].as_u64().unwrap() > 0,
        "{report}"
    );
    assert_eq!(ids(&host), before[2..]);
    restic(&host, &["check", "--read-data"]);
    host.run("restore latest --target out").success();
    let text = stdout(&host.run("prune").success());
    assert!(text.contains("freed 0 B"), "{text}");
}

#[test]
fn the_newest_stays_and_a_pin_holds() {
    let host = with_points(&[
        "2026-01-01 10:00:00",
        "2026-01-02 10:00:00",
        "2026-01-03 10:00:00",
    ]);
    let before = ids(&host);
    let text = stderr(&host.run(&format!("forget {}", before[2])).code(1));
    assert!(
        is_one_sentence(&text) && text.contains("--even-newest"),
        "{text}"
    );
    let pinned = json(&host, &format!("pin {}", &before[0][..10]));
    let pinned = pinned[0]["id"].as_str().unwrap().to_owned();
    assert_ne!(pinned, before[0]);
    let table = stdout(&host.run("points").success());
    assert!(table.contains("pin"), "{table}");
    for line in [
        format!("forget {pinned}"),
        format!("forget {pinned} --even-newest"),
    ] {
        let text = stderr(&host.run(&line).code(1));
        assert!(is_one_sentence(&text) && text.contains("unpin"), "{text}");
    }
    let text = stdout(&host.run("forget --keep-last 1 --trust-times").success());
    assert!(
        text.contains("it is pinned") && text.contains("1 point forgotten"),
        "{text}"
    );
    assert_eq!(ids(&host), [pinned.clone(), before[2].clone()]);
    restic(&host, &["check"]);
    host.run(&format!("unpin {pinned}")).success();
    let released = ids(&host)[0].clone();
    host.run(&format!("forget {released} {} --even-newest", before[2]))
        .success();
    assert!(ids(&host).is_empty());
    host.run("prune").success();
    restic(&host, &["check", "--read-data"]);
}

#[test]
fn a_time_that_the_store_contradicts_pushes_nobody_out() {
    let host = with_points(&["2026-01-01 10:00:00"]);
    for n in 0..2 {
        fs_err::write(host.path("data/hello.txt"), format!("now {n}")).unwrap();
        restic(
            &host,
            &[
                "backup",
                "-q",
                "--host",
                "h",
                host.path("data").to_str().unwrap(),
            ],
        );
    }
    let data = host.path("data");
    for time in ["2031-01-01 10:00:00", "2031-01-02 10:00:00"] {
        restic(
            &host,
            &[
                "backup",
                "-q",
                "--host",
                "h",
                "--time",
                time,
                data.to_str().unwrap(),
            ],
        );
    }
    let assert = host.run("forget --keep-last 1").success();
    let text = stdout(&assert);
    assert!(text.contains("1 point forgotten, 4 stay"), "{text}");
    assert!(text.contains("ahead of the store's clock"), "{text}");
    assert!(
        stderr(&assert).contains("--trust-times"),
        "{}",
        stderr(&assert)
    );
    let text = stdout(&host.run("forget --keep-last 1 --trust-times").success());
    assert!(text.contains("3 points forgotten, 1 stay"), "{text}");
}

#[test]
fn policies_of_the_settings() {
    let host = with_points(&["2026-01-01 10:00:00", "2026-01-02 10:00:00"]);
    let text = stderr(&host.run("forget").code(1));
    assert!(
        is_one_sentence(&text) && text.contains("--keep-daily"),
        "{text}"
    );
    let path = host.path("etc/config.toml");
    let settings = fs_err::read_to_string(&path).unwrap();
    let with = |text: &str| fs_err::write(&path, format!("{settings}{text}")).unwrap();
    with("[retention.\"*\"]\nkeep-dayly = 7\n");
    let text = stderr(&host.run("forget").code(1));
    assert!(
        is_one_sentence(&text) && text.contains("keep-dayly"),
        "{text}"
    );
    with("[retention.\"*\"]\nkeep-daily = 7\nkeep-yearly = \"unlimited\"\nkeep-within = \"1m\"\n");
    // They are of apps; plain snapshots are nobody's.
    let text = stdout(&host.run("forget").success());
    assert!(
        text.contains("no policy for it") && text.contains("0 points forgotten"),
        "{text}"
    );
}

#[test]
fn wrong_input_forgets_nothing() {
    let host = with_points(&["2026-01-01 10:00:00", "2026-01-02 10:00:00"]);
    let before = ids(&host);
    for (line, code, word) in [
        ("forget --keep-last 0", 2, "keep nothing"),
        ("forget shop --keep-last 1", 1, "shop"),
        ("forget 00000000", 1, "00000000"),
        (
            &format!("forget {} --keep-last 1", before[0]),
            1,
            "do not go together",
        ),
        ("forget --app shop --keep-last 1", 1, "shop"),
        ("pin shop", 1, "shop"),
    ] {
        let text = stderr(&host.run(line).code(code));
        assert!(
            is_one_sentence(&text) && text.contains(word),
            "{line}: {text}"
        );
    }
    let snapshot = host.path("var/vault/snapshots").join(&before[0]);
    fs_err::remove_file(&snapshot).unwrap();
    fs_err::write(&snapshot, "nonsense").unwrap();
    for line in ["forget --keep-last 1 --trust-times", "prune"] {
        let text = stderr(&host.run(line).code(1));
        assert!(
            is_one_sentence(&text) && text.contains(&before[0]),
            "{line}: {text}"
        );
    }
}

#[test]
fn another_program_in_the_vault_is_waited_for() {
    let host = with_points(&["2026-01-01 10:00:00", "2026-01-02 10:00:00"]);
    host.run("forget --keep-last 1 --trust-times").success();
    // restic at work: it waits for the bytes that it is to save.
    let mut child = Command::new("restic")
        .args(["--no-cache", "-q", "-r"])
        .arg(host.path("var/vault"))
        .arg("--password-file")
        .arg(host.path("etc/key"))
        .args(["backup", "--stdin", "--host", "h"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let locks = host.path("var/vault/locks");
    while fs_err::read_dir(&locks).unwrap().count() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let text = stdout(&host.run("prune --max-unused 0").success());
    assert!(text.contains("another program holds the vault"), "{text}");
    assert!(text.contains("freed 0 B"), "{text}");
    host.run("prune --instant").code(11);
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"some bytes").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let text = stdout(&host.run("prune --max-unused 0").success());
    assert!(
        !text.contains("freed 0 B") && !text.contains("waiting"),
        "{text}"
    );
    restic(&host, &["check", "--read-data"]);
}

/// A small generator: the same points each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn restic_judges_as_we_do() {
    use lifeboat_plan::retention::{Count, Kept, Moment, Policy, Span, apply};
    // Copies of one snapshot, with other times and tags: no need to read files again.
    let host = with_points(&["2025-06-01 10:00:00"]);
    let mut dice = Dice(0x5eed_5eed);
    let vault = lifeboat_vault::Vault::open(
        lifeboat_store::open(
            host.path("var/vault").to_str().unwrap(),
            &Default::default(),
        )
        .unwrap(),
        fs_err::read_to_string(host.path("etc/key"))
            .unwrap()
            .trim()
            .as_bytes(),
        lifeboat_vault::Environment::system("test"),
    )
    .unwrap();
    let first = vault.snapshots().unwrap().found.remove(0).1;
    let begin: jiff::Timestamp = "2024-12-20T00:00:00Z".parse().unwrap();
    for _ in 0..60 {
        let minutes = i64::try_from(dice.below(60 * 24 * 400)).unwrap();
        let time = begin + jiff::SignedDuration::from_mins(minutes);
        let offset = ["Z", "+05:30", "-11:00"][dice.below(3) as usize];
        let text = match offset {
            "Z" => time.to_string(),
            offset => time.to_string().replace('Z', offset),
        };
        let tags = [vec![], vec!["a"], vec!["a", "b"]][dice.below(3) as usize].clone();
        let writer = vault.writer(Default::default()).unwrap();
        let snapshot = lifeboat_vault::Snapshot {
            time: text,
            tags: tags.into_iter().map(str::to_owned).collect(),
            ..first.clone()
        };
        writer.commit(snapshot).unwrap();
    }
    for _ in 0..40 {
        let mut flags: Vec<String> = Vec::new();
        let mut count = |name: &str, dice: &mut Dice| match dice.below(3) {
            0 => {
                let number = 1 + dice.below(9);
                flags.push(format!("--keep-{name}={number}"));
                Count::Some(u32::try_from(number).unwrap())
            }
            _ => Count::None,
        };
        let mut policy = Policy {
            keep_last: count("last", &mut dice),
            keep_hourly: count("hourly", &mut dice),
            keep_daily: count("daily", &mut dice),
            keep_weekly: count("weekly", &mut dice),
            keep_monthly: count("monthly", &mut dice),
            keep_yearly: count("yearly", &mut dice),
            // Debian's restic is older than that rule.
            without_oldest: true,
            ..Policy::default()
        };
        let mut span = |name: &str, dice: &mut Dice| match dice.below(4) {
            0 => {
                let text = format!(
                    "{}m{}d{}h",
                    dice.below(14),
                    dice.below(40),
                    1 + dice.below(50)
                );
                flags.push(format!("--keep-within{name}={text}"));
                text.parse::<Span>().unwrap()
            }
            _ => Span::default(),
        };
        policy.keep_within = span("", &mut dice);
        policy.keep_within_hourly = span("-hourly", &mut dice);
        policy.keep_within_daily = span("-daily", &mut dice);
        policy.keep_within_weekly = span("-weekly", &mut dice);
        policy.keep_within_monthly = span("-monthly", &mut dice);
        policy.keep_within_yearly = span("-yearly", &mut dice);
        if dice.below(4) == 0 {
            flags.push("--keep-tag=a,b".to_owned());
            policy.keep_tag = vec!["a,b".parse().unwrap()];
        }
        if policy.is_empty() {
            continue;
        }
        let mut args = vec!["forget", "--dry-run", "--json", "--group-by", ""];
        args.extend(flags.iter().map(String::as_str));
        let said: Value = serde_json::from_str(&restic(&host, &args)).unwrap();
        let mut theirs: Vec<String> = said[0]["keep"]
            .as_array()
            .unwrap()
            .iter()
            .map(|snapshot| snapshot["id"].as_str().unwrap().to_owned())
            .collect();
        let mut points = vault.snapshots().unwrap().found;
        points.reverse();
        let looked_at: Vec<Kept<'_>> = points
            .iter()
            .map(|(_, s)| Kept {
                moment: Moment::parse(&s.time).unwrap(),
                tags: &s.tags,
            })
            .collect();
        let kept = apply(&policy, &looked_at, jiff::Timestamp::now());
        let mut ours: Vec<String> = points
            .iter()
            .zip(kept)
            .filter(|(_, rules)| !rules.is_empty())
            .map(|((id, _), _)| id.to_hex())
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{flags:?}");
    }
}
