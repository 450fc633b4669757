//! Recovery points mounted: the same to every program as what was backed up, also while a backup runs; gone when it
//! is told, and when it was killed, cleared by the next.
//!
//! Seen to fail: while links of pipes and symbolic links had numbers of their own.

#![allow(clippy::print_stdout)]

use std::{
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fs_err as fs;
use lifeboat_testkit::oddities::{self, Ignore};
use tempfile::TempDir;

use crate::support::PATIENCE;

struct Host {
    dir: TempDir,
}

impl Host {
    /// A vault with one point of a tree of oddities.
    fn new() -> Host {
        let host = Host {
            dir: tempfile::tempdir().unwrap(),
        };
        oddities::make(&host.path("data"), 5 << 20).unwrap();
        fs::create_dir(host.path("points")).unwrap();
        host.run(&["init", "-q"]);
        host.back_up();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn lifeboat(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command
            .env("LIFEBOAT_CONFIG_DIR", self.path("etc"))
            .env("LIFEBOAT_STATE_DIR", self.path("var"));
        command
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.lifeboat().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    }

    fn back_up(&self) {
        self.run(&[
            "backup",
            "-q",
            "--path",
            self.path("data").to_str().unwrap(),
        ]);
    }

    fn mount(&self) -> Mounted {
        let mut child = self
            .lifeboat()
            .arg("mount")
            .arg(self.path("points"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        // Of a mount that was killed the kernel still remembers `ids`; only a listing asks who is there.
        while fs::read_dir(self.path("points/ids")).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                panic!("mount ended with {status}: {said}");
            }
            assert!(began.elapsed() < PATIENCE, "it never came");
            std::thread::sleep(Duration::from_millis(20));
        }
        Mounted {
            child,
            place: self.path("points"),
        }
    }

    /// The data in the newest point.
    fn mounted_data(&self) -> PathBuf {
        let latest = self.path("points/snapshots/latest");
        let inside = self.path("data");
        latest.join(inside.strip_prefix("/").unwrap())
    }
}

struct Mounted {
    child: Child,
    place: PathBuf,
}

impl Mounted {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// What it said and how it ended.
    fn wait(&mut self) -> (String, Option<i32>) {
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        let stderr = self.child.stderr.take();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        (said, status.code())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.place).output();
    }
}

fn is_mounted(place: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.contains(&format!(" {} ", place.display()))
}

#[test]
fn a_mount_is_what_was_backed_up_while_a_backup_runs() {
    let host = Host::new();
    let mut mounted = host.mount();
    let from = host.path("data");
    let point = host.mounted_data();
    // The point that is looked at, whatever comes meanwhile.
    let point = fs::canonicalize(point).unwrap();
    std::thread::scope(|scope| {
        let backups = scope.spawn(|| (0..3).for_each(|_| host.back_up()));
        let ignore = Ignore {
            holes: true,
            ..Ignore::default()
        };
        assert_eq!(
            oddities::compare(&from, &point, &ignore).unwrap(),
            Vec::<String>::new()
        );
        let diff = Command::new("diff")
            .args(["-r", "--no-dereference", "--exclude=special"])
            .args([&from, &point])
            .output()
            .unwrap();
        assert!(
            diff.status.success(),
            "{}",
            String::from_utf8_lossy(&diff.stdout)
        );
        let count = |at: &Path| {
            let found = Command::new("find").arg(at).output().unwrap();
            assert!(found.status.success());
            found.stdout.iter().filter(|byte| **byte == b'\n').count()
        };
        assert_eq!(count(&from), count(&point));
        random_reads(&from.join("files/large"), &point.join("files/large"));
        backups.join().unwrap();
    });
    // Points that were made meanwhile appear.
    let began = Instant::now();
    while fs::read_dir(host.path("points/ids")).unwrap().count() < 5 {
        assert!(began.elapsed() < PATIENCE, "the new points never came");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(fs::write(host.path("points/ids/new"), "x").is_err());
    mounted.signal(rustix::process::Signal::INT);
    let (said, code) = mounted.wait();
    assert_eq!(code, Some(0), "{said}");
    assert!(!is_mounted(&host.path("points")));
    // Nobody holds a lock any more.
    assert_eq!(
        fs::read_dir(host.path("var/vault/locks")).unwrap().count(),
        0
    );
}

/// Pieces of 8 KiB from anywhere, compared. The times are of what the kernel may have in its cache.
fn random_reads(from: &Path, mounted: &Path) {
    let (a, b) = (
        fs::File::open(from).unwrap(),
        fs::File::open(mounted).unwrap(),
    );
    let size = a.metadata().unwrap().len();
    let mut times = Vec::new();
    let mut state = 7_u64;
    for _ in 0..1000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let offset = (state >> 20) % size;
        let (mut one, mut two) = ([0; 8192], [0; 8192]);
        let length = a.file().read_at(&mut one, offset).unwrap();
        let began = Instant::now();
        assert_eq!(b.file().read_at(&mut two, offset).unwrap(), length);
        times.push(began.elapsed());
        assert!(one == two, "at {offset}");
    }
    times.sort();
    println!("8 KiB: median {:?}, p99 {:?}", times[500], times[990]);
}

#[test]
fn holes_are_holes() {
    let host = Host::new();
    let file = fs::File::create(host.path("data/with a hole")).unwrap();
    file.file().write_all_at(b"head", 0).unwrap();
    file.file().write_all_at(b"tail", 64 << 20).unwrap();
    drop(file);
    host.back_up();
    let _mounted = host.mount();
    let mut file = fs::File::open(host.mounted_data().join("with a hole")).unwrap();
    let metadata = file.metadata().unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(metadata.len(), (64 << 20) + 4);
    assert!(metadata.blocks() < 20_000, "{} blocks", metadata.blocks());
    let hole = rustix::fs::seek(file.file(), rustix::fs::SeekFrom::Hole(0)).unwrap();
    let data = rustix::fs::seek(file.file(), rustix::fs::SeekFrom::Data(hole)).unwrap();
    assert!(hole < 2 << 20 && data > 60 << 20, "{hole} {data}");
    let mut bytes = [1; 12];
    file.seek(SeekFrom::Start((64 << 20) - 8)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0\0\0\0\0\0\0tail");
}

#[test]
fn damage_is_an_error_and_never_zeros() {
    let host = Host::new();
    // Each pack loses a byte in its first blob.
    for folder in fs::read_dir(host.path("var/vault/data")).unwrap() {
        for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = pack.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
    let mut mounted = host.mount();
    let cat = Command::new("find")
        .arg(host.path("points/snapshots/latest/"))
        .args(["-type", "f", "-exec", "cat", "{}", "+"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&cat.stderr).into_owned();
    assert!(said.contains("Input/output error"), "{said}");
    mounted.signal(rustix::process::Signal::TERM);
    let (said, _) = mounted.wait();
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn what_was_killed_is_cleared_by_the_next() {
    let host = Host::new();
    let mut mounted = host.mount();
    mounted.signal(rustix::process::Signal::KILL);
    mounted.child.wait().unwrap();
    let dead = rustix::fs::stat(host.path("points")).err();
    assert_eq!(dead, Some(rustix::io::Errno::NOTCONN));
    let mut again = host.mount();
    let twice = host
        .lifeboat()
        .arg("mount")
        .arg(host.path("points"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert!(said.contains("mounted there already"), "{said}");
    // `umount` ends it as well as a signal.
    let umount = Command::new("umount")
        .arg(host.path("points"))
        .status()
        .unwrap();
    assert!(umount.success());
    assert_eq!(again.wait().1, Some(0));
    for (place, why) in [("data", "not empty"), ("nowhere", "no such directory")] {
        let refused = host
            .lifeboat()
            .arg("mount")
            .arg(host.path(place))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
}
