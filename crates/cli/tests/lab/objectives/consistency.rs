//! `lifeboat.consistency`: what it asks for is what is done, and what is less is said, marked and never counted.

use std::time::Duration;

use lifeboat_testkit::images;
use serde_json::json;

use super::{Agent, RPO, app, captures, jobs, listener, until};
use crate::{support::Lab, tiny::stderr};

#[test]
fn what_is_less_consistent_than_asked_never_counts() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    let (at, told) = listener();
    let settings = format!("[notify]\nurls = [\"generic+http://{at}/?template=json\"]\n");
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    let labels =
        |level: &str| json!({"lifeboat.consistency": level, "lifeboat.rpo": format!("{RPO}ms")});
    app(&engine, "easy", &labels("live"));
    app(&engine, "plain", &labels("crash"));
    app(&engine, "strict", &labels("application"));
    let agent = Agent::start(&lab, &engine);
    let of = |name: &str| {
        let jobs = jobs(&lab).into_iter();
        let of = jobs.filter(|job| {
            job["work"]["app"]
                .as_str()
                .is_some_and(|a| a.ends_with(name))
        });
        of.filter(|job| job["state"] == "ended").collect::<Vec<_>>()
    };
    until("all three", &lab, || {
        let kept = ["/easy", "/plain"]
            .iter()
            .all(|name| !captures(&lab, name).is_empty());
        kept && !of("/strict").is_empty()
    });
    // Nothing of it is frozen, since the label says so.
    assert!(of("/easy").iter().all(|job| job["stall"].is_null()));
    assert!(of("/plain").iter().all(|job| job["stall"].is_u64()));
    let job = &of("/strict")[0];
    assert_eq!(job["outcome"]["result"], "incomplete", "{job:#}");
    let why = job["outcome"]["why"][0].as_str().unwrap();
    assert!(
        why.contains("is crash where the policy asks for application"),
        "{why}"
    );
    let message = loop {
        let (_, message) = told.recv_timeout(Duration::from_secs(20)).unwrap();
        if message["title"].as_str().unwrap().contains("strict") {
            break message;
        }
    };
    assert_eq!(message["level"], "failure", "{message}");
    assert!(
        message["message"]
            .as_str()
            .unwrap()
            .contains("asks for application"),
        "{message}"
    );
    // It never counts, so its objective is missed, and that is said.
    until("the miss is told", &lab, || {
        let mut heard = told.try_iter();
        heard.any(|(_, m)| {
            m.to_string()
                .contains("RPO of default/lab/strict is missed")
        })
    });
    drop(agent);

    // By hand it is the same: the label holds, with an exit code of its own, and the point is kept and marked.
    let by_hand = lab.run(Some(&engine), &["backup", "strict"], 4);
    assert!(
        stderr(&by_hand).contains("asks for application"),
        "{}",
        stderr(&by_hand)
    );
    let points = lab.json(None, &["points"], 0);
    let points = points["points"].as_array().unwrap();
    for point in points {
        assert_eq!(point["partial"], point["app"] == "strict", "{point}");
    }
    assert!(points.iter().any(|point| point["app"] == "strict"));
    let easy = lab.json(Some(&engine), &["backup", "easy"], 0);
    assert_eq!(easy["protected"][0]["level"], "live", "{easy:#}");
    // What is asked for on the spot wins.
    let easy = lab.json(
        Some(&engine),
        &["backup", "easy", "--consistency", "crash"],
        0,
    );
    assert_eq!(easy["protected"][0]["level"], "crash", "{easy:#}");
    let typo = lab.run(
        Some(&engine),
        &["backup", "easy", "--consistency", "crahs"],
        2,
    );
    assert!(
        stderr(&typo).contains("did you mean `crash`"),
        "{}",
        stderr(&typo)
    );
    let policy = lab.run(Some(&engine), &["policy", "strict"], 0);
    let policy = String::from_utf8(policy.stdout).unwrap();
    assert!(policy.contains("cannot be reached yet"), "{policy}");
    lab.restic(&["check"]);
}
