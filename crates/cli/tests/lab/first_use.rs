//! What a person meets in the first ten minutes: names, refusals, tables, exit codes.

use std::process::Output;

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::json;

use crate::support::{Lab, only};

/// A container `notes` that appends to the volume `notes_data`, and a volume that nobody uses.
fn create_apps(engine: &PrivateEngine) {
    images::busybox().unwrap().load(engine).unwrap();
    let api = engine.api();
    api.post("/volumes/create", &json!({"Name": "attic"}))
        .unwrap();
    let script = "i=0; while true; do i=$((i+1)); echo $i >> /data/rows; sleep 0.05; done";
    let body = json!({
        "Image": "lifeboat/busybox:latest",
        "Cmd": ["sh", "-c", script],
        "HostConfig": {"Binds": ["notes_data:/data"], "RestartPolicy": {"Name": "always"}},
    });
    api.create_container("notes", &body).unwrap();
    api.post("/containers/notes/start", &json!({})).unwrap();
}

fn rows(engine: &PrivateEngine) -> usize {
    let path = engine.volume_path("notes_data").unwrap().join("rows");
    fs_err::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .count()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn each_command_says_what_it_did_and_what_it_refused() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    create_apps(&engine);
    let run = |line: &str, code| {
        lab.run(
            Some(&engine),
            &line.split_whitespace().collect::<Vec<_>>(),
            code,
        )
    };

    // Before any vault.
    let table = stdout(&run("apps", 0));
    assert!(
        table.contains("\nnotes ") && table.contains("\nvolume:attic "),
        "{table}"
    );
    let text = stderr(&run("apps ntoes", 1));
    assert!(text.contains("did you mean `notes`"), "{text}");
    let text = stderr(&run("backup --all", 10));
    assert!(text.contains("lifeboat init"), "{text}");

    lab.init();
    let text = stdout(&run("backup --all --tag first", 0));
    for word in [
        "notes  ",
        "crash, stall ",
        "restore with: lifeboat restore notes@",
        "volume:attic  ",
    ] {
        assert!(text.contains(word), "no `{word}`: {text}");
    }
    let before = rows(&engine);
    assert!(before > 0);

    // An app that is not there; the other goes on.
    let report = lab.json(Some(&engine), &["backup", "nowhere", "notes"], 1);
    assert_eq!(report["failed"][0]["app"], "nowhere");
    assert_eq!(only(&report)["app"], "default/lab/notes");
    let table = stdout(&run("points notes", 0));
    assert!(
        table.contains("first") && table.ends_with("2 points\n"),
        "{table}"
    );

    // Over what runs: refused with the reasons, and nothing is touched.
    let output = run("restore notes --dry-run", 1);
    assert!(
        stdout(&output).contains("In the way:"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&run("restore notes", 1)).contains("notes"));
    assert!(rows(&engine) >= before);

    let api = engine.api();
    api.delete("/containers/notes?force=true").unwrap();
    api.delete("/volumes/notes_data").unwrap();
    let output = run("restore notes --dry-run", 0);
    assert!(
        !stdout(&output).contains("In the way:"),
        "{}",
        stdout(&output)
    );
    let text = stdout(&run("restore notes", 0));
    assert!(
        text.contains("running: notes") && text.contains("RTO "),
        "{text}"
    );
    assert!(rows(&engine) >= before);
    assert_eq!(
        api.get("/containers/notes/json").unwrap()["State"]["Running"],
        true
    );
    let text = stdout(&run("check --read-data", 0));
    assert!(text.contains("every byte was read"), "{text}");
}
