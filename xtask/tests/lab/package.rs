//! The Debian package: installed, upgraded, removed and purged in a clean system; and on a machine that boots.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lifeboat_testkit::{
    command,
    host::{Guest, Root},
};

use crate::lifeboat;

/// A package of this version, in the system's `/root`.
fn package(root: &Root, version: &str) -> String {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.args(["package", "--version", version, "--program"]);
    xtask
        .arg(lifeboat())
        .arg("--into")
        .arg(root.dir().join("root"));
    let said = command::run(&mut xtask).unwrap();
    let file = Path::new(said.trim()).file_name().unwrap();
    format!("/root/{}", file.to_str().unwrap())
}

fn run(root: &Root, program: &str, args: &[&str]) -> String {
    command::run(root.command(program).args(args)).unwrap()
}

fn place(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

#[test]
fn installed_upgraded_removed_and_purged() {
    let (_dir, path) = place("root");
    let root = Root::small(&path).unwrap();
    let old = package(&root, "0.1.0~1");
    run(&root, "dpkg", &["--force-unsafe-io", "-i", &old]);
    assert!(run(&root, "lifeboat", &["--version"]).starts_with("lifeboat "));
    let wanted = "/etc/systemd/system/multi-user.target.wants/lifeboat.service";
    let enabled = || path.join(&wanted[1..]).symlink_metadata().is_ok();
    assert!(enabled(), "the unit is enabled");
    // What systemd itself says of the unit: nothing.
    let unit = "/usr/lib/systemd/system/lifeboat.service";
    let said = root
        .command("systemd-analyze")
        .args(["verify", "--man=no", unit])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    let about_us: Vec<&str> = said.lines().filter(|l| l.contains("lifeboat")).collect();
    assert!(about_us.is_empty(), "{about_us:?}");
    for file in [
        "usr/share/man/man1/lifeboat.1.gz",
        "usr/share/man/man1/lifeboat-restore.1.gz",
        "usr/share/bash-completion/completions/lifeboat",
    ] {
        assert!(path.join(file).is_file(), "{file}");
    }

    // What a person has made stays over everything.
    let vault = ["init", "--sheet", "/root/sheet.txt"];
    run(&root, "lifeboat", &vault);
    let kept = ["etc/lifeboat/key", "var/lib/lifeboat/vault/config"];
    let before = kept.map(|file| fs_err::read(path.join(file)).unwrap());
    let still = |when: &str| {
        let now = kept.map(|file| fs_err::read(path.join(file)).unwrap());
        assert!(now == before, "{when}: key and vault are what they were");
    };
    let new = package(&root, "0.1.0");
    run(&root, "dpkg", &["--force-unsafe-io", "-i", &new]);
    assert!(run(&root, "dpkg-query", &["-W", "lifeboat"]).contains("0.1.0"));
    still("upgraded");
    assert!(enabled());
    run(&root, "dpkg", &["-r", "lifeboat"]);
    still("removed");
    assert!(!path.join("usr/bin/lifeboat").exists());
    // And again, as it was.
    run(&root, "dpkg", &["--force-unsafe-io", "-i", &new]);
    assert!(enabled());
    let said = run(&root, "dpkg", &["--purge", "lifeboat"]);
    assert!(said.contains("is kept"), "{said}");
    still("purged");
    assert!(!enabled());
}

/// What the guest does, and says on its serial line.
const CHECK: &str = include_str!("guest.sh");
const CHECK_UNIT: &str = "[Unit]\nAfter=multi-user.target lifeboat.service docker.service\n[Service]\nType=oneshot\nExecStart=/bin/sh /root/check.sh\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS0\nTimeoutStartSec=600\n[Install]\nWantedBy=default.target\n";

#[test]
fn soak_the_service_on_a_machine_that_boots() {
    let (dir, path) = place("root");
    let root = Root::whole(&path).unwrap();
    let package = package(&root, "0.1.0");
    run(&root, "dpkg", &["-i", &package]);
    let image = lifeboat_testkit::images::busybox().unwrap();
    fs_err::copy(&image.tar, path.join("root/busybox.tar")).unwrap();
    fs_err::write(path.join("root/check.sh"), CHECK).unwrap();
    fs_err::write(path.join("etc/systemd/system/check.service"), CHECK_UNIT).unwrap();
    run(&root, "systemctl", &["enable", "check.service"]);
    let mut guest = Guest::boot(&root, dir.path()).unwrap();
    let console = guest
        .wait_for("CHECK ENDS", Duration::from_secs(900))
        .unwrap();
    let said: Vec<&str> = console
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .collect();
    println!("{}", said.join("\n"));
    assert!(said.len() >= 9, "{console}");
    assert!(said.iter().all(|line| line.starts_with("ok ")), "{console}");
}
