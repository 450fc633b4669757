//! A whole machine of the distribution's: systemd, and for a boot a kernel and an engine.
//!
//! Its root is made once by debootstrap and kept as a tar file. [`Root`] is a copy to work in by `chroot`; [`Guest`]
//! boots one in QEMU without KVM, with its kernel and initial RAM disk given, so that no boot loader is needed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::command::run;
use crate::{Error, Result, cache, mirror::Mirror, packages};

const SMALL: &str = "systemd,systemd-sysv,init-system-helpers";
const WHOLE: &str = "systemd,systemd-sysv,init-system-helpers,dbus,linux-image-cloud-amd64,docker.io,apparmor,iptables,iproute2";

/// A system that packages are installed into. Taken away when it is dropped.
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// With systemd and nothing that a machine boots from: half a minute, once.
    pub fn small(dir: &Path) -> Result<Self> {
        Self::unpack(dir, "layer-host-small", SMALL)
    }

    /// With a kernel and Docker.
    pub fn whole(dir: &Path) -> Result<Self> {
        Self::unpack(dir, "layer-host", WHOLE)
    }

    fn unpack(dir: &Path, name: &str, include: &str) -> Result<Self> {
        packages::ensure(&[(
            "debootstrap",
            "makes a machine that packages are installed on",
        )])?;
        let mirror = Mirror::of_this_machine()?;
        let recipe = format!("host 1\n{} {include}\n", mirror.suite);
        let kept = cache::entry(name, &recipe, |dir| {
            let root = dir.join("root");
            let built = mirror.bootstrap(&root, include, |_| Ok(())).and_then(|()| {
                let mut tar = Command::new("tar");
                tar.arg("-C")
                    .arg(&root)
                    .arg("-cf")
                    .arg(dir.join("root.tar"));
                tar.args([
                    "--exclude=./var/cache/apt/*",
                    "--exclude=./var/lib/apt/lists/*",
                ]);
                tar.args([
                    "--exclude=./usr/share/doc/*",
                    "--exclude=./usr/share/locale/*",
                ]);
                run(tar.arg("."))
            });
            fs::remove_dir_all(&root)?;
            built.map(drop)
        })?;
        fs::create_dir_all(dir)?;
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(dir).arg("-xf").arg(kept.join("root.tar"));
        run(&mut tar)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command in it, in mount and process namespaces of its own, so that nothing outlives it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "-p", "--fork", "--kill-child", "--", "chroot"]);
        command.arg(&self.dir).arg(program);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A machine that runs in QEMU. Ended when it is dropped.
pub struct Guest {
    child: Child,
    console: PathBuf,
}

impl Guest {
    /// Boots this root; what it writes to its serial line comes into a file beside the disk in `dir`.
    pub fn boot(root: &Root, dir: &Path) -> Result<Self> {
        packages::ensure(&[
            ("qemu-system-x86", "runs a machine"),
            ("e2fsprogs", "makes its disk"),
        ])?;
        let newest = |name: &str| -> Result<PathBuf> {
            let boot = fs::read_dir(root.dir().join("boot"))?;
            let found = boot
                .filter_map(|entry| entry.ok())
                .map(|entry| entry.path())
                .filter(|path| {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    file.starts_with(name)
                });
            let found = found.max();
            found.ok_or_else(|| Error::Broken(format!("there is no {name} in the guest")))
        };
        let (kernel, initrd) = (dir.join("kernel"), dir.join("initrd"));
        fs::copy(newest("vmlinuz")?, &kernel)?;
        fs::copy(newest("initrd")?, &initrd)?;
        let disk = dir.join("disk.ext4");
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-d"]).arg(root.dir()).arg(&disk).arg("3G");
        run(&mut make)?;
        let console = dir.join("console.txt");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"]);
        qemu.args(["-display", "none", "-no-reboot", "-nodefaults"]);
        qemu.arg("-kernel").arg(&kernel).arg("-initrd").arg(&initrd);
        qemu.args([
            "-append",
            "root=/dev/vda rw console=ttyS0 systemd.show_status=0 quiet",
        ]);
        qemu.arg("-drive");
        qemu.arg(format!("file={},format=raw,if=virtio", disk.display()));
        qemu.arg("-serial")
            .arg(format!("file:{}", console.display()));
        let quiet = qemu.stdin(Stdio::null()).stdout(Stdio::null());
        let child = quiet.stderr(Stdio::null()).spawn()?;
        Ok(Self { child, console })
    }

    /// What it has written so far.
    #[must_use]
    pub fn console(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has written this, or has ended.
    ///
    /// # Errors
    /// It did not within the time; with the end of what it wrote.
    pub fn wait_for(&mut self, words: &str, within: Duration) -> Result<String> {
        let begin = Instant::now();
        loop {
            let console = self.console();
            if console.contains(words) {
                return Ok(console);
            }
            let ended = self.child.try_wait()?.is_some();
            if ended || begin.elapsed() > within {
                let last = crate::command::tail(&console, 4000);
                return Err(Error::Broken(format!("{words:?} did not come: {last}")));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
