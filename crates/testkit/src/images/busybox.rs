//! The small image: the distribution's static busybox and nothing else. About 2 MB.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::json;

use super::{Image, PACKAGES, archive};
use crate::command::{find_on_path, run};
use crate::{Error, Result, cache, packages};

const TAGS: &[&str] = &["lifeboat/busybox:latest", "lifeboat/busybox:1.0"];

/// The image with busybox, two tags, made if it is not in the cache.
pub fn busybox() -> Result<Image> {
    packages::ensure(&PACKAGES[..1])?;
    let program = find_on_path("busybox").ok_or_else(|| {
        Error::Unsupported("busybox-static is installed, but there is no busybox on PATH".into())
    })?;
    let version = run(Command::new(&program).arg("--help"))?;
    let version = version.lines().next().unwrap_or_default().to_owned();
    let recipe = format!("busybox image 1\n{version}\n{}\n", std::env::consts::ARCH);
    let dir = cache::entry("image-busybox", &recipe, |dir| build(dir, &program))?;
    archive::open(&dir, TAGS)
}

fn build(dir: &Path, program: &Path) -> Result<()> {
    let root = dir.join("root");
    for part in [
        "bin", "sbin", "usr/bin", "usr/sbin", "etc", "root", "tmp", "var", "www",
    ] {
        fs::create_dir_all(root.join(part))?;
    }
    fs::copy(program, root.join("bin/busybox"))?;
    for applet in run(Command::new(program).arg("--list-full"))?.lines() {
        let link = root.join(applet);
        if applet != "bin/busybox" && link.parent().is_some_and(Path::is_dir) {
            fs::os::unix::fs::symlink("/bin/busybox", link)?;
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/www:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nwww:x:33:\n")?;
    run(Command::new("chmod").arg("1777").arg(root.join("tmp")))?;
    run(Command::new("chown").arg("-R").arg("0:0").arg(&root))?;
    let layer = dir.join("layer.tar");
    archive::pack_layer(&root, &layer)?;
    let config = json!({
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["sh"],
        "Labels": {"org.opencontainers.image.title": "busybox"},
    });
    archive::write(dir, std::slice::from_ref(&layer), &config, TAGS)?;
    fs::remove_file(layer)?;
    Ok(fs::remove_dir_all(root)?)
}
