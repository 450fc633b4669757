//! Commands by way of the agent: the same output and the same exit code as without it; people of its groups; `[api]` in the settings;
//! keys of the vault.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::{Served, Via, restoring::done};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Without what differs from run to run: ids, sizes and times, with their units.
fn shape(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let figure = word.chars().any(|c| c.is_ascii_digit());
        let unit = matches!(
            word.trim_end_matches(','),
            "B" | "KiB" | "MiB" | "ms" | "s" | "µs"
        );
        match (figure, unit) {
            (_, true) => {}
            (true, _) => words.push("#"),
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// Names of the members, all the way down.
fn members(value: &Value) -> Vec<String> {
    match value {
        Value::Object(all) => all
            .iter()
            .flat_map(|(name, value)| {
                let below = members(value);
                let below = below
                    .into_iter()
                    .map(move |below| format!("{name}.{below}"));
                std::iter::once(name.clone()).chain(below)
            })
            .collect(),
        Value::Array(all) => all.first().map(members).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[test]
fn commands_go_by_way_of_the_agent_and_look_the_same() {
    let open = tempfile::Builder::new()
        .prefix("lb-")
        .tempdir_in("/tmp")
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(open.path(), mode).unwrap();
    let second = open.path().join("api");
    let socket = second.to_str().unwrap();
    let far = open.path().join("far").display().to_string();
    let section = |more: &str| {
        format!(
            "[policy.\"*\"]\nprotect = false\n[copy.far]\nto = \"{far}\"\nrpo = \"30d\"\n[api]\nsocket = \"{socket}\"\n{more}"
        )
    };
    let served = Served::start(&[], &section("viewers = [\"games\"]\n"));
    served.app("blog", &json!({}), "echo one > /data/rows");

    looks_the_same(&served);
    every_verb(&served, &far);
    people_of_a_group(&served, open.path(), socket);
    keys(&served);
    settings(&served, &section);
}

/// Once by the agent, which has a record of it, and once without.
fn looks_the_same(served: &Served) {
    let (lab, engine) = (&served.lab, Some(&served.engine));
    let count = || {
        let jobs = lab.json(None, &["jobs", "-n", "100"], 0).to_string();
        jobs.matches("\"backup default/lab/blog\"").count()
    };
    let by_agent = text(&lab.run(engine, &["backup", "blog", "--tag", "x"], 0));
    assert_eq!(count(), 1);
    let alone = ["--no-agent", "backup", "blog", "--tag", "x"];
    let alone = text(&lab.run(engine, &alone, 0));
    assert_eq!(count(), 1);
    assert_eq!(shape(&by_agent), shape(&alone));
    assert!(by_agent.contains("restore with: lifeboat restore blog@"));
    let by_agent = lab.json(engine, &["backup", "blog"], 0);
    assert_eq!(count(), 2);
    let alone = lab.json(engine, &["--no-agent", "backup", "blog"], 0);
    assert_eq!(members(&by_agent), members(&alone));
    // Its point is in the record.
    let listed = served.ask(Via::Socket, "GET", "/jobs", None).json();
    let id = &by_agent["protected"][0]["id"];
    let jobs = listed["items"].as_array().unwrap();
    assert!(jobs.iter().any(|job| job["point"] == *id), "{listed}");

    let restored = |flags: &[&str], name: &str| {
        let args = [flags, &["restore", "blog", "--as", name]].concat();
        let shown = text(&lab.run(engine, &args, 0)).replace(name, "NAME");
        lab.run(engine, &["rm", name, "--yes"], 0);
        shape(&shown)
    };
    // From the second on, how long it will take is known.
    restored(&[], "tryzero");
    assert_eq!(restored(&[], "tryone"), restored(&["--no-agent"], "trytwo"));

    // What fails says the same with the same exit code.
    for args in [["backup", "blgo"], ["restore", "blog"]] {
        let by_agent = lab.run(engine, &args, 1);
        let alone = lab.run(engine, &[&["--no-agent"][..], &args].concat(), 1);
        assert_eq!(text(&by_agent), text(&alone));
        assert_eq!(said(&by_agent), said(&alone));
    }
}

/// How many jobs there are: nothing begins by itself.
fn orders(served: &Served) -> usize {
    let jobs = served.ask(Via::Socket, "GET", "/jobs?limit=1000", None);
    jobs.json()["items"].as_array().unwrap().len()
}

/// By the agent, which has a record of it, and alone: both outputs, with the same exit code.
fn both(served: &Served, args: &[&str], code: i32) -> [Output; 2] {
    let (lab, engine) = (&served.lab, Some(&served.engine));
    let before = orders(served);
    let by_agent = lab.run(engine, args, code);
    assert!(orders(served) > before, "{args:?}: it did it by itself");
    let before = orders(served);
    let alone = lab.run(engine, &[&["--no-agent"][..], args].concat(), code);
    assert_eq!(orders(served), before, "{args:?}");
    [by_agent, alone]
}

/// But for locks.
fn files_of_the_vault(served: &Served) -> BTreeSet<PathBuf> {
    let vault = served.lab.vault();
    let mut found = BTreeSet::new();
    let mut next = vec![vault.clone()];
    while let Some(folder) = next.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path == vault.join("locks") => {}
                true => next.push(path),
                false => drop(found.insert(path)),
            }
        }
    }
    found
}

/// The verbs that change or read the vault, or what a restore made.
fn every_verb(served: &Served, far: &str) {
    let (lab, engine) = (&served.lab, Some(&served.engine));
    // Less consistent than asked is an exit code of its own.
    let asks = json!({"lifeboat.consistency": "application"});
    served.app("notes", &asks, "echo one > /data/rows");
    let [by_agent, alone] = both(served, &["backup", "--all"], 4).map(|output| text(&output));
    assert_eq!(shape(&by_agent), shape(&alone));
    for app in ["blog", "notes"] {
        let line = format!("restore with: lifeboat restore {app}@");
        assert!(by_agent.contains(&line), "{by_agent}");
    }
    let [by_agent, alone] = both(served, &["backup", "blog", "notes", "-o", "json"], 4)
        .map(|output| serde_json::from_slice::<Value>(&output.stdout).unwrap());
    assert_eq!(members(&by_agent), members(&alone));
    assert_eq!(by_agent["protected"].as_array().unwrap().len(), 2);
    // One that is nowhere: the command says so itself, and saves the others.
    let before = orders(served);
    lab.run(engine, &["backup", "blog", "blgo"], 1);
    assert_eq!(orders(served), before);

    // What changes nothing says the very same, once nobody else writes: the agent saves definitions after a while.
    served.until("the definitions are saved", || {
        ["blog", "notes"].iter().all(|app| {
            let path = format!("/lifeboat/default/lab/definition/{app}");
            let saved = lab.restic(&["snapshots", "--json", "--path", &path]);
            saved.contains("short_id")
        })
    });
    let init = ["--config-dir", "--state-dir"].map(|dir| [dir.to_owned(), format!("{far}{dir}")]);
    let key = lab.key();
    let made = lab
        .command(None, &["--vault", far, "--password-file"])
        .arg(key)
        .args(init.iter().flatten())
        .args(["init", "--sheet", &format!("{far}-sheet")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    for line in [
        "forget --keep-last 1 --dry-run",
        "forget blog --keep-within 3d --keep-daily 7 --group-by app,tags",
        "prune --dry-run --max-unused 0",
        "check",
        "check --read-data",
        "check --read-data-subset 1/2 -o json",
        &format!("copy --to {far} --dry-run"),
        &format!("copy --to {far} --app blog --dry-run -o json"),
        "restore --continue",
        "restore --undo notes",
        "rm nothing --yes",
        "rm --expired",
    ] {
        let fails = line.contains("restore") || line.contains("nothing");
        let args: Vec<&str> = line.split(' ').collect();
        // A definition may still come in between, after all that was made and taken away before.
        let [by_agent, alone] = loop {
            let before = files_of_the_vault(served);
            let outputs = both(served, &args, i32::from(fails));
            if files_of_the_vault(served) == before {
                break outputs;
            }
        };
        let json = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
        match line.ends_with("json") {
            true => assert_eq!(json(&by_agent), json(&alone), "{line}"),
            false => assert_eq!(text(&by_agent), text(&alone), "{line}"),
        }
        assert_eq!(said(&by_agent), said(&alone), "{line}");
    }
    // What changes something says the same of other points.
    for line in [
        "pin blog",
        "unpin blog",
        "prune",
        "forget --keep-last 1",
        "forget blog notes --keep-last 1 --prune",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        both(served, &args, 0);
    }
    let copied = text(&lab.run(engine, &["copy", "--to", far], 0));
    assert!(copied.contains("copied from"), "{copied}");
    let [by_agent, alone] = both(served, &["copy", "--to", far], 0).map(|output| text(&output));
    assert_eq!(by_agent, alone);
    // Another place is none of the agent's.
    let before = orders(served);
    lab.run(engine, &["copy", "--to", "/nowhere"], 10);
    assert_eq!(orders(served), before);
}

/// Not root: what may be seen over the second socket, as root sees it.
fn people_of_a_group(served: &Served, open: &std::path::Path, socket: &str) {
    let program = open.join("lifeboat");
    fs_err::copy(env!("CARGO_BIN_EXE_lifeboat"), &program).unwrap();
    let as_group = |group: &str, args: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", group, "--clear-groups"])
            .arg(&program)
            .args(args)
            .args(["--agent-socket", socket])
            .env("LIFEBOAT_CONFIG_DIR", served.lab.path("etc"))
            .env("LIFEBOAT_STATE_DIR", served.lab.path("state"))
            .output()
            .unwrap()
    };
    let status = as_group("games", &["status"]);
    assert!(
        matches!(status.status.code(), Some(0 | 20)),
        "{}",
        said(&status)
    );
    assert!(text(&status).contains("blog"), "{}", text(&status));
    let verbs = [
        ("points", "blog"),
        ("jobs", "blog"),
        ("policy", "blog"),
        ("events", "agent"),
    ];
    for (verb, word) in verbs {
        let shown = as_group("games", &[verb]);
        assert!(shown.status.success(), "{verb}: {}", said(&shown));
        assert!(text(&shown).contains(word), "{verb}: {}", text(&shown));
    }
    let points = served.lab.run(Some(&served.engine), &["points"], 0);
    assert_eq!(text(&as_group("games", &["points"])), text(&points));
    let refused = as_group("games", &["backup", "blog"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(
        said(&refused).contains("this takes root"),
        "{}",
        said(&refused)
    );
    let nobody = said(&as_group("nogroup", &["status"]));
    assert!(
        nobody.contains("your user may not ask this agent"),
        "{nobody}"
    );
}

/// A password comes in the body of a request and is nowhere afterwards.
fn keys(served: &Served) {
    let wanted = json!({"password": "an0ther-s3cret", "user": "anna"});
    let once = ["-H", "Idempotency-Key: one-key"];
    let made = served.ask_with(Via::Socket, "POST", "/keys", Some(&wanted), &once);
    assert_eq!(made.status, 201, "{}", made.body);
    let again = served.ask_with(Via::Socket, "POST", "/keys", Some(&wanted), &once);
    assert_eq!(again.body, made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let listed = served.ask(Via::Socket, "GET", "/keys", None).json();
    let keys = listed["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "{listed}");
    let current = keys.iter().find(|key| key["current"] == true).unwrap();
    let current = current["id"].as_str().unwrap().to_owned();

    let file = served.lab.path("second");
    fs_err::write(&file, "an0ther-s3cret").unwrap();
    let opens = ["--password-file", file.to_str().unwrap(), "points"];
    served.lab.run(None, &opens, 0);
    let refused = served.ask(Via::Socket, "DELETE", &format!("/keys/{current}"), None);
    refused.refused(409, "");
    let removed = served.ask(Via::Socket, "DELETE", &format!("/keys/{id}"), None);
    assert_eq!(removed.status, 200, "{}", removed.body);
    served.lab.run(None, &opens, 12);
    fs_err::remove_file(&file).unwrap();

    let found = Command::new("grep")
        .args(["-rla", "an0ther-s3cret"])
        .args([served.lab.path("state"), served.lab.path("etc")])
        .arg(served.lab.path("agent.log"))
        .output()
        .unwrap();
    assert_eq!(text(&found), "", "the password was kept");
}

/// SIGHUP: a typo is said and changes nothing; a change holds.
fn settings(served: &Served, section: &dyn Fn(&str) -> String) {
    let file = served.lab.path("etc/lifeboat.toml");
    let log = || fs_err::read_to_string(served.lab.path("agent.log")).unwrap();
    let status = served.ask(Via::Socket, "GET", "/status", None).json();
    let pid = status["pid"].to_string();
    let reload = || {
        let done = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
        assert!(done.success());
    };
    fs_err::write(&file, section("viewrs = [\"games\"]\n")).unwrap();
    reload();
    served.until("the typo is said", || {
        log().contains("[api] has no `viewrs` (did you mean `viewers`?) (line 8)")
    });
    let tokens = served.lab.path("others.toml");
    let more = format!("tokens = \"{}\"\n", tokens.display());
    fs_err::write(&file, section(&more)).unwrap();
    let token = served.token("other", &["--role", "viewer"]);
    assert!(tokens.exists());
    let asked = || served.ask(Via::Token(&token), "GET", "/about", None);
    asked().refused(401, "not known here");
    reload();
    served.until("the tokens of the other file hold", || {
        asked().status == 200
    });
    served.until("the app is known again", || {
        served.ask(Via::Socket, "GET", "/apps/blog", None).status == 200
    });
    let wanted = json!({"kind": "backup", "app": "blog", "now": true});
    let job = done(served, Via::Socket, &wanted);
    assert!(job["point"].is_string(), "{job}");
}
