//! An engine whose containerd takes longer than `dockerd` waits for it.

use std::{path::Path, time::Duration};

use lifeboat_testkit::engine::{EngineOptions, PrivateEngine};
use rustix::process::{Pid, Signal, kill_process};

/// `dockerd` gives up after fifteen seconds.
const STALL: Duration = Duration::from_secs(17);

#[test]
fn an_engine_whose_containerd_is_slow_comes_up_all_the_same() {
    let place = tempfile::Builder::new()
        .prefix("lb-")
        .tempdir_in("/tmp")
        .unwrap();
    let dir = place.path().join("a");
    let stalled = dir.clone();
    let stalling = std::thread::spawn(move || {
        let containerd = loop {
            if let Some(pid) = containerd_of(&stalled) {
                break pid;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        kill_process(containerd, Signal::STOP).unwrap();
        std::thread::sleep(STALL);
        // It may have been given up and killed meanwhile.
        let _ = kill_process(containerd, Signal::CONT);
    });
    let engine = PrivateEngine::start(EngineOptions::new("slow", &dir)).unwrap();
    assert!(engine.api().ping());
    stalling.join().unwrap();
    engine.destroy().unwrap();
}

/// The containerd of the engine in a directory: it sees this directory's `run` as its own.
fn containerd_of(dir: &Path) -> Option<Pid> {
    let mine = dir.to_str()?.to_owned() + "/";
    for entry in fs_err::read_dir("/proc").ok()? {
        let path = entry.ok()?.path();
        let comm = fs_err::read_to_string(path.join("comm")).unwrap_or_default();
        let mounts = fs_err::read_to_string(path.join("mountinfo")).unwrap_or_default();
        if comm.trim() == "containerd" && mounts.contains(&mine) {
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            return Pid::from_raw(pid);
        }
    }
    None
}
