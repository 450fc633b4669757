//! Real apps replaced under load and killed at every step: `cargo xtask test --lab --all soak_over`. What `kill_over`
//! shows in each run with a small app.

use lifeboat_testkit::{
    compose::Project,
    sample_app::{Acked, SampleApp, diff},
};

use crate::{
    kill_over::STEPS,
    support::{Lab, began, only},
    tiny,
};

#[test]
fn soak_over_the_sample_app_under_load_killed_at_every_step() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "shop"], 0);
    let point = only(&report).clone();
    let id = point["id"].as_str().unwrap();
    let before = app.fingerprint(&engine).unwrap();
    let promised = Acked::before(&app.acked().unwrap(), began(&point));
    assert!(!promised.is_empty());
    for (at, (step, has_way_back)) in STEPS.into_iter().enumerate() {
        app.wait_ready(&engine).unwrap();
        let args = ["restore", id, "--replace", "--no-safety-point"];
        let args = &args[..if at < 4 { 3 } else { 4 }];
        lab.killed(Some(&engine), args, step);
        if has_way_back && at % 2 == 0 {
            // The old one, whole, with every row that was acknowledged to it.
            lab.json(Some(&engine), &["restore", "--undo"], 0);
            let acked = app.acked().unwrap();
            app.wait_ready(&engine).unwrap();
            app.verify_recovered(&engine, &acked).unwrap();
            lab.killed(Some(&engine), args, step);
        }
        lab.json(Some(&engine), &["restore", "--continue"], 0);
        app.wait_ready(&engine).unwrap();
        app.verify_recovered(&engine, &promised).unwrap();
        let differences = diff(&before, &app.fingerprint(&engine).unwrap());
        assert!(differences.is_empty(), "{step}: {}", differences.join("\n"));
        assert_eq!(lab.begun(), Vec::<String>::new(), "{step}");
        lab.json(Some(&engine), &["rm", "shop", "--yes"], 0);
        println!("{step}: whole");
    }
    engine.destroy().unwrap();
}

#[test]
fn soak_over_a_compose_project_killed_at_every_step() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "notes"], 0);
    let id = only(&report)["id"].as_str().unwrap().to_owned();
    let page = project.dir().join("data/index.html");
    let was = fs_err::read(&page).unwrap();
    for (step, has_way_back) in STEPS {
        fs_err::write(&page, "today\n").unwrap();
        let args = ["restore", &id, "--replace", "--no-safety-point"];
        // There is no safety point to be killed at.
        if step == "replace-safety" || step == "committed" {
            continue;
        }
        lab.killed(Some(&engine), &args, step);
        if has_way_back {
            lab.json(Some(&engine), &["restore", "--undo"], 0);
            assert_eq!(fs_err::read(&page).unwrap(), b"today\n", "{step}");
            unchanged(&project, &engine, step);
            lab.killed(Some(&engine), &args, step);
        }
        lab.json(Some(&engine), &["restore", "--continue"], 0);
        assert_eq!(fs_err::read(&page).unwrap(), was, "{step}");
        unchanged(&project, &engine, step);
        lab.json(Some(&engine), &["rm", "notes", "--yes"], 0);
        println!("{step}: whole");
    }
    project.down_v(&engine).unwrap();
    engine.destroy().unwrap();
}

/// Compose finds nothing to change.
fn unchanged(project: &Project, engine: &lifeboat_testkit::engine::PrivateEngine, step: &str) {
    let changes = project.up_dry_run_changes(engine).unwrap();
    assert_eq!(changes, Vec::<String>::new(), "{step}");
    assert!(tiny::runs(engine, "notes-store-1"), "{step}");
}
