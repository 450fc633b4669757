//! Several programs at work in one vault: real processes, ours and Debian's restic.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use lifeboat_testkit::restic::newest_restic;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::Lab,
    tiny::{Held, noise, stderr, stdout},
};

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn restic(lab: &Lab, args: &[&str]) -> Output {
    Command::new("restic")
        .arg("-r")
        .arg(lab.vault())
        .arg("--password-file")
        .arg(lab.key())
        .args(["--no-cache", "-q"])
        .args(args)
        .output()
        .expect("restic is missing: run `cargo xtask test`, which installs it")
}

/// Folders with some files, one of them changed each time.
struct Folder<'l> {
    lab: &'l Lab,
    name: String,
    number: u64,
}

impl<'l> Folder<'l> {
    fn new(lab: &'l Lab, name: &str) -> Self {
        let folder = Self {
            lab,
            name: name.to_owned(),
            number: 0,
        };
        fs_err::create_dir_all(folder.path()).unwrap();
        for n in 0..6 {
            folder.write(n, n);
        }
        folder
    }

    fn path(&self) -> std::path::PathBuf {
        self.lab.path(&format!("data/{}", self.name))
    }

    /// Contents that come again: so what was forgotten is needed once more.
    fn write(&self, file: u64, content: u64) {
        let bytes = noise(
            40_000 + 7_000 * usize::try_from(content % 5).unwrap(),
            content % 9 + 1,
        );
        fs_err::write(self.path().join(format!("file-{file}")), bytes).unwrap();
    }

    fn change(&mut self) {
        self.number += 1;
        self.write(self.number % 6, self.number * 7 + self.name.len() as u64);
    }
}

#[test]
fn a_backup_that_was_stopped_while_its_data_was_pruned_saves_it_anew() {
    let lab = Lab::new();
    lab.init();
    let data = lab.path("data");
    fs_err::create_dir(&data).unwrap();
    fs_err::write(data.join("file"), noise(3_000_000, 5)).unwrap();
    let path = data.to_str().unwrap();
    let first = lab.json(None, &["backup", "--path", path], 0);
    let id = first["id"].as_str().unwrap().to_owned();

    // It found everything there, and is about to say so.
    let mut held = Held::start(
        &lab,
        lab.command(None, &["backup", "--path", path, "-o", "json"]),
    );
    held.until("saved");
    signal(held.pid(), Signal::STOP);
    lab.run(None, &["forget", &id, "--even-newest"], 0);
    // Within the half hour its lease holds.
    let report = lab.json(None, &["prune", "--max-unused", "0"], 0);
    assert_eq!(report["deleted"]["packs"], 0, "{report}");
    assert_eq!(report["waiting"][0]["what"], "session", "{report}");
    // An hour later it does not; but who has a clock that is an hour off alone counts nobody out.
    let prune = || {
        let mut prune = lab.command(None, &["prune", "--max-unused", "0", "-o", "json"]);
        let prune = prune.env("LIFEBOAT_TEST_CLOCK_AHEAD", "3600");
        let output = prune.output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let report = prune();
    assert_eq!(report["deleted"]["packs"], 0, "{report}");
    for entry in fs_err::read_dir(lab.vault().join("locks")).unwrap() {
        let lock = fs_err::File::open(entry.unwrap().path()).unwrap();
        let before = lock.metadata().unwrap().modified().unwrap() - Duration::from_secs(3600);
        lock.into_parts().0.set_modified(before).unwrap();
    }
    let report = prune();
    assert!(
        report["deleted"]["bytes"].as_u64().unwrap() > 3_000_000,
        "{report}"
    );
    signal(held.pid(), Signal::CONT);
    let output = held.end();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("run again"), "{}", stderr(&output));
    let points = lab.json(None, &["points"], 0);
    let points = points["points"].as_array().unwrap();
    assert_eq!(points.len(), 1, "{points:?}");
    lab.restic(&["check", "--read-data"]);
    let target = lab.path("out");
    lab.run(
        None,
        &["restore", "latest", "--target", target.to_str().unwrap()],
        0,
    );
    let back = target.join(data.strip_prefix("/").unwrap()).join("file");
    assert!(fs_err::read(back).unwrap() == noise(3_000_000, 5));
}

#[test]
fn a_killed_backup_leaves_a_lock_that_stands_in_nobodys_way() {
    let lab = Lab::new();
    lab.init();
    let mut data = Folder::new(&lab, "a");
    let path = data.path();
    let path = path.to_str().unwrap();
    lab.run(None, &["backup", "--path", path], 0);
    data.change();
    lab.killed(None, &["backup", "--path", path], "write-snapshot");
    let locks = || fs_err::read_dir(lab.vault().join("locks")).unwrap().count();
    assert_eq!(locks(), 1);
    lab.run(None, &["prune"], 0);
    assert_eq!(locks(), 0);
    lab.restic(&["check", "--read-data"]);
}

#[test]
fn restic_at_work_is_waited_for_and_we_are_by_restic() {
    let lab = Lab::new();
    lab.init();
    let data = Folder::new(&lab, "a");
    let path = data.path();
    let path = path.to_str().unwrap();
    lab.run(None, &["backup", "--path", path], 0);
    // restic's exclusive lock.
    let mut restic_prune = restic_stopped(&lab, &["prune"]);
    let target = lab.path("out");
    let restore = ["restore", "latest", "--target", target.to_str().unwrap()];
    for line in [
        &["backup", "--path", path][..],
        &restore,
        &["check"],
        &["ls", "latest"],
        &["stats"],
        &["forget", "--keep-last", "1"],
        &["prune"],
        &["repair", "index"],
    ] {
        let output = lab.run(None, line, 11);
        assert!(
            stderr(&output).contains("locked by PID"),
            "{}",
            stderr(&output)
        );
    }
    let waits = [
        &["backup", "--path", path][..],
        &restore,
        &["check"],
        &["ls", "latest"],
    ];
    let waits = waits.map(|line| {
        let mut command = lab.command(None, line);
        command.args(["--retry-lock", "10m"]).stdout(Stdio::null());
        command.stderr(Stdio::piped()).spawn().unwrap()
    });
    thread::sleep(Duration::from_millis(700));
    signal(restic_prune.0.id(), Signal::CONT);
    assert!(restic_prune.0.wait().unwrap().success());
    for waits in waits {
        let output = waits.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }

    let mut held = Held::start(&lab, lab.command(None, &["backup", "--path", path]));
    held.until("saved");
    for line in [&["prune"][..], &["check"], &["forget", "--keep-last", "1"]] {
        let said = stderr(&restic(&lab, line));
        assert!(said.contains("already locked"), "{line:?}: {said}");
    }
    held.end();
    lab.restic(&["check", "--read-data"]);
}

/// A process that is stopped; a test that fails leaves it behind to nobody.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts restic and stops it while it holds its lock.
fn restic_stopped(lab: &Lab, args: &[&str]) -> Stopped {
    let locked = || {
        let locks = fs_err::read_dir(lab.vault().join("locks")).unwrap();
        // Not the file that it will rename.
        locks
            .flatten()
            .any(|lock| lock.file_name().len() == 64 && lock.metadata().is_ok_and(|m| m.len() > 0))
    };
    for _ in 0..20 {
        let child = Command::new("restic")
            .arg("-r")
            .arg(lab.vault())
            .arg("--password-file")
            .arg(lab.key())
            .args(["--no-cache", "-q"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Stopped(child);
        while child.0.try_wait().unwrap().is_none() {
            if locked() {
                signal(child.0.id(), Signal::STOP);
                thread::sleep(Duration::from_millis(50));
                // It may have gone to its end before.
                if locked() {
                    return child;
                }
                signal(child.0.id(), Signal::CONT);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    panic!("restic is too quick to be stopped");
}

/// Three writers of ours and, now and then, restic; forgetting and pruning beside them without a pause.
#[allow(clippy::print_stdout, reason = "the figures of a soak")]
fn prune_beside_three_writers(time: Duration) {
    let lab = Lab::new();
    lab.init();
    let end = Instant::now() + time;
    let counts: [AtomicU64; 5] = Default::default();
    let [points, foreign, forgets, prunes, freed] = &counts;
    thread::scope(|scope| {
        for name in ["a", "bb", "ccc"] {
            let lab = &lab;
            scope.spawn(move || {
                let mut folder = Folder::new(lab, name);
                while Instant::now() < end {
                    folder.change();
                    let path = folder.path();
                    let line = [
                        "backup",
                        "--path",
                        path.to_str().unwrap(),
                        "--retry-lock",
                        "60s",
                    ];
                    lab.run(None, &line, 0);
                    points.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut folder = Folder::new(&lab, "restic");
            while Instant::now() < end {
                folder.change();
                // It does not wait for our deletion; it says so, and tries again.
                if restic(&lab, &["backup", folder.path().to_str().unwrap()])
                    .status
                    .success()
                {
                    foreign.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        scope.spawn(|| {
            while Instant::now() < end {
                let line = ["forget", "--keep-last", "2", "--retry-lock", "60s"];
                lab.run(None, &line, 0);
                forgets.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(300));
            }
        });
        while Instant::now() < end {
            let line = ["prune", "--max-unused", "0", "--retry-lock", "2s"];
            let report = lab.json(None, &line, 0);
            assert_eq!(report["damaged"].as_array().unwrap().len(), 0);
            prunes.fetch_add(1, Ordering::Relaxed);
            freed.fetch_add(
                report["deleted"]["bytes"].as_u64().unwrap(),
                Ordering::Relaxed,
            );
        }
    });
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    println!(
        "{} points, {} of restic, {} forgets, {} prunes, {} bytes freed",
        count(points),
        count(foreign),
        count(forgets),
        count(prunes),
        count(freed)
    );
    assert!(count(points) > 3 && count(prunes) > 1 && count(forgets) > 1);
    lab.restic(&["check", "--read-data"]);
    every_point_comes_back(&lab);
    lab.run(None, &["prune", "--max-unused", "0"], 0);
    let said = lab.restic(&["prune", "--dry-run", "--max-unused", "0"]);
    assert!(said.contains("unused size after prune: 0 B"), "{said}");
    lab.restic(&["check", "--read-data"]);
}

fn every_point_comes_back(lab: &Lab) {
    let points = lab.json(None, &["points"], 0);
    for point in points["points"].as_array().unwrap() {
        let id = point["id"].as_str().unwrap();
        let target = lab.path("back");
        lab.run(
            None,
            &["restore", id, "--target", target.to_str().unwrap()],
            0,
        );
        fs_err::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_prune_beside_three_writers() {
    prune_beside_three_writers(Duration::from_secs(8));
}

#[test]
fn soak_a_prune_beside_three_writers_for_ten_minutes() {
    prune_beside_three_writers(Duration::from_secs(600));
}

/// A small generator: the same history for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Both programs write, forget and prune, each step with one of these restics; after each step that one finds the vault
/// whole, and so do we; at the end they all do.
fn history(seed: u64, steps: usize, restics: &[&Path]) {
    let lab = Lab::new();
    lab.init();
    let mut dice = Dice(seed);
    let mut folders: Vec<Folder<'_>> = ["a", "b"].map(|name| Folder::new(&lab, name)).into();
    let mut log = std::io::stdout();
    for step in 0..steps {
        let folder = &mut folders[dice.below(2) as usize];
        folder.change();
        folder.change();
        let path = folder.path();
        let path = path.to_str().unwrap();
        let keep = (1 + dice.below(3)).to_string();
        let percent = format!("{}%", [0, 5, 40][dice.below(3) as usize]);
        let program = restics[dice.below(restics.len() as u64) as usize];
        let restic = |args: &[&str]| lab.restic_at(program, args);
        let what = dice.below(9);
        let shown = program.display();
        writeln!(
            log,
            "{seed:x} step {step}: {what} {path} {keep} {percent} {shown}"
        )
        .unwrap();
        match what {
            0 | 1 => drop(lab.run(None, &["backup", "--path", path], 0)),
            2 | 3 => drop(restic(&["backup", path])),
            4 => drop(lab.run(None, &["forget", "--keep-last", &keep], 0)),
            5 => drop(restic(&["forget", "--keep-last", &keep])),
            6 => drop(lab.run(None, &["prune", "--max-unused", &percent], 0)),
            7 => drop(restic(&["prune", "--max-unused", &percent])),
            _ => {
                let mut backup = lab.command(None, &["backup", "--path", path]);
                backup.env("LIFEBOAT_TEST_KILL_AT", "write-snapshot");
                assert!(!backup.status().unwrap().success());
                // restic waits for nobody: our next run takes the lock of the dead away.
                lab.run(None, &["check"], 0);
            }
        }
        restic(&["check", "--read-data"]);
        lab.run(None, &["check", "--read-data"], 0);
    }
    for program in restics {
        lab.restic_at(program, &["check", "--read-data"]);
    }
    every_point_comes_back(&lab);
    let whole = stdout(&lab.run(None, &["points"], 0));
    writeln!(log, "{whole}").unwrap();
    assert!(Path::new(&lab.vault()).exists());
}

#[test]
fn both_programs_write_forget_and_prune() {
    history(0x5eed, 12, &[Path::new("restic")]);
}

/// Debian's restic and the newest in turns.
#[test]
fn the_newest_restic_writes_forgets_and_prunes_as_well() {
    let newest = newest_restic().unwrap();
    history(0xb0a7, 8, &[&newest, Path::new("restic")]);
}

#[test]
fn soak_long_histories_of_both_programs() {
    let newest = newest_restic().unwrap();
    for seed in 1..=6 {
        history(seed * 0x9e37_79b9, 60, &[&newest, Path::new("restic")]);
    }
}
