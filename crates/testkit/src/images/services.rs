//! The image with the distribution's PostgreSQL and Redis, as they really are, and the scripts of
//! the sample app.
//!
//! Two layers: the distribution's files (made by debootstrap, cached by themselves because they take
//! a minute), and our scripts on top. What no service needs at run time (documentation, translations,
//! package lists, the JIT compiler's LLVM) is left out, because every test captures this image.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::json;

use super::{Image, PACKAGES, archive};
use crate::command::run;
use crate::{Result, cache, mirror::Mirror, packages};

const TAGS: &[&str] = &[
    "lifeboat/services:latest",
    "lifeboat/services:1.0",
    "registry.example:5000/shop/services:stable",
];

const INCLUDE: &str = "postgresql,redis-server";

const PREPARE: &str = include_str!("base-prepare.sh");
const STRIP: &str = include_str!("base-strip.sh");
const PLACES: &str = include_str!("places.sh");

/// The image with PostgreSQL and Redis, three tags, made if it is not in the cache: about a minute.
pub fn services() -> Result<Image> {
    packages::ensure(PACKAGES)?;
    let mirror = Mirror::of_this_machine()?;
    let base = base_layer(&mirror)?;
    let scripts = [
        ("shop-postgres", include_str!("shop-postgres.sh")),
        ("shop-worker", include_str!("shop-worker.sh")),
    ];
    let config = json!({
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "PGDATA=/var/lib/postgresql/data",
        ],
        "Cmd": ["bash"],
        "WorkingDir": "/",
        "Labels": {"org.opencontainers.image.title": "PostgreSQL and Redis"},
    });
    let recipe = format!(
        "services image 1\n{}\n{scripts:?}\n{config}\n",
        base.display()
    );
    let dir = cache::entry("image-services", &recipe, |dir| {
        let root = dir.join("root");
        fs::create_dir_all(root.join("usr/local/bin"))?;
        for (name, text) in scripts {
            fs::write(root.join("usr/local/bin").join(name), text)?;
        }
        run(Command::new("sh")
            .current_dir(&root)
            .args(["-c", PLACES])
            .arg("places")
            .arg(&base))?;
        let top = dir.join("top.tar");
        archive::pack_layer(&root, &top)?;
        archive::write(dir, &[base.join("layer.tar"), top.clone()], &config, TAGS)?;
        fs::remove_file(top)?;
        Ok(fs::remove_dir_all(root)?)
    })?;
    archive::open(&dir, TAGS)
}

/// The distribution's files with PostgreSQL and Redis, as a tar file.
pub fn services_base() -> Result<PathBuf> {
    packages::ensure(PACKAGES)?;
    Ok(base_layer(&Mirror::of_this_machine()?)?.join("layer.tar"))
}

/// The distribution's files as a layer: a cache entry with `layer.tar` and `passwd`.
fn base_layer(mirror: &Mirror) -> Result<PathBuf> {
    let recipe = format!(
        "services base 2\n{} {}\n{INCLUDE}\n{PREPARE}{STRIP}",
        mirror.suite,
        std::env::consts::ARCH
    );
    cache::entry("layer-services", &recipe, |dir| {
        let root = dir.join("root");
        let built = bootstrap(mirror, &root).and_then(|()| {
            run(Command::new("sh").current_dir(&root).args(["-c", STRIP]))?;
            fs::copy(root.join("etc/passwd"), dir.join("passwd"))?;
            archive::pack_layer(&root, &dir.join("layer.tar"))
        });
        // Also after a failure: a half-made tree of other owners is in nobody's interest.
        fs::remove_dir_all(&root)?;
        built
    })
}

fn bootstrap(mirror: &Mirror, root: &Path) -> Result<()> {
    mirror.bootstrap(root, INCLUDE, |root| {
        run(Command::new("sh").current_dir(root).args(["-c", PREPARE])).map(drop)
    })
}
