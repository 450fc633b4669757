//! A replacement that is killed anywhere ends whole, either way: `--continue` finishes it, `--undo` goes
//! back, and the same command run again goes on.

use crate::{
    over::Pair,
    support::{Lab, only},
    tiny,
};

/// Where it is killed, and whether there is a way back from there.
pub const STEPS: [(&str, bool); 20] = [
    ("replace-begin", true),
    ("replace-safety", true),
    ("committed", true),
    ("replace-missing", true),
    ("replace-stage", true),
    ("replace-staged", true),
    ("replace-stage:2", true),
    ("replace-containers", true),
    ("replace-cut", true),
    ("replace-stop", true),
    ("replace-stop:2", true),
    ("replace-aside:2", true),
    ("replace-exchange", true),
    ("replace-exchange:2", true),
    ("replace-name:2", true),
    ("replace-start", true),
    ("start-container:2", true),
    ("replace-validate", true),
    ("replace-recorded", false),
    ("replace-remove:2", false),
];

/// Where the way back is killed.
const BACK: [&str; 4] = [
    "back-begin",
    "back-exchange",
    "back-containers",
    "back-clean",
];

#[test]
fn wherever_a_replacement_is_killed_either_way_ends_it_whole() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let report = lab.json(Some(&engine), &["backup", "pair"], 0);
    let point = format!("pair@{}", &only(&report)["id"].as_str().unwrap()[..8]);
    pair.write("second");
    let names = pair.names();
    for (at, (step, has_way_back)) in STEPS.iter().enumerate() {
        // Quicker, where the safety point is not what it is about.
        let args = ["restore", &point, "--replace", "--no-safety-point"];
        let args = &args[..if at < 4 { 3 } else { 4 }];
        lab.killed(Some(&engine), args, step);
        // A restore of another kind would mix two.
        if at == 7 {
            let line = format!("restore {point}");
            tiny::refused(&lab, Some(&engine), &line, 1, &["--continue", "--undo"]);
        }
        if *has_way_back {
            lab.json(Some(&engine), &["restore", "--undo"], 0);
            whole(&lab, &pair, "second", &names, step);
            lab.killed(Some(&engine), args, step);
        } else {
            tiny::refused(&lab, Some(&engine), "restore --undo", 1, &["--continue"]);
        }
        // The same command goes on as well; without a point it means the one that was begun.
        let again: &[&str] = match at % 3 {
            0 => &["restore", "--continue"],
            1 => &["restore", "--continue", "pair"],
            _ => &["restore", "pair", "--replace"],
        };
        lab.json(Some(&engine), again, 0);
        whole(&lab, &pair, "first", &names, step);
        pair.write("second");
    }
    for back in BACK {
        lab.killed(
            Some(&engine),
            &["restore", &point, "--replace"],
            "start-container:2",
        );
        lab.killed(Some(&engine), &["restore", "--undo"], back);
        lab.json(Some(&engine), &["restore", "--undo"], 0);
        whole(&lab, &pair, "second", &names, back);
    }
    tiny::refused(
        &lab,
        Some(&engine),
        "restore --continue",
        1,
        &["no restore was interrupted"],
    );
    engine.destroy().unwrap();
}

/// One of the two, whole, and nothing of ours left but what was set aside.
fn whole(lab: &Lab, pair: &Pair<'_>, word: &str, names: &[String], step: &str) {
    assert_eq!(pair.word(), word, "{step}");
    assert_eq!(pair.names(), names, "{step}");
    assert_eq!(lab.begun(), Vec::<String>::new(), "{step}");
    let output = lab
        .command(None, &["rm", "pair", "--yes", "-o", "json"])
        .output();
    let _ = output.unwrap();
    let beside = fs_err::read_dir(pair.html.parent().unwrap()).unwrap();
    let beside: Vec<String> = beside
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("lifeboat-aside"))
        .collect();
    assert!(beside.is_empty(), "{step}: {beside:?}");
}
