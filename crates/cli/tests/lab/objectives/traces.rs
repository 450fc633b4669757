//! Traces by OTLP, as the project's own collector receives them.

use lifeboat_testkit::{images, server::Collector};
use serde_json::{Value, json};

use super::{Agent, app, captures, jobs, until};
use crate::support::Lab;

/// All spans of all batches.
fn spans(collector: &Collector) -> Vec<Value> {
    let batches = collector.batches().unwrap();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let resources = batches
        .iter()
        .flat_map(|batch| list(batch, "resourceSpans"));
    let scopes = resources.flat_map(|resource| list(&resource, "scopeSpans"));
    scopes.flat_map(|scope| list(&scope, "spans")).collect()
}

fn nanos(span: &Value, key: &str) -> i64 {
    span[key].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_job_and_its_phases_are_spans_in_a_real_collector() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    let collector = Collector::start(&lab.path("collector")).unwrap();
    app(&engine, "notes", &json!({"lifeboat.rpo": "1h"}));
    let flag = format!("--otlp={}", collector.endpoint());
    let agent = Agent::start_with(&lab, &engine, &[&flag]);
    until("a point", &lab, || !captures(&lab, "/notes").is_empty());
    let is_root = |span: &&Value| span["name"] == "capture default/lab/notes";
    until("its span", &lab, || {
        spans(&collector).iter().any(|span| is_root(&span))
    });
    let all = spans(&collector);
    let root = all.iter().find(is_root).unwrap();
    let attribute = |key: &str| {
        let all = root["attributes"].as_array().unwrap();
        let found = all
            .iter()
            .find(|attribute| attribute["key"] == key)
            .unwrap();
        found["value"].clone()
    };
    assert_eq!(attribute("lifeboat.outcome")["stringValue"], "done");
    let job = &jobs(&lab)[0];
    assert_eq!(attribute("lifeboat.point")["stringValue"], job["point"]);
    // Each phase of the record, within the job and in its time.
    let parts: Vec<&Value> = all
        .iter()
        .filter(|span| span["parentSpanId"] == root["spanId"])
        .collect();
    let names: Vec<&str> = parts
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    let phases = job["phases"].as_array().unwrap();
    assert_eq!(parts.len(), phases.len(), "{names:?}");
    for name in ["precopy", "frozen", "commit"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for span in &parts {
        assert_eq!(span["traceId"], root["traceId"]);
        assert!(nanos(span, "startTimeUnixNano") >= nanos(root, "startTimeUnixNano"));
        assert!(nanos(span, "endTimeUnixNano") <= nanos(root, "endTimeUnixNano"));
    }
    agent.kill();

    // One that speaks TLS: for who was told whom to trust; what is told wrongly holds nothing up.
    drop(collector);
    let collector = Collector::start_with_tls(&lab.path("secure")).unwrap();
    let flag = format!("--otlp={}", collector.endpoint());
    let authority = collector.authority().unwrap().display().to_string();
    let key = lab.path("secure/key.pem").display().to_string();
    let made = captures(&lab, "/notes").len();
    for (name, trusts) in [("none", ""), ("key", &key), ("its", &authority)] {
        let trusts = [("OTEL_EXPORTER_OTLP_CERTIFICATE", trusts)];
        let agent = Agent::start_as(&lab, &engine, &[&flag], &trusts);
        app(&engine, name, &json!({"lifeboat.rpo": "1h"}));
        until("a point of another", &lab, || {
            !captures(&lab, &format!("/{name}")).is_empty()
        });
        if name == "its" {
            until("its span", &lab, || !spans(&collector).is_empty());
        }
        agent.kill();
        let log = fs_err::read_to_string(lab.path("agent.log")).unwrap();
        let said = log.contains("holds no certificate in PEM");
        assert_eq!(said, name != "none", "{log}");
    }
    let of_one = |span: &Value| span["name"] == "capture default/lab/its";
    let roots = spans(&collector)
        .into_iter()
        .filter(|span| span["parentSpanId"].as_str().is_none_or(str::is_empty));
    assert!(roots.collect::<Vec<_>>().iter().all(of_one));

    // A collector that is away holds nothing up.
    drop(collector);
    let agent = Agent::start_with(&lab, &engine, &["--otlp=http://127.0.0.1:9"]);
    app(&engine, "more", &json!({"lifeboat.rpo": "1h"}));
    until("a point of another", &lab, || {
        !captures(&lab, "/more").is_empty()
    });
    assert_eq!(captures(&lab, "/notes").len(), made);
    agent.kill();
}
