//! What people do with it: a backup on demand, followed; policies; jobs; the screen.

use serde_json::{Value, json};

use super::{Served, Via};

const SETTINGS: &str = "[policy.blog]\nretain = \"3d\"\n[upkeep]\ncaptures = 1\n";

#[test]
fn a_backup_is_asked_for_followed_and_listed_and_policies_have_three_sources() {
    let mut served = Served::start(&[], SETTINGS);
    served.app(
        "notes",
        &json!({"lifeboat.rpo": "1h"}),
        "echo one > /data/rows",
    );
    served.app("blog", &json!({}), "echo one > /data/rows");

    backup_on_demand(&served);
    policies(&served);

    // The screen: red first, and the nag until the sheet is kept.
    let lab = &served.lab;
    let screen = || {
        let shown = lab.run(None, &["status"], 0);
        String::from_utf8(shown.stdout).unwrap()
    };
    let text = screen();
    assert!(text.contains("nobody has said yet"), "{text}");
    assert!(
        text.contains("OBJECTIVE") && text.contains("RESTARTS"),
        "{text}"
    );
    let status = lab.json(None, &["status"], 0);
    assert_eq!(status["sheet_saved"], false);
    assert_eq!(status["objectives"]["kept"], true);
    lab.run(None, &["key", "saved"], 0);
    assert!(!screen().contains("nobody has said yet"));

    // The period's evidence.
    let page = lab.path("report.html");
    let args = ["report", "--last", "1h", "--html", page.to_str().unwrap()];
    let report = lab.json(Some(&served.engine), &args, 0);
    assert_eq!(report["well"], true, "{report}");
    let apps = report["apps"].as_array().unwrap();
    assert!(
        apps.iter().all(|app| app["points"].as_u64() > Some(0)),
        "{report}"
    );
    let page = fs_err::read_to_string(page).unwrap();
    assert!(page.contains("default/lab/blog"), "{page}");

    a_running_job_is_cancelled(&served);
    the_audit_log_has_it_all(&served);
    what_was_acknowledged_is_done_after_a_kill(&mut served);
}

fn backup_on_demand(served: &Served) {
    let wanted = json!({"kind": "backup", "app": "blog"});
    let key = ["-H", "Idempotency-Key: once-and-only"];
    let asked = served.ask_with(Via::Socket, "POST", "/operations", Some(&wanted), &key);
    assert_eq!(asked.status, 202, "{}", asked.body);
    let id = asked.json()["id"].as_u64().unwrap();
    let place = asked.header("location").unwrap();
    assert_eq!(place, format!("/api/v1/operations/{id}"));
    // Sent again, it is the same.
    let again = served.ask_with(Via::Socket, "POST", "/operations", Some(&wanted), &key);
    assert_eq!((again.status, again.json()["id"].as_u64()), (202, Some(id)));
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    assert_eq!(again.header("location"), Some(place));
    let other = json!({"kind": "prune"});
    let other = served.ask_with(Via::Socket, "POST", "/operations", Some(&other), &key);
    other.refused(422, "take a new one");

    // Followed to its end; curl ends when the stream does.
    let events = format!("/operations/{id}/events");
    let followed = served.ask_with(Via::Socket, "GET", &events, None, &["-N"]);
    let events = followed.body.split("\n\n");
    let last = events
        .filter(|event| event.starts_with("event: ended"))
        .last();
    let last = last.unwrap_or_else(|| panic!("{}", followed.body));
    let data = last.lines().find_map(|line| line.strip_prefix("data: "));
    let job: Value = serde_json::from_str(data.unwrap()).unwrap();
    assert_eq!(job["state"], "done", "{job}");
    assert!(job["phases"].as_array().unwrap().len() > 2, "{job}");
    assert!(job["files"].as_u64().unwrap() > 0, "{job}");

    let point = job["point"].as_str().unwrap();
    let listed = served
        .ask(Via::Socket, "GET", "/points?app=blog&limit=1", None)
        .json();
    assert_eq!(listed["items"][0]["id"], point, "{listed}");
    assert_eq!(listed["items"][0]["app"], "default/lab/blog");
    let one = served.ask(
        Via::Socket,
        "GET",
        &format!("/points/{}", &point[..8]),
        None,
    );
    assert_eq!(one.json()["id"], point);
    let within = format!("/points/{point}/files?path=volumes/blog_data");
    let within = served.ask(Via::Socket, "GET", &within, None);
    assert_eq!(within.status, 200, "{}", within.body);
    assert!(within.body.contains("rows"), "{}", within.body);

    // Pages lead from one to the next; `notes` is captured by itself, some time.
    let number = |page: &Value| page["items"][0]["id"].as_u64().unwrap();
    served.until("there are two jobs that have ended", || {
        let jobs = served.ask(Via::Socket, "GET", "/jobs", None).json();
        let jobs = jobs["items"].as_array().cloned().unwrap_or_default();
        jobs.iter().filter(|job| job["state"] == "done").count() >= 2
    });
    let first = served.ask(Via::Socket, "GET", "/jobs?limit=1", None).json();
    let next = first["next"].as_str().unwrap();
    let second = served.ask(
        Via::Socket,
        "GET",
        &format!("/jobs?limit=1&cursor={next}"),
        None,
    );
    assert!(number(&second.json()) < number(&first));
    let shown = served.lab.run(None, &["jobs", "show", &id.to_string()], 0);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("capture default/lab/blog"), "{shown}");
}

fn policies(served: &Served) {
    let set = |app: &str, change: Value| {
        served.ask(
            Via::Socket,
            "PUT",
            &format!("/policies/{app}"),
            Some(&change),
        )
    };
    let refused = set("notes", json!({"rpo": "15m"}));
    let problem = refused.refused(409, "label lifeboat.rpo on notes");
    assert_eq!(problem["overruled"][0]["field"], "rpo");
    let refused = set("blog", json!({"rpo": "30m", "retain": "9d"}));
    refused.refused(409, "lifeboat.toml, [policy.\"blog\"]");
    set("blog", json!({"rpo": "soon"})).refused(400, "`soon` is no length of time");
    set("blog", json!({"rop": "1h"})).refused(400, "rop");
    set("blog", json!({})).refused(400, "nothing is set");

    let holds = set("blog", json!({"rpo": "30m"}));
    assert_eq!(holds.status, 200, "{}", holds.body);
    let value = &holds.json()["values"]["rpo"];
    assert_eq!(
        (&value["value"], &value["by"]),
        (&json!("30m"), &json!("API"))
    );
    let shown = served.lab.run(Some(&served.engine), &["policy", "blog"], 0);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("API") && shown.contains("30m"), "{shown}");
    let back = served
        .ask(Via::Socket, "DELETE", "/policies/blog", None)
        .json();
    assert_eq!(back["values"]["rpo"]["by"], "default", "{back}");
}

fn a_running_job_is_cancelled(served: &Served) {
    let write = "dd if=/dev/urandom of=/data/big bs=1M count=500 2>/dev/null; touch /data/done";
    served.app("large", &json!({"lifeboat.enable": "false"}), write);
    let volume = served.engine.api().get("/volumes/large_data").unwrap();
    let written = format!("{}/done", volume["Mountpoint"].as_str().unwrap());
    served.until("it is written", || std::path::Path::new(&written).exists());
    let wanted = json!({"kind": "backup", "app": "large"});
    let refused = served.ask(Via::Socket, "POST", "/operations", Some(&wanted));
    refused.refused(409, "opted out");
    served
        .engine
        .api()
        .delete("/containers/large?force=1")
        .unwrap();
    served.app("large", &json!({}), "true");
    served.until("it is protected now", || {
        let app = served.ask(Via::Socket, "GET", "/apps/large", None).json();
        app["state"]
            .as_str()
            .is_some_and(|state| state != "unprotected")
    });
    let asked = served.ask(Via::Socket, "POST", "/operations", Some(&wanted));
    assert_eq!(asked.status, 202, "{}", asked.body);
    // It may have begun by itself: the newest one that is not over.
    let path = "/jobs?limit=5";
    let mut id = 0;
    served.until("it copies", || {
        let jobs = served.ask(Via::Socket, "GET", path, None).json();
        let jobs = jobs["items"].as_array().unwrap().clone();
        let running = jobs.iter().find(|job| job["state"] == "running");
        id = running.map_or(0, |job| job["id"].as_u64().unwrap());
        let now = served.ask(Via::Socket, "GET", &format!("/jobs/{id}"), None);
        now.status == 200 && now.json()["bytes"].as_u64() > Some(0)
    });
    let shown = served.lab.run(None, &["jobs", "show", &id.to_string()], 0);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("now ") && shown.contains("MiB"), "{shown}");
    served
        .lab
        .run(None, &["jobs", "cancel", &id.to_string()], 0);
    let mut state = Value::Null;
    served.until("it ends", || {
        state = served
            .ask(Via::Socket, "GET", &format!("/jobs/{id}"), None)
            .json()["state"]
            .clone();
        state != "running"
    });
    assert_eq!(state, "cancelled");
    let over = served
        .lab
        .run(None, &["jobs", "cancel", &id.to_string()], 2);
    let said = String::from_utf8(over.stderr).unwrap();
    assert!(said.contains("is over: cancelled"), "{said}");
    let none = served.ask(Via::Socket, "POST", "/jobs/99999/cancel", None);
    none.refused(404, "there is no job 99999");
}

fn what_was_acknowledged_is_done_after_a_kill(served: &mut Served) {
    // One at a time: the second waits when the agent is killed.
    let asked = ["blog", "notes"].map(|app| {
        let wanted = json!({"kind": "backup", "app": app});
        let asked = served.ask(Via::Socket, "POST", "/operations", Some(&wanted));
        assert_eq!(asked.status, 202, "{}", asked.body);
        asked.json()["id"].as_u64().unwrap()
    });
    served.kill();
    let left = served.lab.json(None, &["jobs"], 0);
    let states = asked.map(|id| {
        let jobs = left.as_array().unwrap();
        jobs.iter().find(|job| job["id"] == id).unwrap()["state"].clone()
    });
    assert_eq!(states[1], "queued");
    served.begin(&[]);
    for id in asked {
        let path = format!("/operations/{id}");
        let mut job = Value::Null;
        served.until("it is over", || {
            job = served.ask(Via::Socket, "GET", &path, None).json();
            job["state"] != "queued" && job["state"] != "running"
        });
        assert_eq!(job["state"], "done", "{job}");
    }
}

fn the_audit_log_has_it_all(served: &Served) {
    let lab = &served.lab;
    let lines = lab.json(None, &["audit", "-n", "100"], 0);
    let lines = lines.as_array().unwrap();
    let has = |action: &str, outcome: &str| {
        lines.iter().any(|line| {
            let is = line["action"].as_str().unwrap().starts_with(action);
            is && line["outcome"] == outcome && line["role"] == "admin"
        })
    };
    assert!(has("PUT /api/v1/policies/blog", "200"), "{lines:?}");
    assert!(has("PUT /api/v1/policies/notes", "409"), "{lines:?}");
    assert!(has("POST /api/v1/operations", "202"), "{lines:?}");
    assert!(has("init", "exit code 0"), "{lines:?}");
    assert!(has("key saved", "exit code 0"), "{lines:?}");
    let by_agent = lines.iter().filter(|line| line["who"] == "agent");
    assert!(by_agent.count() > 0, "{lines:?}");
    let asked = served
        .ask(Via::Socket, "GET", "/audit/verdict", None)
        .json();
    assert_eq!(asked["wrong"], json!([]), "{asked}");
    let verdict = lab.json(None, &["audit", "verify"], 0);
    let head = verdict["head"].as_str().unwrap();
    lab.run(None, &["audit", "verify", "--kept", head], 0);

    // Somebody who was never there.
    let log = lab.path("state/audit/audit.jsonl");
    let text = fs_err::read_to_string(&log).unwrap();
    let at = text.find("PUT /api/v1/policies/blog").unwrap();
    let changed = format!("{}GET{}", &text[..at], &text[at + 3..]);
    fs_err::write(&log, changed).unwrap();
    let found = lab.run(None, &["audit", "verify"], 1);
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.contains("was changed"), "{found}");
    // A line taken out.
    let cut: String = text.split_inclusive('\n').skip(1).collect();
    fs_err::write(&log, cut).unwrap();
    lab.run(None, &["audit", "verify"], 1);
    fs_err::write(&log, text).unwrap();
    lab.run(None, &["audit", "verify"], 0);
}
