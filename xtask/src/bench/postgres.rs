//! A PostgreSQL cluster after pgbench, by the distribution's programs out of the image of the sample app.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use lifeboat_testkit::{command, images};

use crate::root;

/// In a mount namespace of its own, chrooted: no port is opened, and nothing is left but the data.
const SCRIPT: &str = r#"
set -e
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
exec chroot "$1" /bin/su postgres -s /bin/sh -c '
set -e
cd /tmp
b=$(echo /usr/lib/postgresql/*/bin)
$b/initdb -D /tmp/pg -A trust -E UTF8 --locale=C >/dev/null
$b/pg_ctl -D /tmp/pg -s -w -l /tmp/log -o "-c listen_addresses= -c unix_socket_directories=/tmp -c dynamic_shared_memory_type=mmap -c fsync=off -c max_wal_size=256MB" start
$b/pgbench -h /tmp -q -i -s "$0" postgres >/dev/null 2>&1
$b/pgbench -h /tmp -c 2 -t 5000 --random-seed=1 postgres >/dev/null 2>&1
$b/psql -h /tmp -q -c "vacuum analyze; checkpoint" postgres >/dev/null 2>&1 || $b/psql -h /tmp -q -c checkpoint postgres
$b/pg_ctl -D /tmp/pg -s -w -m fast stop' "$2"
"#;

/// Makes `dir/pg`.
pub fn make(dir: &Path, scale: u64) -> Result<()> {
    if !root::is_root() {
        bail!(
            "the set with PostgreSQL is made in a chroot: run this as root, or leave the set out"
        );
    }
    let system = dir.join("system");
    fs_err::create_dir(&system)?;
    let layer = images::services_base()?;
    let mut tar = Command::new("tar");
    command::run(tar.arg("xpf").arg(layer).arg("-C").arg(&system))?;
    for folder in ["dev", "proc", "tmp"] {
        fs_err::create_dir_all(system.join(folder))?;
    }
    command::run(Command::new("chmod").arg("1777").arg(system.join("tmp")))?;
    let mut made = Command::new("unshare");
    made.args([
        "-m",
        "--propagation",
        "private",
        "--",
        "sh",
        "-c",
        SCRIPT,
        "pg",
    ]);
    command::run(made.arg(&system).arg(scale.to_string()))?;
    fs_err::rename(system.join("tmp/pg"), dir.join("pg"))?;
    Ok(fs_err::remove_dir_all(system)?)
}
