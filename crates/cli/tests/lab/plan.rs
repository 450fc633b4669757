//! One plan for the dry run, the run, its progress and its report, in each way of restoring.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    over::Pair,
    support::{Lab, only},
    tiny,
};

/// What a step is, without what came of it.
fn planned(report: &Value) -> Vec<[&Value; 4]> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps
        .map(|s| [&s["kind"], &s["name"], &s["bytes"], &s["action"]])
        .collect()
}

fn states(report: &Value, state: &str) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps
        .filter(|s| s["state"] == state)
        .map(|s| format!("{} {}", s["kind"], s["name"]).replace('"', ""))
        .collect()
}

/// Shows the plan, carries it out and compares: every step that was shown was taken, and no other.
fn follow(lab: &Lab, engine: &PrivateEngine, line: &str, way: &str) -> [Value; 2] {
    let some = Some(engine);
    let words: Vec<&str> = line.split(' ').collect();
    let dry: Vec<&str> = words.iter().copied().chain(["-n"]).collect();
    let plan = lab.json(some, &dry, 0);
    assert_eq!(plan["way"], way);
    assert_eq!(plan["obstacles"], json!([]));
    let run: Vec<&str> = words.iter().copied().chain(["-v", "-o", "json"]).collect();
    let output = lab.run(some, &run, 0);
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(planned(&plan), planned(&done), "{line}");
    assert_eq!(done["way"], way);
    assert_eq!(states(&plan, "there"), states(&done, "there"), "{line}");
    assert_eq!(states(&plan, "planned"), states(&done, "done"), "{line}");
    let steps = done["steps"].as_array().unwrap();
    for step in steps.iter().filter(|s| s["state"] == "done") {
        let timed = step["seconds"].is_number();
        assert!(timed || step["kind"] == "image", "{line}: {step}");
    }
    // Each step was said when it began, with its number; images are loaded together.
    let text = tiny::stderr(&output);
    for (at, step) in steps.iter().enumerate() {
        if step["state"] == "done" && step["kind"] != "image" {
            let kind = step["kind"].as_str().unwrap().replace('_', " ");
            let name = step["name"].as_str().unwrap();
            let said = format!(" {}/{} {kind} {name}", at + 1, steps.len());
            assert!(
                text.lines().any(|l| l.ends_with(&said)),
                "no `{said}`: {text}"
            );
        }
    }
    // It is kept as it was said.
    let folder = fs_err::read_dir(lab.path("state/reports")).unwrap();
    let mut kept: Vec<_> = folder.map(|e| e.unwrap().path()).collect();
    kept.sort();
    let kept = fs_err::read(kept.last().unwrap()).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept, done, "{line}");
    [plan, done]
}

#[test]
fn what_was_planned_is_what_is_done_and_told_in_every_way() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let report = lab.json(some, &["backup", "pair"], 0);
    let point = format!("pair@{}", &only(&report)["id"].as_str().unwrap()[..8]);

    // Over what runs, twice: what the first one took is what the second one is told.
    let line = format!("restore {point} --replace");
    let [plan, done] = follow(&lab, &engine, &line, "replace");
    assert_eq!(plan["estimate"]["seconds"], Value::Null, "{plan:#}");
    assert_eq!(pair.word(), "first");
    let [plan, done_again] = follow(&lab, &engine, &line, "replace");
    let expected = plan["estimate"]["seconds"].as_f64().unwrap();
    assert_eq!(done_again["expected_seconds"], expected);
    let down = plan["estimate"]["downtime_seconds"].as_f64().unwrap();
    let seconds = |name: &str| -> f64 {
        let all = done["segments"].as_array().unwrap().iter();
        let found = all.filter(|s| s["name"] == name);
        found.map(|s| s["seconds"].as_f64().unwrap()).sum()
    };
    let measured = seconds("stop") + seconds("exchange") + seconds("start");
    assert!((down - measured).abs() < 1e-6, "{down} {measured}");
    let of = |kind: &str| {
        let all = plan["steps"].as_array().unwrap().iter();
        let found = all.clone().filter(|s| s["kind"] == kind);
        found
            .clone()
            .map(|s| s["expected_seconds"].clone())
            .collect::<Vec<_>>()
    };
    for kind in [
        "safety_point",
        "volume",
        "stop",
        "exchange",
        "start",
        "probe",
    ] {
        let told = of(kind);
        assert!(
            !told.is_empty() && told.iter().all(Value::is_number),
            "{kind}: {told:?}"
        );
    }
    let dry = lab.run(some, &["restore", &point, "--replace", "-n"], 0);
    let text = tiny::stdout(&dry);
    assert!(text.contains("The app is down for about"), "{text}");

    // A part over the one that is here, with who stands still around it.
    let volume = format!("restore {point} --volume pairdata --replace");
    let [plan, _] = follow(&lab, &engine, &volume, "part");
    assert!(states(&plan, "planned").contains(&"around pair-db".to_owned()));
    let service = format!("restore {point} --service pair-db --replace");
    follow(&lab, &engine, &service, "part");

    // A copy; a part that is gone; everything that is gone.
    let [_, copy] = follow(&lab, &engine, &format!("restore {point} --as try"), "copy");
    assert_eq!(copy["probes"].as_array().unwrap().len(), 2);
    lab.json(some, &["rm", "try", "--yes"], 0);
    fs_err::remove_dir_all(&pair.html).unwrap();
    let bind = format!("restore {point} --bind {}", pair.html.display());
    follow(&lab, &engine, &bind, "part");
    tiny::remove(&engine, "pair-web");
    let service = format!("restore {point} --service pair-web --keep-data");
    follow(&lab, &engine, &service, "part");
    let volume = format!("restore {point} --volume pairdata --as then");
    follow(&lab, &engine, &volume, "part");
    lab.json(some, &["rm", "then", "--yes"], 0);
    tiny::remove(&engine, "pair-web");
    tiny::remove(&engine, "pair-db");
    tiny::remove_volume(&engine, "pairdata");
    fs_err::remove_dir_all(&pair.html).unwrap();
    let [_, new] = follow(&lab, &engine, &format!("restore {point}"), "new");
    assert_eq!(pair.word(), "first");
    assert!(states(&new, "done").contains(&"start pair-web".to_owned()));
    assert_eq!(states(&new, "there").len(), 1, "the image: {new:#}");

    // The text says the same.
    let text = tiny::stdout(&lab.run(some, &["restore", &point, "--replace"], 0));
    for word in [
        "done: 1 safety point, 1 image (1 there already), ",
        "2 stopped, 2 changed places, 2 started, 2 probed, old data kept, 2 removed",
        "were expected): plan ",
        "probes: pair-",
        "which was ",
    ] {
        assert!(text.contains(word), "no `{word}`: {text}");
    }
    engine.destroy().unwrap();
}

#[test]
fn what_was_interrupted_is_told_as_one_plan() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    lab.json(some, &["backup", "pair"], 0);
    let args = ["restore", "pair", "--replace"];
    let plan = lab.json(some, &["restore", "pair", "--replace", "-n"], 0);
    lab.killed(some, &args, "replace-start");
    let done = lab.json(some, &["restore", "--continue"], 0);
    assert_eq!(planned(&plan), planned(&done));
    let before = states(&done, "before");
    for step in ["safety_point pair", "volume pairdata"] {
        assert!(before.contains(&step.to_owned()), "{before:?}");
    }
    let here = states(&done, "done");
    for step in ["start pair-db", "probe pair-web", "remove pair-db"] {
        assert!(here.contains(&step.to_owned()), "{here:?}");
    }
    assert_eq!(states(&done, "not_taken"), Vec::<String>::new());
    engine.destroy().unwrap();
}

/// The second time it is said what the first time took.
fn told_the_second_time(
    lab: &Lab,
    engine: &PrivateEngine,
    line: &str,
    way: &str,
    again: impl Fn(),
) {
    again();
    let [plan, _] = follow(lab, engine, line, way);
    assert_eq!(plan["estimate"]["seconds"], Value::Null, "{plan:#}");
    again();
    let [plan, done] = follow(lab, engine, line, way);
    let expected = &plan["estimate"]["seconds"];
    assert!(expected.is_number(), "{plan:#}");
    assert_eq!(&done["expected_seconds"], expected);
    for step in plan["steps"].as_array().unwrap() {
        let ahead = step["state"] == "planned";
        assert_eq!(step["expected_seconds"].is_number(), ahead, "{step}");
    }
    again();
    let words: Vec<&str> = line.split(' ').chain(["-n"]).collect();
    let text = tiny::stdout(&lab.run(Some(engine), &words, 0));
    assert!(
        text.contains("STEP") && text.contains("from 2 runs here"),
        "{text}"
    );
    let words: Vec<&str> = line.split(' ').collect();
    let text = tiny::stdout(&lab.run(Some(engine), &words, 0));
    assert!(text.contains("were expected): "), "{text}");
}

#[test]
fn files_images_and_definitions_are_planned_and_told_as_well() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let exec = |line: &str| {
        let api = engine.api();
        api.exec_ok("pair-db", &["sh", "-c", line]).unwrap()
    };
    exec("mkdir /data/sub && echo one >/data/sub/one");
    lab.json(Some(&engine), &["backup", "pair"], 0);

    let line = "restore pair --into pair-db:/data --no-backup";
    told_the_second_time(&lab, &engine, line, "into", || {
        exec("rm -rf /data/sub; echo other >/data/f");
    });
    assert_eq!(pair.word(), "first");
    assert_eq!(exec("cat /data/sub/one"), "one\n");

    let target = lab.path("made.yaml");
    let line = format!("restore pair --definition --target {}", target.display());
    told_the_second_time(&lab, &engine, &line, "definition", || {
        let _ = fs_err::remove_file(&target);
    });
    // In the way of the plan, too.
    let words: Vec<&str> = line.split(' ').chain(["-n"]).collect();
    let plan = lab.json(Some(&engine), &words, 1);
    let told = plan["obstacles"][0].as_str().unwrap();
    assert!(told.contains("never overwritten"), "{told}");

    let image = tiny::inspect(&engine, "pair-db")["Image"].clone();
    for name in ["pair-web", "pair-db"] {
        tiny::remove(&engine, name);
    }
    let forget = || {
        let path = format!("/images/{}?force=true", image.as_str().unwrap());
        engine.api().delete(&path).unwrap();
    };
    told_the_second_time(&lab, &engine, "restore pair --images", "images", forget);
    engine.destroy().unwrap();
}
