//! Private engines come, work side by side, and go without a trace, whatever happens to the test.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::{images, packages};
use serde_json::json;

fn place() -> tempfile::TempDir {
    packages::ensure(PACKAGES).unwrap();
    tempfile::Builder::new().prefix("lb-").tempdir().unwrap()
}

/// Starts a container that waits, and gives back its id and its process id.
fn sleeper(engine: &PrivateEngine, name: &str) -> (String, i64) {
    let image = images::busybox().unwrap();
    image.load(engine).unwrap();
    let api = engine.api();
    let definition = json!({
        "Image": image.reference(),
        "Cmd": ["sh", "-c", "sleep 1000 & sleep 1000"],
        "HostConfig": {"RestartPolicy": {"Name": "always"}, "Binds": ["data:/data"]},
    });
    let id = api.create_container(name, &definition).unwrap();
    api.post(&format!("/containers/{id}/start"), &json!({}))
        .unwrap();
    let inspect = api.get(&format!("/containers/{id}/json")).unwrap();
    (id, inspect["State"]["Pid"].as_i64().unwrap())
}

fn lives(pid: i64) -> bool {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn cgroups_of(id: &str) -> Vec<String> {
    let mut find = Command::new("find");
    find.args(["/sys/fs/cgroup", "-name", id]);
    let found = lifeboat_testkit::command::run(&mut find).unwrap();
    found.lines().map(str::to_owned).collect()
}

#[test]
fn two_engines_know_nothing_of_each_other_and_leave_nothing() {
    let place = place();
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let start = |name: &str| {
        let options = EngineOptions::new(name, place.path().join(name)).hostname(name);
        PrivateEngine::start(options).unwrap()
    };
    let (one, two) = (start("harbour"), start("island"));
    let info = |engine: &PrivateEngine| engine.api().get("/info").unwrap();
    assert_eq!(info(&one)["Name"], "harbour");
    assert_eq!(info(&two)["Name"], "island");
    assert_ne!(info(&one)["ID"], info(&two)["ID"]);

    let (id, pid) = sleeper(&one, "napper");
    assert!(lives(pid) && !cgroups_of(&id).is_empty());
    assert_eq!(two.api().get("/containers/json?all=1").unwrap(), json!([]));

    // A volume is where the engine says, for us too; and what we write there, a container reads.
    let path = one.volume_path("data").unwrap();
    fs_err::write(path.join("note"), "seen").unwrap();
    assert_eq!(
        one.api().exec_ok("napper", &["cat", "/data/note"]).unwrap(),
        "seen"
    );

    // A frozen process takes no signal where cgroups are of the first kind.
    one.api()
        .post("/containers/napper/pause", &json!({}))
        .unwrap();
    let begin = Instant::now();
    one.destroy().unwrap();
    println!("destroyed with a paused container in {:?}", begin.elapsed());
    assert!(!lives(pid));
    assert_eq!(cgroups_of(&id), Vec::<String>::new());
    assert!(!place.path().join("harbour").exists());
    assert!(two.api().ping());
    two.destroy().unwrap();
    assert_eq!(
        fs_err::read_to_string("/proc/self/mountinfo").unwrap(),
        mounts
    );
}

#[test]
fn what_a_panic_leaves_is_taken_away() {
    let place = place();
    let dir = place.path().join("e");
    let pid = std::sync::Mutex::new(0);
    let panicked = std::thread::scope(|scope| {
        let work = || {
            let engine = PrivateEngine::start(EngineOptions::new("e", &dir)).unwrap();
            *pid.lock().unwrap() = sleeper(&engine, "napper").1;
            panic!("as a failed assertion does");
        };
        scope.spawn(work).join()
    });
    panicked.unwrap_err();
    assert!(!dir.exists());
    let pid = *pid
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(pid > 0 && !lives(pid));
}

#[test]
fn what_a_killed_test_leaves_is_taken_away() {
    let place = place();
    let dir = place.path().join("e");
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "engine::a_test_that_is_killed", "--nocapture"]);
    other.env("LIFEBOAT_KILLED", &dir).stdout(Stdio::piped());
    let mut other = other.spawn().unwrap();
    let lines = std::io::BufReader::new(other.stdout.take().unwrap()).lines();
    let word = "the container's process is ";
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(word)?.parse::<i64>().ok());
    let pid = pid.unwrap();
    assert!(lives(pid) && dir.exists());
    other.kill().unwrap();
    other.wait().unwrap();
    eventually("the engine's directory goes", || !dir.exists());
    eventually("the container goes", || !lives(pid));
}

/// Not a test of its own: [`what_a_killed_test_leaves_is_taken_away`] starts and kills it.
#[test]
fn a_test_that_is_killed() {
    let Some(dir) = std::env::var_os("LIFEBOAT_KILLED") else {
        return;
    };
    let options = EngineOptions::new("killed", Path::new(&dir));
    let engine = PrivateEngine::start(options).unwrap();
    println!(
        "\nthe container's process is {}",
        sleeper(&engine, "napper").1
    );
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn an_engine_that_was_detached_is_found_by_its_directory() {
    let place = place();
    let engine = PrivateEngine::start(EngineOptions::new("e", place.path().join("e"))).unwrap();
    let (_, pid) = sleeper(&engine, "napper");
    let dir = engine.detach().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(lives(pid));
    PrivateEngine::destroy_at(&dir).unwrap();
    assert!(!lives(pid) && !dir.exists());
    PrivateEngine::destroy_at(place.path()).unwrap_err();
}
