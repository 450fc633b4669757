//! Little memory, one core, and sources that do not hold still. Short here; the sizes of the issue are the
//! tests whose names begin with `soak_` (`LIFEBOAT_TEST_GIB` scales the largest).

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    support::Lab,
    tiny::{Small, noise, stderr},
};

/// A control group of our own with a limit on memory, version 1 or 2; what exceeds it is killed.
pub struct Limited {
    dir: PathBuf,
    v1: bool,
}

impl Limited {
    pub fn new(name: &str, bytes: u64) -> Self {
        let v1 = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists();
        let root = if v1 {
            "/sys/fs/cgroup/memory"
        } else {
            "/sys/fs/cgroup"
        };
        let dir = Path::new(root).join(format!("lifeboat-test-{}-{name}", std::process::id()));
        fs_err::create_dir(&dir).unwrap();
        let limited = Self { dir, v1 };
        let file = if v1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        fs_err::write(limited.dir.join(file), bytes.to_string()).unwrap();
        limited
    }

    /// The same command inside, on one core. Returns its output and the most that it had resident.
    pub fn run(&self, command: &Command) -> (Output, u64) {
        let mut inside = Command::new("sh");
        let procs = self.dir.join("cgroup.procs");
        inside.args(["-c", "echo $$ > \"$0\"; exec taskset -c 0 \"$@\""]);
        inside
            .arg(procs)
            .args(["/usr/bin/time", "-q", "-f", "peak %M"]);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        let output = inside.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let peak = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("peak "));
        let peak: u64 = peak
            .unwrap_or_else(|| panic!("{text}"))
            .trim()
            .parse()
            .unwrap();
        (output, peak << 10)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // What is left of it goes to the group above.
        if self.v1 {
            let _ = fs_err::write(self.dir.join("memory.force_empty"), "0");
        }
        let _ = fs_err::remove_dir(&self.dir);
    }
}

/// Makes, saves twice, restores and compares under a limit; returns the peaks of the three runs.
fn within(lab: &Lab, source: &Path, limit: u64, files: usize) -> [u64; 3] {
    lab.init();
    let limited = Limited::new("lean", limit);
    let run = |args: &[&str]| {
        let (output, peak) = limited.run(&lab.command(None, args));
        assert!(
            output.status.success(),
            "{args:?} did not end within {limit} bytes: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        peak
    };
    let path = source.to_str().unwrap();
    let target = lab.path("out");
    let peaks = [
        run(&["backup", "--path", path]),
        run(&["backup", "--path", path]),
        run(&["restore", "latest", "--target", target.to_str().unwrap()]),
    ];
    let back = target.join(source.strip_prefix("/").unwrap());
    let mut seen = 0;
    for entry in fs_err::read_dir(source).unwrap() {
        let name = entry.unwrap().file_name();
        let read = |dir: &Path| fs_err::read(dir.join(&name)).unwrap();
        assert!(read(source) == read(&back), "{}", name.display());
        seen += 1;
    }
    assert_eq!(seen, files);
    peaks
}

pub fn wide(dir: &Path, files: usize) {
    fs_err::create_dir_all(dir).unwrap();
    for n in 0..files {
        fs_err::write(
            dir.join(format!("f{n:07}")),
            noise(100, n as u64 * 7919 + 1),
        )
        .unwrap();
    }
}

/// Its trees have 13 MB of JSON: large enough to be written and read in pieces.
#[test]
fn lean_a_wide_directory_in_little_memory_on_one_core() {
    let lab = Lab::new();
    let source = lab.path("wide");
    wide(&source, 40_000);
    let peaks = within(&lab, &source, 120 << 20, 40_000);
    assert!(peaks.iter().all(|peak| *peak < 110 << 20), "{peaks:?}");
    // restic reads trees that were compressed in pieces.
    lab.restic(&["check", "--read-data"]);
}

#[test]
#[ignore = "some minutes"]
fn soak_lean_a_directory_of_300_000_files_under_256_mb() {
    let lab = Lab::new();
    let source = lab.path("wide");
    wide(&source, 300_000);
    let peaks = within(&lab, &source, 256 << 20, 300_000);
    println!("peaks: {:?} MiB", peaks.map(|peak| peak >> 20));
    lab.restic(&["check", "--read-data"]);
}

/// Gibibytes of the large tests.
fn gib() -> u64 {
    let set = std::env::var("LIFEBOAT_TEST_GIB").ok();
    set.map_or(10, |text| text.parse().unwrap())
}

pub fn large(path: &Path, bytes: u64) {
    let mut file = fs_err::File::create(path).unwrap();
    for n in 0..bytes.div_ceil(1 << 20) {
        file.write_all(&noise(1 << 20, n + 1)).unwrap();
    }
}

pub fn hash(path: &Path) -> String {
    let said = Command::new("sha256sum").arg(path).output().unwrap().stdout;
    String::from_utf8(said).unwrap()[..64].to_owned()
}

/// Killed `times` times on its way and finished by running it again.
fn interrupted(lab: &Lab, bytes: u64, times: u64) {
    let source = lab.path("source");
    fs_err::create_dir_all(&source).unwrap();
    // Some files, so that some are whole at each interruption.
    for n in 0..10 {
        large(&source.join(format!("big{n}")), bytes / 10);
    }
    lab.init();
    lab.run(None, &["backup", "--path", source.to_str().unwrap()], 0);
    let target = lab.path("out");
    let args = [
        "restore",
        "latest",
        "--resume",
        "--target",
        target.to_str().unwrap(),
    ];
    let written = || {
        let said = Command::new("du")
            .args(["-s", "-B1"])
            .arg(&target)
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_whitespace()
            .next()
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let mut killed = 0;
    for n in 1..=times {
        let mut child = lab.command(None, &args).spawn().unwrap();
        while written() < bytes * n / (times + 1) && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        killed += u64::from(!child.wait().unwrap().success());
    }
    assert!(
        killed > 0,
        "it was always faster than the hand that was to stop it"
    );
    lab.run(None, &args, 0);
    let back = target.join(source.strip_prefix("/").unwrap());
    for n in 0..10 {
        let name = format!("big{n}");
        assert_eq!(hash(&source.join(&name)), hash(&back.join(&name)), "{name}");
    }
}

#[test]
fn lean_a_restore_interrupted_five_times() {
    interrupted(&Lab::new(), 200 << 20, 5);
}

#[test]
#[ignore = "10 GB, three times"]
fn soak_lean_a_restore_of_10_gb_interrupted_five_times() {
    interrupted(&Lab::new(), gib() << 30, 5);
}

#[test]
fn lean_a_disk_that_fills_in_the_middle_of_a_restore() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs_err::create_dir_all(&source).unwrap();
    for n in 0..8 {
        large(&source.join(format!("f{n}")), 4 << 20);
    }
    lab.init();
    lab.run(None, &["backup", "--path", source.to_str().unwrap()], 0);
    let small = Small::mount(&lab.path("disk"), "18m");
    let target = lab.path("disk/out");
    let args = [
        "restore",
        "latest",
        "--resume",
        "--target",
        target.to_str().unwrap(),
    ];
    let said = stderr(&lab.run(None, &args, 1));
    assert!(
        said.contains("No space") || said.contains("no space"),
        "{said}"
    );
    small.grow("64m");
    lab.run(None, &args, 0);
    let back = target.join(source.strip_prefix("/").unwrap());
    for n in 0..8 {
        let name = format!("f{n}");
        assert_eq!(hash(&source.join(&name)), hash(&back.join(&name)));
    }
}

/// Does something again and again until dropped.
struct Busy(Arc<AtomicBool>, Option<thread::JoinHandle<()>>);

impl Busy {
    fn with(mut work: impl FnMut(u64) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let worker = thread::spawn(move || {
            // Bounded, whatever becomes of the test.
            let begin = Instant::now();
            let mut n = 0;
            while !seen.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(120) {
                work(n);
                n += 1;
            }
        });
        Self(stop, Some(worker))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if let Some(worker) = self.1.take() {
            let _ = worker.join();
        }
    }
}

#[test]
fn lean_a_file_that_grows_without_end() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs_err::create_dir_all(&source).unwrap();
    let path = source.join("log");
    large(&path, 8 << 20);
    lab.init();
    let mut file = fs_err::OpenOptions::new().append(true).open(&path).unwrap();
    let grows = Busy::with(move |n| {
        // At most 2 GiB; a file that does not end is one that ends later than the backup.
        if n < 32_768 {
            file.write_all(&[n as u8; 64 << 10]).unwrap();
        }
        thread::sleep(Duration::from_millis(1));
    });
    let said = stderr(&lab.run(None, &["backup", "--path", source.to_str().unwrap()], 3));
    drop(grows);
    assert!(said.contains("changed while it was read"), "{said}");
    lab.restic(&["check", "--read-data"]);
}

#[test]
fn lean_a_directory_that_changes_under_the_walker() {
    let lab = Lab::new();
    let source = lab.path("source");
    for n in 0..50 {
        wide(&source.join(format!("d{n}")), 40);
    }
    let steady = lab.path("source/steady");
    wide(&steady, 100);
    let at = source.clone();
    let busy = Busy::with(move |n| {
        let (dir, other) = (
            at.join(format!("d{}", n % 50)),
            at.join(format!("d{}", n * 7 % 50)),
        );
        let name = format!("f{:07}", n % 40);
        let _ = match n % 5 {
            0 => std::fs::remove_file(dir.join(&name)),
            1 => std::fs::rename(dir.join(&name), other.join(&name)),
            2 => std::fs::write(dir.join(&name), noise(500, n)),
            3 => std::fs::create_dir(dir.join(format!("new{n}"))),
            // A directory becomes a link and back.
            _ => {
                let aside = at.join("aside");
                let _ = std::fs::rename(&dir, &aside);
                let _ = std::os::unix::fs::symlink("/", &dir);
                let _ = std::fs::remove_file(&dir);
                std::fs::rename(&aside, &dir)
            }
        };
    });
    lab.init();
    for _ in 0..4 {
        let args = ["backup", "--path", source.to_str().unwrap()];
        let output = lab.command(None, &args).output().unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 3)), "{code:?}: {}", stderr(&output));
    }
    drop(busy);
    lab.restic(&["check", "--read-data"]);
    let target = lab.path("out");
    lab.run(
        None,
        &["restore", "latest", "--target", target.to_str().unwrap()],
        0,
    );
    let back = target.join(steady.strip_prefix("/").unwrap());
    for n in 0..100 {
        let name = format!("f{n:07}");
        assert_eq!(
            fs_err::read(steady.join(&name)).unwrap(),
            fs_err::read(back.join(&name)).unwrap()
        );
    }
}

/// The options that make a backup stand back are taken, and what it saves is what it saves without.
#[test]
fn lean_a_backup_that_stands_back() {
    let lab = Lab::new();
    let source = lab.path("source");
    wide(&source, 200);
    lab.init();
    let args = [
        "backup",
        "--idle",
        "--read-concurrency",
        "1",
        "--path",
        source.to_str().unwrap(),
    ];
    let output = lab.run(None, &args, 0);
    assert!(
        !stderr(&output).contains("stand back"),
        "{}",
        stderr(&output)
    );
    lab.run(
        None,
        &[
            "backup",
            "--read-concurrency",
            "0",
            "--path",
            "/etc/hostname",
        ],
        2,
    );
}

/// What the host's own work gets done in a second, with as many threads as there are cores.
fn work_done(seconds: u64) -> f64 {
    let ends = Instant::now() + Duration::from_secs(seconds);
    let cores = thread::available_parallelism().unwrap().get();
    let work = move || {
        let (mut rounds, mut state) = (0_u64, 1_u64);
        while Instant::now() < ends {
            for _ in 0..10_000 {
                state = std::hint::black_box(state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rounds);
            }
            rounds += 1;
        }
        rounds
    };
    let threads: Vec<_> = (0..cores).map(|_| thread::spawn(work)).collect();
    let rounds: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    rounds as f64 / seconds as f64
}

/// The host's work beside a backup with these options, as a part of what it does alone.
fn beside_a_backup(lab: &Lab, source: &Path, options: &[&str], alone: f64) -> f64 {
    let mut args = vec!["backup", "--path", source.to_str().unwrap()];
    args.extend(options);
    let mut child = lab.command(None, &args).spawn().unwrap();
    thread::sleep(Duration::from_secs(1));
    let part = work_done(3) / alone;
    assert!(
        child.try_wait().unwrap().is_none(),
        "the backup ended before it was measured"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    part
}

#[test]
#[ignore = "wants a quiet machine"]
fn soak_lean_a_backup_leaves_a_busy_host_its_cores() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs_err::create_dir(&source).unwrap();
    for n in 0..12 {
        let mut file = fs_err::File::create(source.join(format!("big{n}"))).unwrap();
        for m in 0..512 {
            file.write_all(&noise(1 << 20, 2 * (n * 512 + m) + 1))
                .unwrap();
        }
    }
    lab.init();
    let alone = work_done(5);
    let beside = beside_a_backup(&lab, &source, &[], alone);
    let idle = beside_a_backup(&lab, &source, &["--idle"], alone);
    println!(
        "the host's own work: {:.0} % beside a backup, {:.0} % beside one with --idle",
        beside * 100.0,
        idle * 100.0
    );
    assert!(idle > 0.9, "{idle}");
}
