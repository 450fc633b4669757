//! `cargo xtask test`: everything that has to hold before a change lands, with the time of each part.
//!
//! A suite that fails does not keep the others from running: one run tells all there is to tell.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lifeboat_testkit::{engine, images, packages, remote};

use crate::tools::{self, DENY, NEXTEST, RUSTIC};
use crate::{root, say};

#[derive(clap::Args)]
pub struct Args {
    /// Run the long tests too, those whose name begins with `soak_`
    #[arg(long)]
    all: bool,
    /// Only this crate (as cargo names it, or without its `lifeboat-`); may be given more than once
    #[arg(short, long, value_name = "CRATE")]
    package: Vec<String>,
    /// Only the lab: tests that need root and start engines of their own
    #[arg(long, conflicts_with = "unit")]
    lab: bool,
    /// Everything but the lab
    #[arg(long)]
    unit: bool,
    /// Only install and build what the tests need
    #[arg(long)]
    prepare: bool,
    /// Only tests whose name contains this
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
}

/// What building and testing need from the distribution, beside engines and images.
const PACKAGES: &[(&str, &str)] = &[
    ("gcc", "parts of the dependencies are in C"),
    ("libc6-dev", "the same"),
    ("cmake", "the same"),
    (
        "restic",
        "reads the vaults that we write, and the other way round",
    ),
    ("e2fsprogs", "small file systems that can be full"),
];

/// Units and integration without what runs long.
const UNIT: &str = "not binary(lab) - test(/soak_/)";
/// The lab without what runs long.
const LAB: &str = "binary(lab) - test(/soak_/)";
/// All of it.
const ALL_LAB: &str = "binary(lab)";

struct Suite {
    name: &'static str,
    command: Command,
}

struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let begin = Instant::now();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(workspace).context("go to the workspace")?;
    packages::ensure(PACKAGES)?;
    if !args.unit {
        packages::ensure(engine::PACKAGES)?;
        packages::ensure(engine::PODMAN_PACKAGES)?;
        packages::ensure(engine::ROOTLESS_PACKAGES)?;
        packages::ensure(images::PACKAGES)?;
        packages::ensure(remote::PACKAGES)?;
    }
    let mut outcomes = vec![Outcome {
        name: "packages",
        passed: true,
        took: begin.elapsed(),
    }];
    let tools = Instant::now();
    let mut bins = vec![tools::ensure(&NEXTEST)?];
    if args.whole() {
        bins.push(tools::ensure(&DENY)?);
    }
    if !args.unit {
        bins.push(tools::ensure(&RUSTIC)?);
    }
    outcomes.push(Outcome {
        name: "tools",
        passed: true,
        took: tools.elapsed(),
    });
    if args.prepare {
        images::busybox()?;
        images::services()?;
        engine::newest()?;
        lifeboat_testkit::compose::docker_compose()?;
        lifeboat_testkit::packages::ensure(lifeboat_testkit::server::PROBED)?;
        for tool in lifeboat_testkit::server::TOOLS {
            tool.ensure()?;
        }
        lifeboat_testkit::server::AzuriteServer::install()?;
        return Ok(report(&outcomes, begin.elapsed()));
    }
    for suite in suites(args, &tools::path_with(&bins)?)? {
        outcomes.push(suite.run()?);
    }
    Ok(report(&outcomes, begin.elapsed()))
}

impl Args {
    /// Whether the workspace as a whole is to be looked at, and not a part of it.
    fn whole(&self) -> bool {
        self.package.is_empty() && self.filter.is_empty() && !self.lab
    }

    /// Which packages cargo is to look at.
    fn packages(&self) -> Vec<OsString> {
        if self.package.is_empty() {
            return vec!["--workspace".into()];
        }
        let full = |name: &String| match name.as_str() {
            "xtask" => "xtask".to_owned(),
            name if name.starts_with("lifeboat-") => name.to_owned(),
            name => format!("lifeboat-{name}"),
        };
        let pair = |name| ["--package".into(), full(name).into()];
        self.package.iter().flat_map(pair).collect()
    }
}

fn suites(args: &Args, path: &OsString) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    let mut add = |name, words: &[&str], packages: bool| {
        let mut command = Command::new("cargo");
        command.args(words).env("PATH", path);
        if packages {
            command.args(args.packages());
        }
        suites.push(Suite { name, command });
    };
    if args.whole() {
        add("format", &["fmt", "--all", "--check"], false);
    }
    if !args.lab && args.filter.is_empty() {
        add("lints", &["clippy", "--quiet", "--all-targets"], true);
        add(
            "docs",
            &["doc", "--quiet", "--no-deps", "--document-private-items"],
            true,
        );
    }
    if args.whole() {
        // Advisories would be fetched from a place that is not always to be reached.
        add(
            "deny",
            &[
                "deny",
                "--log-level",
                "error",
                "check",
                "bans",
                "licenses",
                "sources",
            ],
            false,
        );
    }
    let nextest = [
        "nextest",
        "run",
        "--config-file",
        "xtask/nextest.toml",
        "--no-tests",
        "pass",
    ];
    if !args.lab {
        add("unit and integration", &nextest, true);
    }
    if !args.unit {
        add("lab", &nextest, true);
    }
    let runner = if args.unit { None } else { root::runner()? };
    for Suite { name, command } in &mut suites {
        match *name {
            "lints" => drop(command.args(["--", "-D", "warnings"])),
            "docs" => drop(command.env("RUSTDOCFLAGS", "-D warnings")),
            "unit and integration" => drop(command.args(["-E", UNIT])),
            "lab" => {
                let tests = if args.all { ALL_LAB } else { LAB };
                command.args(["--profile", "lab", "-E", tests]);
                if let Some(runner) = &runner {
                    command.env(runner_variable()?, runner);
                }
            }
            _ => {}
        }
        if matches!(*name, "unit and integration" | "lab") {
            command.args(&args.filter);
        }
    }
    Ok(suites)
}

/// `CARGO_TARGET_<TRIPLE>_RUNNER` for this machine.
fn runner_variable() -> Result<String> {
    let said = lifeboat_testkit::command::run(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what machine this is")?;
    let host = host.to_uppercase().replace(['-', '.'], "_");
    Ok(format!("CARGO_TARGET_{host}_RUNNER"))
}

impl Suite {
    fn run(mut self) -> Result<Outcome> {
        say(format!("\n== {}", self.name));
        let begin = Instant::now();
        let status = self.command.status();
        let status = status.with_context(|| format!("run the suite {}", self.name))?;
        Ok(Outcome {
            name: self.name,
            passed: status.success(),
            took: begin.elapsed(),
        })
    }
}

fn report(outcomes: &[Outcome], took: Duration) -> ExitCode {
    say("");
    for Outcome { name, passed, took } in outcomes {
        let word = if *passed { "passed" } else { "FAILED" };
        say(format!("{name:<22} {word}  {:>7.1} s", took.as_secs_f64()));
    }
    say(format!(
        "{:<22}         {:>7.1} s",
        "all",
        took.as_secs_f64()
    ));
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    say(format!(
        "suites: {} passed, {failed} failed",
        outcomes.len() - failed
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
