//! The weekly digest: sent once, also by an agent that starts again, and by one that was away at its time.

use std::time::Duration;

use lifeboat_objectives::Records;
use lifeboat_plan::schedule::Time;
use lifeboat_testkit::images;
use serde_json::{Value, json};

use super::{Agent, app, captures, listener, until};
use crate::support::Lab;

#[test]
fn the_digest_comes_once_a_week_although_the_agent_restarts() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    let (at, told) = listener();
    let settings = format!("[notify]\nurls = [\"generic+http://{at}/?template=json\"]\n");
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    app(&engine, "notes", &json!({}));
    app(&engine, "scratch", &json!({"lifeboat.enable": "false"}));
    let digests = |wait: u64| -> Vec<Value> {
        let mut all = Vec::new();
        while let Ok((_, message)) = told.recv_timeout(Duration::from_secs(wait)) {
            if message["title"]
                .as_str()
                .unwrap()
                .starts_with("The week of")
            {
                all.push(message);
            }
        }
        all
    };
    let agent = Agent::start(&lab, &engine);
    until("a point", &lab, || !captures(&lab, "/notes").is_empty());
    // The first start begins to count.
    assert_eq!(digests(3), [] as [Value; 0]);
    agent.kill();
    // The last one was more than a week ago: the agent was away at its time.
    let records = Records::open(&lab.path("state")).unwrap();
    let sent = records.mark("digest").unwrap().unwrap();
    records
        .set_mark("digest", sent.minus(8 * 86_400_000))
        .unwrap();
    drop(records);
    let agent = Agent::start(&lab, &engine);
    let sent = digests(6);
    assert_eq!(sent.len(), 1, "{sent:?}");
    let said = sent[0]["message"].as_str().unwrap();
    assert!(said.contains("protected: 1 of 1 apps"), "{said}");
    assert!(
        said.contains("- default/lab/scratch (label lifeboat.enable on scratch)"),
        "{said}"
    );
    assert!(
        said.contains("next to run out: default/lab/notes"),
        "{said}"
    );
    assert_eq!(sent[0]["level"], "info");
    agent.kill();
    let agent = Agent::start(&lab, &engine);
    assert_eq!(digests(5), [] as [Value; 0], "once a week");
    agent.kill();
    let records = Records::look(&lab.path("state")).unwrap().unwrap();
    let now = Time::of(jiff::Timestamp::now());
    assert!(now.since(records.mark("digest").unwrap().unwrap()) < 60_000);
}
