//! Full disks: one sentence, nothing lost, and it goes on once there is room.

use lifeboat_testkit::engine::PrivateEngine;

use crate::{
    support::Lab,
    tiny::{self, IDLE, Small, noise, refused, stderr},
};

fn add(engine: &PrivateEngine, name: &str, bytes: usize, seed: u64) {
    let dir = engine.volume_path("big_data").unwrap();
    fs_err::write(dir.join(name), noise(bytes, seed)).unwrap();
}

#[test]
fn a_vault_that_runs_full_keeps_what_it_has_and_goes_on_later() {
    let lab = Lab::new();
    let small = Small::mount(&lab.path("disk"), "12m");
    let vault = lab.path("disk/vault");
    let sheet = lab.path("sheet.txt");
    let args = [
        "init",
        "--vault",
        vault.to_str().unwrap(),
        "--sheet",
        sheet.to_str().unwrap(),
    ];
    lab.run(None, &args, 0);
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    tiny::run(&engine, "big", IDLE, &["big_data:/data"]);
    add(&engine, "one", 2_000_000, 1);
    lab.json(some, &["backup", "big"], 0);

    add(&engine, "two", 40_000_000, 2);
    let target = lab.path("out");
    for _ in 0..2 {
        let output = lab.run(some, &["backup", "big"], 1);
        let text = stderr(&output);
        assert!(
            text.contains("no space") && text.contains("disk/vault"),
            "{text}"
        );
        assert_eq!(
            text.lines().filter(|l| l.starts_with("lifeboat:")).count(),
            1,
            "{text}"
        );
        assert!(tiny::runs(&engine, "big"));
        // The vault is whole, and what it holds comes back, although nothing can be written.
        lab.run(None, &["check", "--read-data"], 0);
        let points = lab.json(None, &["points"], 0);
        assert_eq!(points["points"].as_array().unwrap().len(), 1);
        let _ = fs_err::remove_dir_all(&target);
        lab.run(
            None,
            &["restore", "big", "--target", target.to_str().unwrap()],
            0,
        );
        let back = target.join("volumes/big_data/one");
        assert_eq!(fs_err::read(back).unwrap(), noise(2_000_000, 1));
    }
    small.grow("120m");
    lab.json(some, &["backup", "big"], 0);
    lab.run(None, &["check", "--read-data"], 0);
    engine.destroy().unwrap();
}

/// The state directory holds the spool and the record of a freeze.
#[test]
fn a_full_state_directory_freezes_nobody_for_ever() {
    let lab = Lab::new();
    let state = Small::mount(&lab.path("state"), "1m");
    let vault = lab.path("vault");
    let sheet = lab.path("sheet.txt");
    let args = [
        "init",
        "--vault",
        vault.to_str().unwrap(),
        "--sheet",
        sheet.to_str().unwrap(),
    ];
    lab.run(None, &args, 0);
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    tiny::run(&engine, "big", IDLE, &["big_data:/data"]);
    add(&engine, "one", 2_000_000, 1);
    lab.json(some, &["backup", "big"], 0);
    let fill = fs_err::write(lab.path("state/ballast"), vec![1; 2 << 20]);
    assert!(fill.is_err(), "it is not full");
    let output = lab.command(some, &["backup", "big"]).output().unwrap();
    let text = stderr(&output);
    match output.status.code() {
        Some(0) => {}
        Some(1) => assert!(
            text.to_lowercase().contains("no space") || text.contains("full"),
            "{text}"
        ),
        code => panic!("{code:?}: {text}"),
    }
    assert!(tiny::runs(&engine, "big"));
    state.grow("8m");
    fs_err::remove_file(lab.path("state/ballast")).unwrap();
    lab.json(some, &["backup", "big"], 0);
    assert!(tiny::runs(&engine, "big"));
    engine.destroy().unwrap();
}

#[test]
fn a_target_that_runs_full_is_said_and_continued_later() {
    let lab = Lab::new();
    lab.init();
    let data = lab.path("data");
    fs_err::create_dir(&data).unwrap();
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        fs_err::write(data.join(name), noise(1_000_000, seed)).unwrap();
    }
    lab.run(None, &["backup", "--path", data.to_str().unwrap()], 0);
    let small = Small::mount(&lab.path("small"), "2m");
    let target = lab.path("small/out");
    let line = format!("restore latest --target {}", target.display());
    refused(&lab, None, &line, 1, &["no space", "small"]);
    let out = target.join(&data.to_str().unwrap()[1..]);
    // What has its name has its content.
    for entry in fs_err::read_dir(&out).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name.len() == 1 {
            assert_eq!(
                fs_err::read(entry.path()).unwrap(),
                fs_err::read(data.join(name)).unwrap()
            );
        }
    }
    small.grow("20m");
    lab.run(
        None,
        &format!("{line} --resume").split(' ').collect::<Vec<_>>(),
        0,
    );
    let names: Vec<_> = fs_err::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        assert_eq!(
            fs_err::read(out.join(&name)).unwrap(),
            fs_err::read(data.join(&name)).unwrap()
        );
    }
}

#[test]
fn an_engine_that_runs_full_gets_the_app_later() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let bind = lab.path("small/bind");
    fs_err::create_dir_all(&bind).unwrap();
    fs_err::write(bind.join("noise"), noise(5_000_000, 7)).unwrap();
    let mount = format!("{}:/bind", bind.display());
    tiny::run(&engine, "big", IDLE, &["big_data:/data", &mount]);
    add(&engine, "one", 100_000, 1);
    lab.json(some, &["backup", "big"], 0);
    tiny::remove(&engine, "big");
    tiny::remove_volume(&engine, "big_data");
    fs_err::remove_dir_all(&bind).unwrap();
    let small = Small::mount(&lab.path("small"), "2m");
    let said = refused(&lab, some, "restore big", 1, &["no space"]);
    assert!(said.contains("small"), "{said}");
    assert_eq!(
        tiny::names(&engine),
        Vec::<String>::new(),
        "something half-done is in sight"
    );
    assert_eq!(fs_err::read_dir(lab.path("small")).unwrap().count(), 0);
    small.grow("20m");
    lab.json(some, &["restore", "big"], 0);
    assert!(tiny::runs(&engine, "big"));
    assert_eq!(
        fs_err::read(bind.join("noise")).unwrap(),
        noise(5_000_000, 7)
    );
    tiny::remove(&engine, "big");
    engine.destroy().unwrap();
}
