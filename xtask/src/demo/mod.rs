//! `cargo xtask demo`: scenarios that show Lifeboat working, each in a file of its own.
//!
//! A scenario runs as root in private engines; nothing of the machine is touched. What it made is
//! taken away at the end, also after a failure, unless `--keep` is given.

mod agent;
mod first_run;
mod recover;
mod registry;
mod stage;
mod supervise;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lifeboat_testkit::{engine, images, packages};

use crate::{build, root, say};

#[derive(clap::Args)]
pub struct Args {
    /// Which scenario; see --list
    #[arg(default_value = DEFAULT)]
    scenario: String,
    /// Leave everything that it made, and say where
    #[arg(long)]
    keep: bool,
    /// Use this `lifeboat` instead of building one in release
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// For how long `agent` keeps the app under load
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Name the scenarios
    #[arg(long)]
    list: bool,
    /// Take away what an earlier run with --keep left in this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["keep", "list"])]
    remove: Option<PathBuf>,
}

/// What a scenario is given.
pub struct Context {
    /// The `lifeboat` program.
    pub lifeboat: PathBuf,
    /// A directory of its own, short enough for engines, taken away afterwards.
    pub dir: PathBuf,
    /// Leave the engines running: [`engine::PrivateEngine::detach`].
    pub keep: bool,
    /// For how long an objective is kept under load.
    pub load: Duration,
}

/// One scenario.
struct Scenario {
    name: &'static str,
    about: &'static str,
    run: fn(&Context) -> Result<()>,
}

/// How the directories of demos begin.
const PREFIX: &str = "lifeboat-";
const DEFAULT: &str = "recover";

/// All of them; later capabilities add theirs.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "recover",
        about: "an app is protected, its engine is destroyed, it comes back on an empty one",
        run: recover::run,
    },
    Scenario {
        name: "first-run",
        about: "the first two minutes: every command of the book's first page, with an app that runs",
        run: first_run::run,
    },
    Scenario {
        name: "registry",
        about: "a registry is lost, served from the vault under its name, and brought back byte for byte",
        run: registry::run,
    },
    Scenario {
        name: "supervise",
        about: "an app is killed, hung and loses its engine, with the engine alone and with the agent",
        run: supervise::run,
    },
    Scenario {
        name: "agent",
        about: "an app is labelled, its RPO kept under load; its vault is taken away, and people are told before the miss",
        run: agent::run,
    },
];

pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(dir) = &args.remove {
        return remove(dir);
    }
    if args.list {
        for scenario in SCENARIOS {
            say(format!("{:<12} {}", scenario.name, scenario.about));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(scenario) = SCENARIOS.iter().find(|s| s.name == args.scenario) else {
        let names: Vec<_> = SCENARIOS.iter().map(|s| s.name).collect();
        let (wanted, names) = (&args.scenario, names.join(", "));
        bail!("there is no scenario {wanted:?}; there are: {names}");
    };
    let begin = Instant::now();
    packages::ensure(engine::PACKAGES)?;
    packages::ensure(images::PACKAGES)?;
    let lifeboat = match &args.program {
        Some(program) => fs_err::canonicalize(program)?,
        None => build::lifeboat("release")?,
    };
    root::become_root()?;

    let place = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
    let context = Context {
        lifeboat,
        dir: place.path().to_owned(),
        keep: args.keep,
        load: Duration::from_secs(60 * args.minutes),
    };
    let done = (scenario.run)(&context);
    if args.keep {
        let dir = place.keep();
        let dir = dir.display();
        say(format!(
            "Everything is left in {dir}; `cargo xtask demo --remove {dir}` takes it away"
        ));
    }
    done?;
    say(format!("Done in {:.1} s.", begin.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

/// Takes away what `--keep` left: the engines, and the directory. Only a directory of ours.
fn remove(dir: &Path) -> Result<ExitCode> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with(PREFIX) {
        bail!("{} was not left by a demo", dir.display());
    }
    root::become_root()?;
    for entry in fs_err::read_dir(dir)? {
        let engine = entry?.path();
        if engine.join("token").is_file() {
            engine::PrivateEngine::destroy_at(&engine)?;
        }
    }
    fs_err::remove_dir_all(dir)?;
    Ok(ExitCode::SUCCESS)
}
