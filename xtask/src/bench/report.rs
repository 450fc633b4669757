//! `docs/benchmarks.md` and its charts, out of the figures.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::chart::{self, Bar, Group, number};
use super::figures::{Figures, Machine, Measured, SetFigures, Step};
use super::measure::Spread;
use super::program::OURS;

const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench` out of `benchmarks.json`; never by hand. Lifeboat's vault beside the programs that people use for the same work, on the same data, on one machine, in turns.

How it is measured: every program runs once in a round, another one first in each; each time into a new vault on an XFS file system of its own (in a file of the disk; ext4 looks through all inodes that were deleted within the last minute whenever a file is made, which would be measured instead; the loop device passes reads and writes through to the file, `--direct-io=on`), encrypted, with the compression that the program has by default (kopia compresses nothing by default: `zstd-fastest`). The data are in the page cache, `sync` runs before each measurement, and the time ends when the program ends. Of each figure the median is shown, and of wall time the smallest and the largest run. CPU time and peak memory are the kernel's account of the whole process. Whether the number of files and of bytes is right is looked at after every restore. The ratio is Lifeboat's median over that of the best peer.

Lifeboat syncs every pack and every folder before it says that a point is there, and a restore before it says that it is done; not every peer does. So there are two times: *wall* until the program ends, and *on the disk* until its file system is synced as well (`sync -f` right after it).

Images are measured by a lab test: 20 versions of an app image, taken from an engine one after the other, are 1.19 times the size of one (54.4 MB and 64.5 MB; `cargo test -p lifeboat-cli --test lab -- soak_twenty --include-ignored --nocapture`, 2026-11-29). With a small base it is more: a layer smaller than a chunk is stored whole for each version.

";

/// Writes page and charts.
pub fn write(docs: &Path, figures: &Figures) -> Result<()> {
    let mut page = HEAD.to_owned();
    for set in &figures.sets {
        section(&mut page, set)?;
        let file = docs.join("images").join(format!("bench-{}.svg", set.key()));
        fs_err::write(file, drawing(set))?;
    }
    Ok(fs_err::write(
        docs.join("benchmarks.md"),
        page.trim_end().to_owned() + "\n",
    )?)
}

fn section(page: &mut String, set: &SetFigures) -> Result<()> {
    writeln!(page, "## {}\n", title(set))?;
    write!(
        page,
        "{}: {} files, {} MB.",
        set.what,
        set.files,
        set.bytes / 1_000_000
    )?;
    if !set.scale.is_empty() {
        write!(page, " Scaled: {}.", set.scale)?;
    }
    if set.in_memory {
        write!(
            page,
            " The file with the file system is in memory (tmpfs): what two cores can do where no disk holds them up."
        )?;
    }
    writeln!(page, " {} rounds.\n", set.rounds)?;
    writeln!(page, "![{}](images/bench-{}.svg)\n", title(set), set.key())?;
    for step in steps(set) {
        writeln!(
            page,
            "| {} | wall | smallest–largest | on the disk | CPU | peak memory |",
            step.name()
        )?;
        writeln!(page, "| --- | --- | --- | --- | --- | --- |")?;
        for program in &set.programs {
            let Some(figures) = program.step(step) else {
                continue;
            };
            writeln!(
                page,
                "| {} | {} s | {}–{} | {} s | {} s | {} MB |",
                program.name,
                number(figures.wall.median),
                number(figures.wall.min),
                number(figures.wall.max),
                number(figures.durable.median),
                number(figures.cpu.median),
                number(figures.peak.median / 1e6),
            )?;
        }
        let wall = |p: &Measured| p.step(step).map(|s| s.wall);
        let durable = |p: &Measured| p.step(step).map(|s| s.durable);
        let cpu = |p: &Measured| p.step(step).map(|s| s.cpu);
        if let (Some(wall), Some(durable), Some(cpu)) =
            (ratio(set, wall), ratio(set, durable), ratio(set, cpu))
        {
            writeln!(
                page,
                "\nWall time {wall}; on the disk {durable}; CPU time {cpu}."
            )?;
        }
        writeln!(page)?;
    }
    writeln!(page, "| vault | size |\n| --- | --- |")?;
    for program in &set.programs {
        writeln!(
            page,
            "| {} | {} MB |",
            program.name,
            number(program.size.median / 1e6)
        )?;
    }
    if let Some(size) = ratio(set, |p| Some(p.size)) {
        writeln!(page, "\nSize {size}.")?;
    }
    let versions: Vec<String> = set
        .programs
        .iter()
        .map(|program| format!("{} ({})", program.name, program.version))
        .collect();
    writeln!(page, "\n`{}`, {}", set.command, machine(&set.machine))?;
    writeln!(page, "Programs: {}.\n", versions.join(", "))?;
    Ok(())
}

/// Where it was measured.
pub fn machine(machine: &Machine) -> String {
    let mut said = format!(
        "{}, commit {}; {}, {} cores, {} GB, {}, {}.",
        machine.day,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.memory >> 30,
        machine.kernel,
        machine.disk,
    );
    if machine.load > machine.cores as f64 * 1.5 {
        let _ = write!(
            said,
            " **The machine was not quiet** (load {:.1}): wall times say little, CPU times and ratios more.",
            machine.load
        );
    }
    said
}

fn title(set: &SetFigures) -> String {
    let title = match set.name.as_str() {
        "mixed" => "A database and a root file system",
        "big" => "One big file",
        "small" => "Very many small files",
        "wide" => "One wide directory",
        _ => "A year of generations",
    };
    let memory = if set.in_memory { ", in memory" } else { "" };
    format!("{title}{memory}")
}

/// Steps that anybody took, in order.
fn steps(set: &SetFigures) -> Vec<Step> {
    let mut all: Vec<Step> = set
        .programs
        .iter()
        .flat_map(|program| program.steps.iter().map(|step| step.step))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Ours over the best peer's, in words.
fn ratio(set: &SetFigures, figure: impl Fn(&Measured) -> Option<Spread>) -> Option<String> {
    let ours = set.programs.iter().find(|program| program.name == OURS)?;
    let ours = figure(ours)?.median;
    let peers = set.programs.iter().filter(|program| program.name != OURS);
    let (best, peer) = peers
        .filter_map(|program| Some((figure(program)?.median, &program.name)))
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!(
        "**{:.2}** of {peer}'s",
        ours / best.max(f64::MIN_POSITIVE)
    ))
}

fn drawing(set: &SetFigures) -> String {
    let mut groups = Vec::new();
    for step in steps(set) {
        let bars = set.programs.iter().filter_map(|program| {
            let wall = program.step(step)?.wall;
            Some(Bar {
                label: program.name.clone(),
                value: wall.median,
                range: (wall.min, wall.max),
                ours: program.name == OURS,
            })
        });
        groups.push(Group {
            title: format!("{}, seconds of wall time", step.name()),
            bars: bars.collect(),
        });
    }
    chart::draw(&title(set), "s", &groups)
}

#[cfg(test)]
mod tests {
    use super::super::figures::StepFigures;
    use super::*;

    fn measured(name: &str, wall: f64) -> Measured {
        let figure = Spread::of([wall]);
        Measured {
            name: name.to_owned(),
            version: "1".to_owned(),
            size: Spread::of([1e6 * wall]),
            steps: vec![StepFigures {
                step: Step::First,
                wall: figure,
                durable: figure,
                cpu: figure,
                peak: figure,
            }],
        }
    }

    #[test]
    fn a_page_with_ratios_to_the_best_peer() {
        let set = SetFigures {
            name: "big".to_owned(),
            what: "a file".to_owned(),
            scale: "1/4 of it".to_owned(),
            in_memory: false,
            files: 1,
            bytes: 5_000_000,
            rounds: 5,
            command: "cargo xtask bench --set big".to_owned(),
            machine: Machine {
                processor: "P".to_owned(),
                cores: 2,
                memory: 1 << 34,
                kernel: "Linux".to_owned(),
                disk: "ext".to_owned(),
                day: "2026-11-23".to_owned(),
                commit: "abc".to_owned(),
                load: 9.0,
            },
            programs: vec![measured(OURS, 1.0), measured("a", 4.0), measured("b", 2.0)],
        };
        let docs = tempfile::tempdir().unwrap();
        fs_err::create_dir(docs.path().join("images")).unwrap();
        let figures = Figures { sets: vec![set] };
        figures.save(docs.path()).unwrap();
        write(docs.path(), &Figures::load(docs.path()).unwrap()).unwrap();
        let page = fs_err::read_to_string(docs.path().join("benchmarks.md")).unwrap();
        for part in [
            "**0.50** of b's",
            "Scaled: 1/4",
            "not quiet",
            "5 MB",
            "| a | 4.00 s |",
            "benchmarks.json",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(docs.path().join("images/bench-big.svg").exists());
    }
}
