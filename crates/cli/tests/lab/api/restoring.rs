//! What the commands do, over the API: an app restored from a point, pinned, looked into, compared; a copy of it beside it, and away
//! again; the restore's plan; definitions without secrets.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Served, Via};

/// Asks for an operation and follows it to its end: the job.
pub fn done(served: &Served, via: Via, wanted: &Value) -> Value {
    let job = ended(served, via, wanted);
    assert_eq!(job["state"], "done", "{job}");
    job
}

/// The same, however it ends.
pub fn ended(served: &Served, via: Via, wanted: &Value) -> Value {
    let asked = served.ask(via, "POST", "/operations", Some(wanted));
    assert_eq!(asked.status, 202, "{wanted}: {}", asked.body);
    let id = asked.json()["id"].as_u64().unwrap();
    over(served, via, id)
}

/// A job once it is over.
pub fn over(served: &Served, via: Via, id: u64) -> Value {
    let mut job = Value::Null;
    served.until("it is over", || {
        job = served
            .ask(via, "GET", &format!("/operations/{id}"), None)
            .json();
        job["state"] != "queued" && job["state"] != "running"
    });
    job
}

/// What came of it.
pub fn result(served: &Served, via: Via, job: &Value) -> Value {
    let path = format!("/operations/{}/result", job["id"]);
    let answer = served.ask(via, "GET", &path, None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Ids of an app's points, the newest first.
fn points(served: &Served, app: &str) -> Vec<String> {
    let path = format!("/points?app={app}");
    let listed = served.ask(Via::Socket, "GET", &path, None).json();
    let items = listed["items"].as_array().unwrap();
    let id = |point: &Value| point["id"].as_str().unwrap().to_owned();
    items.iter().map(id).collect()
}

fn data(served: &Served, volume: &str) -> PathBuf {
    let path = format!("/volumes/{volume}");
    let volume = served.engine.api().get(&path).unwrap();
    PathBuf::from(volume["Mountpoint"].as_str().unwrap())
}

#[test]
fn an_app_is_restored_copied_pinned_and_looked_into_over_the_api() {
    let served = Served::start(&[], "[policy.\"*\"]\nretain = \"3d\"\n");
    let script = "test -e /data/rows || echo one > /data/rows";
    served.app("blog", &json!({}), script);
    let admin = served.token("all", &["--role", "admin"]);
    let operator = served.token("run", &["--role", "operator"]);
    let (admin, operator) = (Via::Token(&admin), Via::Token(&operator));
    let rows = data(&served, "blog_data").join("rows");
    served.until("it has written", || rows.exists());
    let first = done(
        &served,
        operator,
        &json!({"kind": "backup", "app": "blog", "tags": ["first"]}),
    );
    let first = first["point"].as_str().unwrap().to_owned();
    fs_err::write(&rows, "two").unwrap();
    let second = done(&served, operator, &json!({"kind": "backup", "app": "blog"}));
    let second = second["point"].as_str().unwrap().to_owned();

    // An estimate writes nothing.
    let before = points(&served, "blog").len();
    let estimate = done(
        &served,
        operator,
        &json!({"kind": "estimate", "app": "blog"}),
    );
    let estimate = result(&served, operator, &estimate);
    assert!(
        estimate["answer"]["protected"][0]["id"].is_null(),
        "{estimate}"
    );
    assert_eq!(points(&served, "blog").len(), before);

    looked_into(&served, admin, operator, &first, &second);

    // A pin changes the id, and no forget takes the point.
    let pinned = done(
        &served,
        operator,
        &json!({"kind": "pin", "points": [format!("blog@{first}")]}),
    );
    let pinned = result(&served, operator, &pinned);
    assert_eq!(pinned["code"], 0, "{pinned}");
    let keep_one = json!({"kind": "forget", "points": ["blog"], "keep": {"last": 1}});
    let refused = served.ask(operator, "POST", "/operations", Some(&keep_one));
    refused.refused(403, "and this takes admin");
    done(&served, admin, &keep_one);
    let left = points(&served, "blog");
    assert_eq!(left.len(), 2, "the newest and the pinned one: {left:?}");
    let first = left.into_iter().find(|id| *id != second).unwrap();

    copied(&served, operator, &first);
    replaced(&served, admin, operator, &first, &rows);

    // Gone, and back onto free names.
    served
        .engine
        .api()
        .delete("/containers/blog?force=1")
        .unwrap();
    served.engine.api().delete("/volumes/blog_data").unwrap();
    served.until("it is gone", || {
        served.ask(Via::Socket, "GET", "/apps/blog", None).status == 404
    });
    let back = done(
        &served,
        operator,
        &json!({"kind": "restore", "point": second}),
    );
    let told = result(&served, operator, &back);
    assert_eq!(told["code"], 0, "{told}");
    assert_eq!(
        fs_err::read_to_string(data(&served, "blog_data").join("rows")).unwrap(),
        "two"
    );
    let nothing = ended(&served, operator, &json!({"kind": "undo_restore"}));
    assert_eq!(
        nothing["state"], "failed",
        "no restore was interrupted: {nothing}"
    );
}

/// Contents are an admin's; masked definitions everybody's.
fn looked_into(served: &Served, admin: Via, operator: Via, first: &str, second: &str) {
    let diff = format!("/points/{first}/diff/{second}");
    served
        .ask(operator, "GET", &diff, None)
        .refused(403, "takes admin");
    let diff = served.ask(admin, "GET", &diff, None);
    assert!(
        diff.body.contains("/volumes/blog_data/rows"),
        "{}",
        diff.body
    );
    let found = served.ask(admin, "GET", "/files?pattern=ro*&app=blog", None);
    assert!(found.body.contains("rows"), "{}", found.body);
    let file = format!("/points/{second}/file?path=volumes/blog_data/rows");
    served
        .ask(operator, "GET", &file, None)
        .refused(403, "takes admin");
    assert_eq!(served.ask(admin, "GET", &file, None).body, "two");
    let none = format!("/points/{second}/file?path=volumes/blog_data/none");
    served.ask(admin, "GET", &none, None).refused(404, "none");
    let stats = served.ask(operator, "GET", "/stats?app=blog", None);
    assert_eq!(stats.status, 200, "{}", stats.body);

    for path in [
        "/apps/blog/definition".to_owned(),
        format!("/points/{second}/definition"),
    ] {
        let shown = served.ask(operator, "GET", &path, None);
        assert_eq!(shown.status, 200, "{}", shown.body);
        let text = shown.body;
        assert!(
            !text.contains("s3cret") && !text.contains("sleep 1000"),
            "{text}"
        );
        assert!(text.contains("DB_PASSWORD=(masked)"), "{text}");
        let full = format!("{path}?full=true");
        served
            .ask(operator, "GET", &full, None)
            .refused(403, "takes admin");
        let full = served.ask(admin, "GET", &full, None).body;
        assert!(
            full.contains("DB_PASSWORD=s3cret") && full.contains("sleep 1000"),
            "{full}"
        );
    }
}

/// A copy beside the app that runs, and away again.
fn copied(served: &Served, operator: Via, point: &str) {
    let as_try = json!({"point": point, "as": "blog-try"});
    let plan = served.ask(operator, "POST", "/restores/plan", Some(&as_try));
    assert_eq!(plan.status, 200, "{}", plan.body);
    let plan = plan.json();
    assert_eq!(plan["refused"], false, "{plan}");
    assert!(plan["plan"].to_string().contains("\"steps\""), "{plan}");
    let copy = json!({"kind": "restore", "point": point, "as": "blog-try"});
    let made = done(served, operator, &copy);
    let told = result(served, operator, &made);
    assert_eq!(told["answer"]["name"], "blog-try", "{told}");
    let listed = served.ask(operator, "GET", "/copies", None).json();
    assert_eq!(listed["copies"][0]["name"], "blog-try", "{listed}");
    let shown = served.ask(operator, "GET", "/copies/blog-try", None);
    assert!(shown.body.contains("container"), "{}", shown.body);
    let remove =
        |confirm: Value| json!({"kind": "remove_copy", "name": "blog-try", "confirm": confirm});
    let refused = served.ask(operator, "POST", "/operations", Some(&remove(Value::Null)));
    refused.refused(409, "say its name once more");
    let refused = served.ask(
        operator,
        "POST",
        "/operations",
        Some(&remove(json!("blog"))),
    );
    refused.refused(409, "nothing was changed");
    done(served, operator, &remove(json!("blog-try")));
    let listed = served.ask(operator, "GET", "/copies", None).json();
    assert_eq!(listed["copies"], json!([]), "{listed}");
    served
        .ask(operator, "GET", "/copies/blog-try", None)
        .refused(404, "blog-try");
}

/// Over the app that runs: with its name said twice, and otherwise than it was only by an admin.
fn replaced(served: &Served, admin: Via, operator: Via, point: &str, rows: &std::path::Path) {
    let restore = |more: Value| {
        let mut wanted = json!({"kind": "restore", "point": point});
        wanted
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        wanted
    };
    let post = |via: Via, wanted: &Value| served.ask(via, "POST", "/operations", Some(wanted));
    post(operator, &restore(json!({}))).refused(409, "blog is here already");
    post(operator, &restore(json!({"replace": true}))).refused(409, "say its name once more");
    post(operator, &restore(json!({"target": "/tmp/x"}))).refused(403, "lifeboat restore --target");
    let maps =
        json!({"replace": true, "confirm": "blog", "maps": {"env": {"DB_PASSWORD": "an0ther"}}});
    post(operator, &restore(maps.clone())).refused(403, "takes admin");
    let plan = served.ask(
        operator,
        "POST",
        "/restores/plan",
        Some(&json!({"point": point})),
    );
    let plan = plan.json();
    assert_eq!(plan["refused"], true, "the names are in use: {plan}");
    done(served, admin, &restore(maps));
    assert_eq!(fs_err::read_to_string(rows).unwrap(), "one\n");
    let env = served.engine.api().get("/containers/blog/json").unwrap();
    assert!(
        env["Config"]["Env"]
            .to_string()
            .contains("DB_PASSWORD=an0ther"),
        "{env}"
    );
    // Neither the audit log nor the records hold what was secret in it.
    let lines = served
        .lab
        .json(None, &["audit", "-n", "100"], 0)
        .to_string();
    assert!(
        lines.contains("DB_PASSWORD") && !lines.contains("an0ther"),
        "{lines}"
    );
    let jobs = served.lab.json(None, &["jobs"], 0).to_string();
    assert!(!jobs.contains("an0ther"), "{jobs}");
    let listed = served.ask(operator, "GET", "/copies", None).json();
    assert_eq!(
        listed["set_aside"][0]["app"], "default/lab/blog",
        "{listed}"
    );
}
