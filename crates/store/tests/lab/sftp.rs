use std::{path::Path, time::Duration};

use lifeboat_store::{Access, Area, Limits, ObjectName, StoreError, conformance, open};
use lifeboat_testkit::server::SftpServer;

use crate::support::{BYTES, impatient, named, object, tells_the_time};

fn access(server: &SftpServer) -> Access {
    let mut access = impatient();
    access.sftp.command = Some(server.ssh());
    access
}

#[test]
fn sftp_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let server = SftpServer::start(&dir.path().join("ssh")).unwrap();
    let root = dir.path().join("deep/down");
    let store = open(&server.place(&root), &access(&server)).unwrap();
    conformance::run(&*store).unwrap();
    let can = store.probe().unwrap();
    assert!(can.exclusive_create && can.lists_at_once && !can.append_only);
    assert!(store.free_space().unwrap() > 0);
    tells_the_time(&*store);
    // Nothing half-written is left, and nobody else can look in.
    let mut find = std::process::Command::new("find");
    let found = find
        .arg(&root)
        .args(["-name", ".tmp-*", "-o", "-perm", "/077"]);
    assert_eq!(found.output().unwrap().stdout, b"");
}

#[test]
fn sftp_files_larger_than_any_program_writes_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = SftpServer::start(&dir.path().join("ssh")).unwrap();
    let store = open(&server.place(dir.path()), &access(&server)).unwrap();
    for area in [Area::Keys, Area::Locks, Area::Snapshots, Area::Index] {
        let name = object(area);
        let path = dir.path().join(name.to_string());
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs_err::File::create(&path).unwrap();
        file.set_len(area.largest() + 1).unwrap();
        let error = store.get(&name).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&name.to_string()), "{said}");
        // A part of it is as good as any other.
        assert_eq!(store.get_range(&name, 5, 3).unwrap(), [0; 3]);
    }
}

#[test]
fn sftp_comes_back_after_a_lost_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = SftpServer::start(&dir.path().join("ssh")).unwrap();
    let mut access = access(&server);
    access.limits = Limits::new(Some(4 << 20), None);
    access.retry.total = Duration::from_secs(30);
    let store = open(&server.place(&dir.path().join("v")), &access).unwrap();
    store.create().unwrap();
    let bytes = vec![3; 8 << 20];
    let name = named(Area::Data, &bytes);
    std::thread::scope(|scope| {
        let put = scope.spawn(|| store.put(&name, &bytes));
        std::thread::sleep(Duration::from_millis(700));
        // The way to the server, and then the server.
        kill_children_called("ssh");
        server.server.kill();
        std::thread::sleep(Duration::from_millis(500));
        server.server.start_again().unwrap();
        put.join().unwrap().unwrap();
    });
    assert!(store.get(&name).unwrap() == bytes);
}

fn kill_children_called(name: &str) {
    let own = std::process::id().to_string();
    let mut list = std::process::Command::new("ps");
    let said = list
        .args(["--ppid", &own, "-o", "pid=,comm="])
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let pids = text.lines().filter_map(|line| {
        let (pid, program) = line.trim().split_once(' ')?;
        (program.trim() == name).then_some(pid)
    });
    for pid in pids {
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-9", pid]).status().unwrap().success());
    }
}

#[test]
fn sftp_refusals_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = SftpServer::start(&dir.path().join("ssh")).unwrap();
    let place = server.place(&dir.path().join("v"));
    let said = |access: &Access| {
        let store = open(&place, access).unwrap();
        store.size(&ObjectName::config()).unwrap_err()
    };
    assert!(matches!(said(&access(&server)), StoreError::NotFound(_)));
    // A host that ssh does not know, and one that does not know us.
    let mut stranger = access(&server);
    stranger.sftp.command = Some(format!("{} -oUserKnownHostsFile=/dev/null", server.ssh()));
    let error = said(&stranger);
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("by hand"), "{error}");
    server.forget_keys().unwrap();
    let error = said(&access(&server));
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("key or an agent"), "{error}");
    let mut nothing = impatient();
    nothing.sftp.command = Some("/no/such/ssh".to_owned());
    assert!(matches!(said(&nothing), StoreError::Unreachable { .. }));
}

#[test]
fn sftp_full_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let server = SftpServer::start(&dir.path().join("ssh")).unwrap();
    let small = dir.path().join("small");
    let _mounted = Mounted::tmpfs(&small, "2m");
    let store = open(&server.place(&small.join("v")), &access(&server)).unwrap();
    store.create().unwrap();
    store.put(&object(Area::Keys), BYTES).unwrap();
    let bytes = vec![5; 4 << 20];
    let error = store.put(&named(Area::Data, &bytes), &bytes).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(store.get(&object(Area::Keys)).unwrap(), BYTES);
}

struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a Path, size: &str) -> Self {
        fs_err::create_dir_all(at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "lifeboat-lab"]);
        assert!(mount.arg(at).status().unwrap().success());
        Self(at)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        let _ = umount.arg("-l").arg(self.0).status();
    }
}
