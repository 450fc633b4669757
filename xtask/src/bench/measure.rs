//! One command, measured: wall time by the clock, until it ends and until its file system is synced; CPU time and peak memory by the kernel's account of the finished
//! process and its children (`/usr/bin/time`).

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lifeboat_testkit::command;
use serde::{Deserialize, Serialize};

/// What one run has used.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Seconds until the program ended.
    pub wall: f64,
    /// Seconds until what it wrote was on the disk, too.
    pub durable: f64,
    /// CPU seconds in the program.
    pub user: f64,
    /// CPU seconds in the kernel.
    pub system: f64,
    /// Bytes.
    pub peak: f64,
}

impl Sample {
    /// All CPU seconds.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// Runs `command`, which has to succeed; `dir` takes what it prints.
pub fn run(measured: Command, dir: &Path) -> Result<Sample> {
    let account = dir.join("time.txt");
    let printed = dir.join("output.txt");
    let mut timed = Command::new("/usr/bin/time");
    timed
        .args(["--quiet", "-f", "%U %S %M", "-o"])
        .arg(&account);
    timed.arg(measured.get_program()).args(measured.get_args());
    for (name, value) in measured.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    if let Some(dir) = measured.get_current_dir() {
        timed.current_dir(dir);
    }
    let out = File::create(&printed).context("keep what is printed")?;
    timed
        .stdin(Stdio::null())
        .stderr(out.try_clone()?)
        .stdout(out);
    // What the one before has left to be written is not this one's.
    command::run(&mut Command::new("sync"))?;
    let begin = Instant::now();
    let status = timed.status().context("run /usr/bin/time")?;
    let wall = begin.elapsed().as_secs_f64();
    command::run(Command::new("sync").arg("-f").arg(dir))?;
    let durable = begin.elapsed().as_secs_f64();
    if !status.success() {
        let said = fs_err::read(&printed)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        bail!(
            "{}: {status}\n{}",
            command::line(&measured),
            command::tail(&said, 2000)
        );
    }
    let text = fs_err::read_to_string(&account)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [user, system, kilobytes] = numbers[..] else {
        bail!("/usr/bin/time says {text:?}");
    };
    Ok(Sample {
        wall,
        durable,
        user,
        system,
        peak: kilobytes * 1024.0,
    })
}

/// The middle one of several figures, and how far they lie apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Of some figures; all zero for none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = figures.into_iter().collect();
        all.sort_unstable_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (all.first(), all.last()) else {
            return Self::default();
        };
        let middle = all.len() / 2;
        let median = if all.len() % 2 == 1 {
            all[middle]
        } else {
            (all[middle - 1] + all[middle]) / 2.0
        };
        Self { min, median, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Spread::of([]), Spread::default());
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0]).median, 2.5);
    }

    #[test]
    fn a_run_is_accounted_and_a_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut busy = Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]);
        let sample = run(busy, dir.path()).unwrap();
        assert!(
            sample.wall > 0.0
                && sample.durable >= sample.wall
                && sample.cpu() > 0.0
                && sample.peak > 100_000.0,
            "{sample:?}"
        );
        let mut bad = Command::new("sh");
        bad.args(["-c", "echo why; exit 3"]);
        let error = run(bad, dir.path()).unwrap_err().to_string();
        assert!(error.contains("why"), "{error}");
    }
}
