//! Real apps replaced: the sample app under load, a project that Docker Compose runs.

use std::collections::BTreeMap;

use lifeboat_testkit::{
    compose::{CONTAINERS, Project},
    engine::PrivateEngine,
    sample_app::{Acked, SampleApp, diff},
};

use crate::{
    support::{Lab, began, only},
    tiny::{self, Held, IDLE, noise},
};

#[test]
fn the_sample_app_is_replaced_under_load_with_every_row_of_the_point() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "shop"], 0);
    let point = only(&report).clone();
    let before = app.fingerprint(&engine).unwrap();
    let names = tiny::names(&engine).len();
    let promised = Acked::before(&app.acked().unwrap(), began(&point));
    assert!(!promised.is_empty());
    app.wait_ready(&engine).unwrap();
    let rows = app.acked().unwrap().len();
    assert!(rows > promised.len());

    let done = lab.json(Some(&engine), &["restore", "shop", "--replace"], 0);
    app.wait_ready(&engine).unwrap();
    app.verify_recovered(&engine, &promised).unwrap();
    let differences = diff(&before, &app.fingerprint(&engine).unwrap());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(
        tiny::names(&engine).len(),
        names,
        "something of ours is left"
    );
    println!("down for {} s", done["downtime_seconds"]);
    // And back to how it was: every row that was acknowledged before the stop.
    let safety = done["safety_point"].as_str().unwrap();
    lab.json(
        Some(&engine),
        &["restore", safety, "--replace", "--no-safety-point"],
        0,
    );
    app.wait_ready(&engine).unwrap();
    assert!(app.acked().unwrap().len() >= rows);
    lab.json(Some(&engine), &["rm", "shop", "--yes"], 0);
    engine.destroy().unwrap();
}

#[test]
fn compose_finds_nothing_to_change_after_a_replacement() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "notes"], 0);
    let point = only(&report)["id"].as_str().unwrap().to_owned();
    // The project moves on: another setting, other data, one container more.
    let env = project.dir().join(".env");
    let was = fs_err::read_to_string(&env).unwrap();
    fs_err::write(&env, was.replace("green", "red")).unwrap();
    fs_err::write(project.dir().join("data/index.html"), "today\n").unwrap();
    fs_err::write(project.dir().join("mine.txt"), "nobody's business\n").unwrap();
    project.up(&engine).unwrap();
    // Compose makes everything again in the middle: what is here then is what is replaced.
    let mut held = Held::start(
        &lab,
        lab.command(Some(&engine), &["restore", &point, "--replace"]),
    );
    held.until("replace-staged");
    let mut again = project.command(&engine);
    let again = again
        .args(["up", "-d", "--force-recreate"])
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", tiny::stderr(&again));
    let done = held.end();
    assert!(done.status.success(), "{}", tiny::stderr(&done));

    assert_eq!(fs_err::read_to_string(&env).unwrap(), was);
    assert_ne!(
        fs_err::read_to_string(project.dir().join("data/index.html")).unwrap(),
        "today\n"
    );
    assert!(project.dir().join("mine.txt").exists());
    assert_eq!(
        project.up_dry_run_changes(&engine).unwrap(),
        Vec::<String>::new()
    );
    let ids = ids(&engine);
    project.up(&engine).unwrap();
    assert_eq!(self::ids(&engine), ids);
    let running = engine.api().get("/containers/json?all=1").unwrap();
    assert_eq!(running.as_array().unwrap().len(), CONTAINERS.len());
    project.down_v(&engine).unwrap();
    lab.json(Some(&engine), &["rm", "notes", "--yes"], 0);
    assert!(!engine.data_root().join("lifeboat-aside").exists());
    engine.destroy().unwrap();
}

fn ids(engine: &PrivateEngine) -> BTreeMap<String, String> {
    let id = |name: &&str| {
        let raw = tiny::inspect(engine, name);
        (name.to_string(), raw["Id"].as_str().unwrap().to_owned())
    };
    CONTAINERS.iter().map(id).collect()
}

/// `cargo test -p lifeboat-cli --test lab -- --nocapture soak_downtime`: how long an app is down,
/// with a small volume and with a large one. `LIFEBOAT_TEST_GIB=10`: with 1 GiB and with 10 GiB.
#[test]
fn soak_downtime_with_a_small_and_a_large_volume() {
    let gib = std::env::var("LIFEBOAT_TEST_GIB").map(|gib| gib.parse::<u64>().unwrap());
    let (sizes, turns) = match gib {
        Ok(gib) => ([(gib << 30) / 10, gib << 30], 2),
        Err(_) => ([1 << 20, 600 << 20], 3),
    };
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let mut points = Vec::new();
    for (name, size) in ["small", "large"].into_iter().zip(sizes) {
        tiny::run(&engine, name, IDLE, &[&format!("{name}data:/data")]);
        let data = engine.volume_path(&format!("{name}data")).unwrap();
        fill(&data.join("f"), size);
        let report = lab.json(Some(&engine), &["backup", name], 0);
        println!("{name}: {} MiB are protected", size >> 20);
        points.push((name, only(&report)["id"].as_str().unwrap().to_owned()));
    }
    // In turns: the machine is shared.
    for _ in 0..turns {
        for (name, point) in &points {
            let args = ["restore", point, "--replace", "--no-safety-point"];
            let done = lab.json(Some(&engine), &args, 0);
            println!(
                "{name}: down {:.2} s of {:.2} s, {} MiB",
                done["downtime_seconds"].as_f64().unwrap(),
                done["rto_seconds"].as_f64().unwrap(),
                done["bytes"].as_u64().unwrap() >> 20
            );
            lab.json(None, &["rm", name, "--yes"], 0);
        }
    }
    engine.destroy().unwrap();
}

/// A file of which little is new, and which a file system that compresses keeps in an eighth: disks of
/// machines that test are small.
fn fill(path: &std::path::Path, size: u64) {
    const PIECE: u64 = 64 << 20;
    let mut piece = noise(usize::try_from(PIECE.min(size)).unwrap(), size);
    for byte in &mut piece {
        *byte &= 1;
    }
    let mut file = fs_err::File::create(path).unwrap();
    for at in (0..size).step_by(piece.len()) {
        piece[..8].copy_from_slice(&at.to_le_bytes());
        let len = usize::try_from((size - at).min(PIECE)).unwrap();
        std::io::Write::write_all(&mut file, &piece[..len]).unwrap();
    }
}
