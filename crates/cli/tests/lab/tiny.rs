//! Small apps of busybox, what a refusal looks like, and a way to stop a run between two of its steps.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::{Value, json};

use crate::support::Lab;

/// Runs for ever and does nothing; ends at once when asked to.
pub const IDLE: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

/// An engine with the small image.
pub fn engine(lab: &Lab, name: &str) -> PrivateEngine {
    let engine = lab.engine(name);
    images::busybox().unwrap().load(&engine).unwrap();
    engine
}

/// Creates a container of busybox with these binds, and starts it.
pub fn run(engine: &PrivateEngine, name: &str, script: &str, binds: &[&str]) -> String {
    run_with(engine, name, script, json!({"Binds": binds}))
}

/// The same with the whole `HostConfig`.
pub fn run_with(engine: &PrivateEngine, name: &str, script: &str, host: Value) -> String {
    let id = create(
        engine,
        name,
        json!({"Cmd": ["sh", "-c", script], "HostConfig": host}),
    );
    start(engine, name);
    id
}

/// Creates a container of busybox.
pub fn create(engine: &PrivateEngine, name: &str, mut body: Value) -> String {
    body["Image"] = json!("lifeboat/busybox:latest");
    body["StopTimeout"] = json!(1);
    engine.api().create_container(name, &body).unwrap()
}

pub fn start(engine: &PrivateEngine, name: &str) {
    let path = format!("/containers/{name}/start");
    engine.api().post(&path, &Value::Null).unwrap();
}

/// What the engine says of a container; mounts in order, which it keeps in a map and shows in any.
pub fn inspect(engine: &PrivateEngine, name: &str) -> Value {
    let path = format!("/containers/{name}/json");
    let mut raw = engine.api().get(&path).unwrap();
    if let Some(mounts) = raw["Mounts"].as_array_mut() {
        mounts.sort_by_key(Value::to_string);
    }
    raw
}

/// Whether it is there and runs. While a container is created, Docker 20.10 lists it already and answers 404 to whom asks
/// for it by its name.
pub fn runs(engine: &PrivateEngine, name: &str) -> bool {
    let path = format!("/containers/{name}/json");
    let raw = engine.api().find(&path).unwrap().unwrap_or_default();
    raw["State"]["Running"] == true && raw["State"]["Paused"] == false
}

pub fn remove(engine: &PrivateEngine, name: &str) {
    let path = format!("/containers/{name}?force=true&v=true");
    engine.api().delete(&path).unwrap();
}

pub fn remove_volume(engine: &PrivateEngine, name: &str) {
    engine.api().delete(&format!("/volumes/{name}")).unwrap();
}

/// Names of all containers, volumes and networks of one's own.
pub fn names(engine: &PrivateEngine) -> Vec<String> {
    let api = engine.api();
    let mut names = Vec::new();
    for container in list(api.get("/containers/json?all=true").unwrap()) {
        names.push(format!(
            "container {}",
            container["Names"][0].as_str().unwrap()
        ));
    }
    for volume in list(api.get("/volumes").unwrap()["Volumes"].take()) {
        names.push(format!("volume {}", volume["Name"].as_str().unwrap()));
    }
    for network in list(api.get("/networks").unwrap()) {
        let name = network["Name"].as_str().unwrap();
        if !["bridge", "host", "none"].contains(&name) {
            names.push(format!("network {name}"));
        }
    }
    names.sort();
    names
}

fn list(value: Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What an unsuccessful run said: one sentence at the end, with these words in it.
pub fn says(output: &Output, words: &[&str]) -> String {
    let text = stderr(output);
    let last = text.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("lifeboat: "), "no sentence: {text}");
    for wrong in ["internal error", "panicked", "RUST_BACKTRACE"] {
        assert!(!text.contains(wrong), "{text}");
    }
    for word in words {
        assert!(last.contains(word), "no `{word}` in: {text}");
    }
    last
}

/// Runs a command that has to end with this code and to say these words.
pub fn refused(
    lab: &Lab,
    engine: Option<&PrivateEngine>,
    line: &str,
    code: i32,
    words: &[&str],
) -> String {
    let args: Vec<&str> = line.split_whitespace().collect();
    says(&lab.run(engine, &args, code), words)
}

/// A pipe that each step of a run is written to: whoever writes to it waits until the test has read.
pub struct Steps(PathBuf);

impl Steps {
    pub fn make(lab: &Lab) -> Self {
        let steps = lab.path("steps");
        let _ = fs_err::remove_file(&steps);
        let made = Command::new("mkfifo").arg(&steps).status().unwrap();
        assert!(made.success());
        Self(steps)
    }

    /// Lets runs go on until one has taken this step; it is held before the next one.
    pub fn until(&self, step: &str, mut still: impl FnMut()) {
        loop {
            let mut seen = String::new();
            // Opening a pipe waits for the other end, and so does the program.
            let pipe = fs_err::File::open(&self.0).unwrap();
            BufReader::new(pipe).read_line(&mut seen).unwrap();
            if seen.trim_end() == step {
                return;
            }
            still();
            // The program goes on once it has seen that nobody reads: somebody who is back at once is never away.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Nobody waits any more; steps go to a plain file from here on.
    pub fn release(&self, then: impl FnOnce()) {
        // Whoever holds both ends of a pipe makes nobody wait; and nobody waits at a plain file.
        let both = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.0)
            .unwrap();
        let plain = self.0.with_extension("plain");
        fs_err::write(&plain, "").unwrap();
        fs_err::rename(&plain, &self.0).unwrap();
        then();
        drop(both);
        fs_err::remove_file(&self.0).unwrap();
    }
}

/// A run that is held between two steps while something is done to it.
pub struct Held {
    child: Option<Child>,
    steps: Steps,
}

impl Held {
    /// Starts the command; it will wait at each step until the test lets it go on.
    pub fn start(lab: &Lab, mut command: Command) -> Self {
        let steps = Steps::make(lab);
        let child = command
            .env("LIFEBOAT_TEST_LOG_STEPS", &steps.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child: Some(child),
            steps,
        }
    }

    /// Lets it run until it has taken this step; it is held before the next one.
    pub fn until(&mut self, step: &str) -> &mut Self {
        let child = self.child.as_mut().unwrap();
        self.steps.until(step, || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before {step}");
        });
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `kill -9`, wherever it is.
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        let alive = child.try_wait().unwrap().is_none();
        assert!(alive, "it ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
        fs_err::remove_file(&self.steps.0).unwrap();
    }

    /// Lets it go to its end.
    pub fn end(mut self) -> Output {
        let child = self.child.take().unwrap();
        let mut output = None;
        self.steps
            .release(|| output = Some(child.wait_with_output().unwrap()));
        output.unwrap()
    }
}

/// A test that fails leaves nobody waiting.
impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A file system of its own, so small that it can be full. Unmounted when dropped.
pub struct Small(PathBuf);

impl Small {
    pub fn mount(at: &Path, size: &str) -> Self {
        fs_err::create_dir_all(at).unwrap();
        let small = Self(at.to_owned());
        small.call(&[
            "-t",
            "tmpfs",
            "-o",
            &format!("size={size},mode=0755"),
            "lifeboat-lab",
        ]);
        small
    }

    pub fn grow(&self, size: &str) {
        self.call(&["-o", &format!("remount,size={size}")]);
    }

    fn call(&self, args: &[&str]) {
        let mut mount = Command::new("mount");
        assert!(mount.args(args).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Bytes that nothing compresses.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
