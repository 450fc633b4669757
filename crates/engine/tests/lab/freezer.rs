//! The freezer for real: thawed behind the engine's back, and reconciled.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use lifeboat_engine::freezer::{Freezer, Reconciled, reconcile};
use serde_json::json;

use crate::{BUSYBOX, shared};

/// What a busy machine may need to let a process run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether what counts into a file stands still.
fn stands(file: &Path) -> bool {
    let before = fs_err::read(file).unwrap_or_default();
    std::thread::sleep(Duration::from_millis(300));
    before == fs_err::read(file).unwrap_or_default()
}

/// Whether what counts into a file goes on.
fn moves(file: &Path) -> bool {
    let began = Instant::now();
    while stands(file) {
        if began.elapsed() > PATIENCE {
            return false;
        }
    }
    true
}

#[test]
fn thawed_behind_the_engines_back_and_reconciled() {
    let (_, engine) = shared();
    let count = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.01; done";
    let id = engine
        .create_container(
            "freeze",
            &json!({"Image": BUSYBOX, "Cmd": ["sh", "-c", count]}),
        )
        .unwrap();
    engine.start(&id).unwrap();
    let pid = engine.inspect_container(&id).unwrap()["State"]["Pid"]
        .as_u64()
        .unwrap();
    let file = std::path::PathBuf::from(format!("/proc/{pid}/root/count"));
    let freezer = Freezer::of_pid(u32::try_from(pid).unwrap()).unwrap();
    let freezer = Freezer::from_path(freezer.path()).unwrap();
    assert!(moves(&file) && !freezer.is_frozen().unwrap());

    engine.pause(&id).unwrap();
    assert!(freezer.is_frozen().unwrap() && stands(&file));
    freezer.thaw().unwrap();
    assert!(moves(&file));
    let paused = |id: &str| engine.inspect_container(id).unwrap()["State"]["Paused"] == true;
    assert!(paused(&id), "the engine has not seen it");
    assert!(
        engine.unpause(&id).is_err(),
        "the reason for reconcile: if this works, it is not needed any more"
    );
    assert_eq!(
        reconcile(&engine, &id).unwrap(),
        Reconciled::FrozenAndUnpaused
    );
    assert!(moves(&file) && !paused(&id));

    assert_eq!(reconcile(&engine, &id).unwrap(), Reconciled::Running);
    engine.pause(&id).unwrap();
    assert_eq!(reconcile(&engine, &id).unwrap(), Reconciled::Unpaused);
    freezer.freeze().unwrap();
    assert!(stands(&file) && !paused(&id));
    assert_eq!(reconcile(&engine, &id).unwrap(), Reconciled::Thawed);
    assert!(moves(&file));

    engine.remove_container(&id, true, true).unwrap();
    assert!(!freezer.is_frozen().unwrap(), "gone is not frozen");
    freezer.thaw().unwrap();
}

/// Version 2 without an engine: its freezer works in every cgroup of that hierarchy, also where version 1
/// runs the containers.
#[test]
fn the_freezer_of_version_2() {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(mount) = mount.and_then(|line| line.split(' ').nth(4)) else {
        println!("not seen here: no cgroup2 is mounted");
        return;
    };
    let cgroup = Path::new(mount).join(format!("lifeboat-test-{}", std::process::id()));
    fs_err::create_dir(&cgroup).unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("count");
    let count = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i > \"$0\"; sleep 0.01; done";
    let mut child = std::process::Command::new("sh")
        .args(["-c", count])
        .arg(&file)
        .spawn()
        .unwrap();
    fs_err::write(cgroup.join("cgroup.procs"), child.id().to_string()).unwrap();
    let freezer = Freezer::from_path(&cgroup).unwrap();
    assert!(moves(&file) && !freezer.is_frozen().unwrap());
    freezer.freeze().unwrap();
    assert!(freezer.is_frozen().unwrap() && stands(&file));
    freezer.thaw().unwrap();
    assert!(moves(&file) && !freezer.is_frozen().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    // Its sleep ends by itself; a cgroup goes when it is empty.
    while fs_err::remove_dir(&cgroup).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
}
