//! A restore that is killed anywhere ends whole when it is run again.

use lifeboat_testkit::{
    engine::PrivateEngine,
    sample_app::{Acked, SampleApp, diff},
};

use crate::{
    support::{Lab, began},
    tiny,
};

const STEPS: [&str; 10] = [
    "restore-begin",
    "restore-images",
    "restore-networks",
    "restore-volumes",
    "restore-project",
    "restore-binds",
    "restore-containers",
    "restore-start",
    "start-container:2",
    "restore-validate",
];

#[test]
fn wherever_a_restore_is_killed_running_it_again_ends_whole() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "--all"], 0);
    let point = report["protected"][0].clone();
    let before = app.fingerprint(&engine).unwrap();
    let promised = Acked::before(&app.acked().unwrap(), began(&point));
    assert!(!promised.is_empty());
    for (at, step) in STEPS.into_iter().enumerate() {
        lose(&engine, &app);
        lab.killed(Some(&engine), &["restore", "shop"], step);
        // By the same command, or by what finds it; or it is taken away, and begun anew, unless what runs already may
        // have written something.
        let ran = STEPS.iter().position(|s| *s == "start-container:2") <= Some(at);
        if at % 3 == 2 && ran {
            tiny::refused(&lab, Some(&engine), "restore --undo", 1, &["--continue"]);
        } else if at % 3 == 2 {
            lab.json(Some(&engine), &["restore", "--undo"], 0);
            let left = tiny::names(&engine);
            assert_eq!(left, Vec::<String>::new(), "killed at {step}, taken away");
            assert_eq!(lab.begun(), Vec::<String>::new(), "killed at {step}");
        }
        let again: &[&str] = match at % 3 {
            0 => &["restore", "--continue"],
            _ => &["restore", "shop"],
        };
        lab.json(Some(&engine), again, 0);
        lab.json(Some(&engine), &["restore", "volume:attic"], 0);
        app.wait_ready(&engine).unwrap();
        app.verify_recovered(&engine, &promised).unwrap();
        let differences = diff(&before, &app.fingerprint(&engine).unwrap());
        assert!(
            differences.is_empty(),
            "killed at {step}:\n{}",
            differences.join("\n")
        );
        assert_eq!(lab.begun(), Vec::<String>::new(), "killed at {step}");
        assert!(
            no_staging(&lab),
            "killed at {step}: something half-done is in sight"
        );
    }
    // On names in use it is refused, all of them named, and nothing is touched.
    let refused = lab.run(Some(&engine), &["restore", "shop"], 1);
    let sentence = String::from_utf8_lossy(&refused.stderr).into_owned();
    for name in ["shop-db-1", "shop_archive", "nothing was changed"] {
        assert!(sentence.contains(name), "{name} is not named: {sentence}");
    }
    assert_eq!(
        diff(&before, &app.fingerprint(&engine).unwrap()),
        Vec::<String>::new()
    );
    engine.destroy().unwrap();
}

fn no_staging(lab: &Lab) -> bool {
    fs_err::read_dir(lab.path("shop")).unwrap().all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("lifeboat")
    })
}

/// The app is gone, with every volume. (An anonymous volume comes back pinned by its name, which
/// `docker rm -v` no longer takes for anonymous.)
fn lose(engine: &PrivateEngine, app: &SampleApp) {
    app.remove(engine).unwrap();
    let volumes = engine.api().get("/volumes").unwrap();
    for volume in volumes["Volumes"].as_array().into_iter().flatten() {
        engine
            .api()
            .delete(&format!("/volumes/{}", volume["Name"].as_str().unwrap()))
            .unwrap();
    }
    app.remove_files().unwrap();
}
