//! `cargo xtask bench`: Lifeboat's vault beside its peers, on the same data, in turns.
//!
//! Data sets are made once with a seed and kept in `target/bench/sets`. A round runs every program once on a set (first
//! backup, unchanged backup, restore; or a history of generations), each time into a new vault, another program first in
//! each round, so that what drifts in the machine hits all alike. Every restored tree is counted against its source.
//!
//! The figures go into `docs/benchmarks.json`; `docs/benchmarks.md` and its charts are made from that file and never
//! written by hand. A run of one set replaces the figures of that set alone.

mod chart;
mod figures;
mod ground;
mod growth;
pub mod measure;
mod plot;
mod postgres;
pub mod program;
mod report;
pub mod set;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lifeboat_testkit::{command, packages};

use self::figures::{Figures, Machine, Measured, SetFigures, Step};
use self::ground::{Below, Ground};
use self::measure::{Sample, Spread};
use self::program::{OURS, Place, Program};
use self::set::{Scale, Set};
use crate::tools::{self, RUSTIC_RELEASE};
use crate::{build, say};

#[derive(clap::Args)]
pub struct Args {
    /// Smaller sets and three rounds: about a quarter of an hour
    #[arg(long)]
    quick: bool,
    /// Only this set; may be given more than once
    #[arg(long, value_name = "NAME")]
    set: Vec<Set>,
    /// Only beside this program; may be given more than once
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// How often everything is run
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Disk to use, at most, in GB: the sets are scaled to it
    #[arg(long, value_name = "GB", default_value_t = 8)]
    space: u64,
    /// Vaults and what is restored in memory instead of on the disk: what two cores can do where no disk holds them up
    #[arg(long)]
    in_memory: bool,
    /// Measure this program instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Measure and print, but leave docs/benchmarks.* as they are
    #[arg(long)]
    no_report: bool,
    /// Write docs/benchmarks.md and its charts anew from docs/benchmarks.json, and measure nothing
    #[arg(long, conflicts_with_all = ["quick", "set", "peer", "no_report"])]
    report: bool,
    /// How our own cost grows with files, bytes, generations and blobs: docs/growth.md
    #[arg(long, conflicts_with_all = ["set", "peer", "no_report", "report", "in_memory"])]
    growth: bool,
    /// Only install and build the programs
    #[arg(long)]
    prepare: bool,
}

/// What measuring needs from the distribution.
const PACKAGES: &[(&str, &str)] = &[
    ("time", "tells what a program has used"),
    ("restic", "is measured"),
    ("borgbackup", "is measured"),
];

pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let docs = workspace.join("docs");
    if args.report {
        report::write(&docs, &Figures::load(&docs)?)?;
        growth::report(&docs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let begin = Instant::now();
    if args.growth {
        let dir = workspace.join("target/bench");
        fs_err::create_dir_all(dir.join("sets"))?;
        packages::ensure(&PACKAGES[..1])?;
        let ours = Program::lifeboat(args.ours()?)?;
        let command = args.line("--growth");
        growth::run(&docs, &dir, &ours, command, (args.quick, args.space << 30))?;
        say(format!("\nmeasured in {:.0?}", begin.elapsed()));
        return Ok(ExitCode::SUCCESS);
    }
    let programs = programs(args)?;
    if args.prepare {
        return Ok(ExitCode::SUCCESS);
    }
    let dir = workspace.join("target/bench");
    fs_err::create_dir_all(&dir)?;
    let ground = Ground::new(&dir, args.space << 30, args.below())?;
    let mut figures = Figures::load(&docs)?;
    let sets = if args.set.is_empty() {
        Set::ALL
    } else {
        &args.set
    };
    for set in sets {
        let scale = Scale::new(*set, args.quick, args.space << 30);
        let measured = measure_set(args, (&dir, &ground), *set, scale, &programs)?;
        figures.sets.retain(|old| old.key() != measured.key());
        figures.sets.push(measured);
        if !args.no_report {
            // After each set: an interrupted run has measured what it has measured.
            figures.save(&docs)?;
            report::write(&docs, &figures)?;
        }
    }
    say(format!("\nmeasured in {:.0?}", begin.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// Installs and builds what is measured.
fn programs(args: &Args) -> Result<Vec<Program>> {
    packages::ensure(PACKAGES)?;
    let mut all = vec![Program::lifeboat(args.ours()?)?];
    all.push(Program::restic(
        "restic (Debian)",
        "/usr/bin/restic".into(),
    )?);
    // Whatever newer one a person has built and put first.
    if let Some(newer) =
        command::find_on_path("restic").filter(|p| p != Path::new("/usr/bin/restic"))
    {
        all.push(Program::restic("restic", newer)?);
    }
    if args.wants("rustic") {
        let rustic = tools::ensure(&RUSTIC_RELEASE)?.join(RUSTIC_RELEASE.program);
        all.push(Program::rustic(rustic)?);
    }
    if let Some(kopia) = command::find_on_path("kopia") {
        all.push(Program::kopia(kopia)?);
    }
    all.push(Program::borg("/usr/bin/borg".into())?);
    all.retain(|program| program.name == OURS || args.wants(&program.name));
    for name in &args.peer {
        if !all.iter().any(|program| &program.name == name) {
            let there: Vec<&str> = all.iter().map(|p| p.name.as_str()).collect();
            bail!("there is no program `{name}` to measure; there are {there:?}");
        }
    }
    Ok(all)
}

impl Args {
    /// Our own program.
    fn ours(&self) -> Result<PathBuf> {
        match &self.binary {
            Some(binary) => Ok(fs_err::canonicalize(binary)?),
            None => build::lifeboat("release"),
        }
    }

    fn below(&self) -> Below {
        if self.in_memory {
            Below::Memory
        } else {
            Below::Disk
        }
    }

    fn wants(&self, peer: &str) -> bool {
        self.peer.is_empty() || self.peer.iter().any(|wanted| wanted == peer)
    }
}

fn measure_set(
    args: &Args,
    (dir, ground): (&Path, &Ground),
    set: Set,
    scale: Scale,
    programs: &[Program],
) -> Result<SetFigures> {
    let rounds = args.rounds.unwrap_or(if args.quick { 3 } else { 5 }).max(1);
    let source = set.make(&dir.join("sets"), scale)?;
    say(format!(
        "\n{}: {} files, {} MB, {rounds} round(s)",
        set.name(),
        source.files,
        source.bytes / 1_000_000
    ));
    let mut samples: Vec<Vec<(Step, Sample)>> = vec![Vec::new(); programs.len()];
    let mut sizes: Vec<Vec<u64>> = vec![Vec::new(); programs.len()];
    for round in 0..rounds {
        for turn in 0..programs.len() {
            let number = (round + turn) % programs.len();
            let program = &programs[number];
            let place = Place::new(&ground.dir().join("place"))?;
            let run = Run {
                program,
                ground,
                place: &place,
                samples: &mut samples[number],
            };
            let size = if set == Set::Generations {
                run.history(&source)
            } else {
                run.once(&source)
            };
            sizes[number].push(size.with_context(|| format!("measure {}", program.name))?);
            place.remove()?;
            let seen: Vec<String> = samples[number]
                .iter()
                .rev()
                .take(3)
                .rev()
                .map(|(step, s)| format!("{} {:.2} s ({:.2} CPU)", step.name(), s.wall, s.cpu()))
                .collect();
            say(format!(
                "  {} {:<16} {}",
                round + 1,
                program.name,
                seen.join(", ")
            ));
        }
    }
    let measured = programs.iter().zip(samples).zip(sizes);
    Ok(SetFigures {
        name: set.name().to_owned(),
        what: set.what(scale),
        scale: scale.words(set),
        in_memory: args.in_memory,
        files: source.files,
        bytes: source.bytes,
        rounds,
        command: args.line(&format!("--set {}", set.name())),
        machine: Machine::this()?,
        programs: measured
            .map(|((program, samples), sizes)| Measured {
                name: program.name.clone(),
                version: program.version.clone(),
                size: Spread::of(sizes.iter().map(|n| *n as f64)),
                steps: figures::steps(&samples),
            })
            .collect(),
    })
}

impl Args {
    /// The command that measures a set, or how cost grows, so again.
    fn line(&self, what: &str) -> String {
        let mut line = format!("cargo xtask bench {what}");
        if self.quick {
            line += " --quick";
        }
        if self.in_memory {
            line += " --in-memory";
        }
        if self.binary.is_some() {
            // Not the program of the commit that is noted beside it.
            line += " --binary FILE";
        }
        if self.space != 8 {
            line += &format!(" --space {}", self.space);
        }
        line
    }
}

/// One program on one set, once.
struct Run<'a> {
    program: &'a Program,
    ground: &'a Ground,
    place: &'a Place,
    samples: &'a mut Vec<(Step, Sample)>,
}

impl Run<'_> {
    fn measure(&mut self, step: Step, command: Command) -> Result<()> {
        self.ground.settle()?;
        let sample = measure::run(command, self.place.dir())?;
        self.samples.push((step, sample));
        Ok(())
    }

    fn restore(&mut self, step: Step, generation: usize, source: &set::Source) -> Result<()> {
        let target = self.place.dir().join("restored");
        fs_err::create_dir(&target)?;
        let command = self.program.restore(self.place, generation, &target)?;
        self.measure(step, command)?;
        let restored = set::count(&target)?;
        let wanted = source.at_generation(generation);
        if restored != wanted {
            bail!("restored (files, bytes) {restored:?} instead of {wanted:?}");
        }
        Ok(fs_err::remove_dir_all(target)?)
    }

    /// First backup, the same again, restore. Returns the size of the vault after the first.
    fn once(mut self, source: &set::Source) -> Result<u64> {
        self.program.init(self.place)?;
        let backup = |n| self.program.backup(self.place, n, &source.dir);
        let (first, second) = (backup(1), backup(2));
        source.warm()?;
        self.measure(Step::First, first)?;
        let size = self.place.vault_size()?;
        source.warm()?;
        self.measure(Step::Unchanged, second)?;
        self.restore(Step::Restore, 1, source)?;
        Ok(size)
    }

    /// All generations one after another, then the first and the last restored. Returns the size of the vault.
    fn history(mut self, source: &set::Source) -> Result<u64> {
        self.program.init(self.place)?;
        let last = source.generations.len();
        for n in 1..=last {
            source.go_to_generation(n)?;
            let step = if n == 1 { Step::First } else { Step::Month };
            let command = self.program.backup(self.place, n, &source.dir);
            source.warm()?;
            self.measure(step, command)?;
        }
        let size = self.place.vault_size()?;
        self.restore(Step::RestoreFirst, 1, source)?;
        self.restore(Step::RestoreLast, last, source)?;
        Ok(size)
    }
}
