//! The agent is killed in the middle of a restore that was ordered: the job is found, and closed or waited for; the restore goes on, or
//! back, by the API.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};

use super::{
    Served, Via,
    restoring::{done, over, result},
};
use crate::{
    parts_pieces::small,
    tiny::{self, Steps},
};

/// Nothing begins by itself, which would be held too.
const SETTINGS: &str = "[policy.\"*\"]\nprotect = false\n";

/// Asks for a restore and holds it between two stages, its volumes made and its binds not: the job's number.
fn held(served: &Served, steps: &Steps) -> u64 {
    let wanted = json!({"kind": "restore", "point": "app"});
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let asked = served.ask(Via::Socket, "POST", "/operations", Some(&wanted));
            assert_eq!(asked.status, 202, "{}", asked.body);
            asked.json()["id"].as_u64().unwrap()
        });
        steps.until("restore-project", || {});
        asking.join().unwrap()
    })
}

fn record(served: &Served, id: u64) -> Value {
    let jobs = served.lab.json(None, &["jobs", "-n", "100"], 0);
    let mut jobs = jobs.as_array().unwrap().iter();
    jobs.find(|job| job["id"] == id).unwrap().clone()
}

/// `kill -9` of a job's process.
fn kill_job(served: &Served, id: u64) {
    let pid = record(served, id)["owner"]["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Everything of the app but what the point holds.
fn lose(served: &Served) {
    for name in ["app-side-1", "app-web-1", "app-db-1"] {
        tiny::remove(&served.engine, name);
    }
    for name in ["app_data", "app_shared"] {
        tiny::remove_volume(&served.engine, name);
    }
    served.engine.api().delete("/networks/app_net").unwrap();
    fs_err::remove_dir_all(served.lab.path("html")).unwrap();
    served.until("it is gone", || {
        served.ask(Via::Socket, "GET", "/apps/app", None).status == 404
    });
}

fn row(served: &Served) -> String {
    let volume = served.engine.volume_path("app_data").unwrap();
    fs_err::read_to_string(volume.join("row")).unwrap()
}

#[test]
fn a_restore_whose_agent_is_killed_is_found_and_goes_on_or_back() {
    let mut served = Served::start(&[], SETTINGS);
    small(&served.lab, &served.engine);
    served.until("the app is known", || {
        served.ask(Via::Socket, "GET", "/apps/app", None).status == 200
    });
    let backup = json!({"kind": "backup", "app": "app", "now": true});
    done(&served, Via::Socket, &backup);
    let whole = tiny::names(&served.engine);
    let path = served.lab.path("steps");
    let env = [("LIFEBOAT_TEST_LOG_STEPS", path.as_path())];

    // With its job: nobody is there to end it, and nothing of it is under way for ever.
    lose(&served);
    let empty = tiny::names(&served.engine);
    served.kill();
    served.begin_with(&[], &env);
    let steps = Steps::make(&served.lab);
    let id = held(&served, &steps);
    // The agent first, which would see the other end.
    served.kill();
    kill_job(&served, id);
    assert_eq!(record(&served, id)["state"], "running");
    steps.release(|| ());
    served.begin_with(&[], &env);
    let job = over(&served, Via::Socket, id);
    assert_eq!(job["state"], "interrupted", "{job}");
    assert_ne!(tiny::names(&served.engine), whole);
    let wanted = json!({"kind": "continue_restore", "app": "app"});
    let viewer = served.token("look", &["--role", "viewer"]);
    served
        .ask(Via::Token(&viewer), "POST", "/operations", Some(&wanted))
        .refused(403, "takes operator");
    let on = done(&served, Via::Socket, &wanted);
    assert_eq!(result(&served, Via::Socket, &on)["code"], 0);
    assert_eq!(tiny::names(&served.engine), whole);
    assert_eq!(row(&served), "first\n");
    assert_eq!(served.lab.begun(), Vec::<String>::new());

    // The agent alone: its job goes on, and the next agent says how it ended.
    lose(&served);
    let steps = Steps::make(&served.lab);
    let id = held(&served, &steps);
    served.kill();
    served.begin(&[]);
    let path = format!("/operations/{id}");
    let now = served.ask(Via::Socket, "GET", &path, None).json();
    assert_eq!(now["state"], "running", "{now}");
    let mut job = Value::Null;
    steps.release(|| job = over(&served, Via::Socket, id));
    assert_eq!(job["state"], "done", "{job}");
    let told = result(&served, Via::Socket, &job);
    assert_eq!(told["code"], 0, "{told}");
    assert!(told["answer"]["running"].is_array(), "{told}");
    assert_eq!(tiny::names(&served.engine), whole);

    given_up(&mut served, &env);

    // Taken back: nothing of it is left.
    lose(&served);
    let steps = Steps::make(&served.lab);
    let id = held(&served, &steps);
    kill_job(&served, id);
    let job = over(&served, Via::Socket, id);
    assert_eq!(job["state"], "interrupted", "its agent sees it too: {job}");
    steps.release(|| ());
    done(&served, Via::Socket, &json!({"kind": "undo_restore"}));
    assert_eq!(tiny::names(&served.engine), empty);
    assert_eq!(served.lab.begun(), Vec::<String>::new());
}

/// ^C at a command that the agent does: the job ends, cleanly, and the command with it.
fn given_up(served: &mut Served, env: &[(&str, &Path)]) {
    served.kill();
    served.begin_with(&[], env);
    let points = || served.lab.json(None, &["points"], 0)["points"].to_string();
    let before = points();
    let steps = Steps::make(&served.lab);
    let mut command = served.lab.command(Some(&served.engine), &["backup", "app"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let command = command.spawn().unwrap();
    steps.until("precopy", || {});
    let pid = rustix::process::Pid::from_child(&command);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    served.until("the job is asked to end", || {
        let audit = served.ask(Via::Socket, "GET", "/audit", None).body;
        audit.contains("/cancel")
    });
    let mut ended = None;
    steps.release(|| ended = Some(command.wait_with_output().unwrap()));
    let ended = ended.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(
        said.contains("is asked to end, and is waited for"),
        "{said}"
    );
    let jobs = served.ask(Via::Socket, "GET", "/jobs?limit=1", None).json();
    let job = &jobs["items"][0];
    assert_eq!(
        (&job["what"], &job["state"]),
        (&json!("backup default/lab/app"), &json!("cancelled"))
    );
    assert_eq!(points(), before);
    assert!(tiny::runs(&served.engine, "app-db-1"));
}
