//! `cargo xtask package`: a Debian package of the program, its manual, completions and systemd unit.
//!
//! Assembled by the distribution's own `dpkg-deb`; what it is made of lies in `deploy/`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use fs_err as fs;
use lifeboat_testkit::{command, packages};

use crate::{build, say};

#[derive(clap::Args)]
pub struct Args {
    /// Package this program instead of building one in release
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Version, as Debian writes them [default: the workspace's]
    #[arg(long)]
    version: Option<String>,
    /// Folder for the package
    #[arg(long, value_name = "DIR", default_value = "target/package")]
    into: PathBuf,
}

const NEEDS: &[(&str, &str)] = &[
    ("dpkg", "assembles the package"),
    ("binutils", "takes out what only debuggers read"),
];

const DESCRIPTION: &str = "\
Description: keeps containerised applications up and brings them back after a disaster
 Lifeboat protects an app of Docker containers as one consistent recovery point
 (definitions, images, volumes and bind mounts), replicates it, and recovers it
 on any engine: a file, a volume, an app or a whole host. Its agent restarts what
 dies or does not answer, and keeps each app's objectives.
";

pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    packages::ensure(NEEDS)?;
    let program = match &args.program {
        Some(program) => fs::canonicalize(program)?,
        None => build::lifeboat("release")?,
    };
    let version = match &args.version {
        Some(version) => version.clone(),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    };
    fs::create_dir_all(&args.into)?;
    let work = tempfile::tempdir_in(&args.into)?;
    let root = work.path().join("root");
    fill(&root, &workspace, &program)?;
    control(&root, &workspace, &version)?;
    let file = args
        .into
        .join(format!("lifeboat_{version}_{}.deb", architecture()?));
    // Owned by root, whoever builds it; gzip, which every dpkg reads.
    let mut assemble = Command::new("dpkg-deb");
    assemble.args(["--root-owner-group", "-Zgzip", "--build"]);
    command::run(assemble.arg(&root).arg(&file))?;
    say(file.display().to_string());
    Ok(ExitCode::SUCCESS)
}

fn architecture() -> Result<String> {
    let said = command::run(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(said.trim().to_owned())
}

/// All files but those of `DEBIAN/`.
fn fill(root: &Path, workspace: &Path, program: &Path) -> Result<()> {
    let put = |from: &Path, to: &str| -> Result<()> {
        let to = root.join(to);
        fs::create_dir_all(to.parent().context("a path in a folder")?)?;
        fs::copy(from, &to)?;
        Ok(())
    };
    put(program, "usr/bin/lifeboat")?;
    let binary = root.join("usr/bin/lifeboat");
    command::run(Command::new("strip").arg("--strip-unneeded").arg(&binary))?;
    set_mode(&binary, 0o755)?;

    let deploy = workspace.join("deploy");
    let unit = "usr/lib/systemd/system/lifeboat.service";
    put(&deploy.join("systemd/lifeboat.service"), unit)?;
    put(
        &workspace.join("LICENSE"),
        "usr/share/doc/lifeboat/copyright",
    )?;
    put(
        &workspace.join("CHANGELOG.md"),
        "usr/share/doc/lifeboat/changelog",
    )?;
    let rules = "usr/share/doc/lifeboat/prometheus/lifeboat-rules.yaml";
    put(&deploy.join("prometheus/lifeboat-rules.yaml"), rules)?;

    let manual = root.join("usr/share/man/man1");
    command::run(Command::new(&binary).arg("man").arg(&manual))?;
    let pages: Vec<PathBuf> = fs::read_dir(&manual)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    command::run(Command::new("gzip").args(["-9n", "--"]).args(pages))?;
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/lifeboat"),
        ("zsh", "usr/share/zsh/vendor-completions/_lifeboat"),
        ("fish", "usr/share/fish/vendor_completions.d/lifeboat.fish"),
    ] {
        let script = command::run(Command::new(&binary).arg("completion").arg(shell))?;
        let place = root.join(place);
        fs::create_dir_all(place.parent().context("a path in a folder")?)?;
        fs::write(place, script)?;
    }
    Ok(())
}

fn control(root: &Path, workspace: &Path, version: &str) -> Result<()> {
    let debian = root.join("DEBIAN");
    fs::create_dir_all(&debian)?;
    let size = command::run(
        Command::new("du")
            .args(["-sk", "--exclude=DEBIAN"])
            .arg(root),
    )?;
    let size = size.split_whitespace().next().unwrap_or("0");
    let libc = libc(&root.join("usr/bin/lifeboat"))?;
    let fields = format!(
        "Package: lifeboat\nVersion: {version}\nArchitecture: {}\nMaintainer: The Lifeboat authors <lifeboat@localhost>\nInstalled-Size: {size}\nSection: admin\nPriority: optional\nDepends: libc6 (>= {libc}), libgcc-s1, init-system-helpers\nRecommends: ca-certificates\nSuggests: docker.io | docker-ce, fuse3, openssh-client\n{DESCRIPTION}",
        architecture()?
    );
    fs::write(debian.join("control"), fields)?;
    for script in ["postinst", "prerm", "postrm"] {
        let to = debian.join(script);
        fs::copy(workspace.join("deploy/debian").join(script), &to)?;
        set_mode(&to, 0o755)?;
    }
    Ok(())
}

/// The oldest C library that has all that the program asks of it.
fn libc(program: &Path) -> Result<String> {
    let symbols = command::run(Command::new("objdump").arg("-T").arg(program))?;
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let version: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let (major, minor) = version.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let (major, minor) = versions.max().context("it asks nothing of the C library")?;
    Ok(format!("{major}.{minor}"))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(mode),
    )?)
}
