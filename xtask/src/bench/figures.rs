//! The figures as data: `docs/benchmarks.json`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use lifeboat_testkit::command;
use serde::{Deserialize, Serialize};

use super::measure::{Sample, Spread};

/// The file's name.
pub const FILE: &str = "benchmarks.json";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Into an empty vault.
    First,
    /// The same again.
    Unchanged,
    /// All of it, into an empty directory.
    Restore,
    /// A later generation.
    Month,
    /// The first generation, with all others in the vault.
    RestoreFirst,
    /// The last generation.
    RestoreLast,
}

impl Step {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Step::First => "first backup",
            Step::Unchanged => "unchanged backup",
            Step::Restore => "restore",
            Step::Month => "a later generation",
            Step::RestoreFirst => "restore of the first generation",
            Step::RestoreLast => "restore of the last generation",
        }
    }
}

/// Everything that was measured and kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Each set as it was measured last.
    pub sets: Vec<SetFigures>,
}

/// One set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetFigures {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub what: String,
    /// How far it was scaled down; empty if it was not.
    pub scale: String,
    /// Whether vaults were in memory and not on a disk.
    #[serde(default)]
    pub in_memory: bool,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often everything was run.
    pub rounds: usize,
    /// The command that did it.
    pub command: String,
    /// Where.
    pub machine: Machine,
    /// Who, ours first.
    pub programs: Vec<Measured>,
}

/// One program on one set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub version: String,
    /// Bytes of the vault.
    pub size: Spread,
    /// What it did.
    pub steps: Vec<StepFigures>,
}

/// One step of one program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepFigures {
    /// Which.
    pub step: Step,
    /// Seconds.
    pub wall: Spread,
    /// Seconds until what was written was on the disk.
    pub durable: Spread,
    /// CPU seconds.
    pub cpu: Spread,
    /// Bytes of memory at the peak.
    pub peak: Spread,
}

impl SetFigures {
    /// What a newer run of takes its place; also the name of its chart.
    pub fn key(&self) -> String {
        let memory = if self.in_memory { "-in-memory" } else { "" };
        format!("{}{memory}", self.name)
    }
}

impl Measured {
    /// Its figures of a step.
    pub fn step(&self, step: Step) -> Option<&StepFigures> {
        self.steps.iter().find(|figures| figures.step == step)
    }
}

/// Gathers samples by step.
pub fn steps(samples: &[(Step, Sample)]) -> Vec<StepFigures> {
    let mut steps: Vec<Step> = samples.iter().map(|(step, _)| *step).collect();
    steps.sort_unstable();
    steps.dedup();
    let of = |step: Step, figure: fn(&Sample) -> f64| {
        let mine = samples.iter().filter(|(s, _)| *s == step);
        Spread::of(mine.map(|(_, sample)| figure(sample)))
    };
    steps
        .into_iter()
        .map(|step| StepFigures {
            step,
            wall: of(step, |s| s.wall),
            durable: of(step, |s| s.durable),
            cpu: of(step, Sample::cpu),
            peak: of(step, |s| s.peak),
        })
        .collect()
}

/// The machine, and what it did beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor.
    pub processor: String,
    /// Cores.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Kernel.
    pub kernel: String,
    /// File system of the vaults.
    pub disk: String,
    /// Day of the measurement.
    pub day: String,
    /// The commit that was measured.
    pub commit: String,
    /// Mean number of runnable tasks over 5 minutes at the end: with nobody else on it, not above the cores.
    pub load: f64,
}

impl Machine {
    /// This one, now.
    pub fn this() -> Result<Self> {
        let line = |text: &str, name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value
                .unwrap_or("")
                .trim_matches([':', ' ', '\t'])
                .to_owned()
        };
        let processor = line(&fs_err::read_to_string("/proc/cpuinfo")?, "model name");
        let memory = line(&fs_err::read_to_string("/proc/meminfo")?, "MemTotal");
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let load = fs_err::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').nth(1).and_then(|word| word.parse().ok());
        let here = env!("CARGO_MANIFEST_DIR");
        let say = |program: &str, args: &[&str]| {
            command::run(Command::new(program).current_dir(here).args(args))
                .map(|said| said.trim().to_owned())
        };
        Ok(Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kilobytes * 1024,
            kernel: say("uname", &["-sr"])?,
            disk: say("stat", &["-f", "-c", "%T", "."])?,
            day: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
            commit: say("git", &["rev-parse", "--short=10", "HEAD"]).unwrap_or_default(),
            load: load.unwrap_or(0.0),
        })
    }
}

impl Figures {
    /// What is kept in `docs`; nothing if there is nothing.
    pub fn load(docs: &Path) -> Result<Self> {
        let file = docs.join(FILE);
        if !file.exists() {
            return Ok(Self::default());
        }
        serde_json::from_str(&fs_err::read_to_string(&file)?)
            .with_context(|| format!("{} is no list of figures", file.display()))
    }

    /// Keeps it.
    pub fn save(&self, docs: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        Ok(fs_err::write(docs.join(FILE), json + "\n")?)
    }
}
