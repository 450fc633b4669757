//! `cargo xtask bench --growth`: how cost grows with what causes it, for ours alone.
//!
//! Each point is measured once, on a vault of its own; the lines are to be looked at for where they bend, not for their
//! height. CPU time and peak memory are drawn, which other work on the machine disturbs least.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lifeboat_testkit::command;
use serde::{Deserialize, Serialize};

use super::chart::number;
use super::figures::{Machine, Step};
use super::ground::{Below, Ground};
use super::measure::{self, Sample};
use super::plot::{self, Line};
use super::program::{Place, Program};
use super::report;
use super::set::{self, Set};
use crate::say;

const FILE: &str = "growth.json";

/// What is drawn of a row.
type Figure = fn(&Row) -> f64;

/// All lines.
#[derive(Debug, Serialize, Deserialize)]
pub struct Growth {
    machine: Machine,
    command: String,
    curves: Vec<Curve>,
}

/// What one cause costs.
#[derive(Debug, Serialize, Deserialize)]
struct Curve {
    name: String,
    title: String,
    across: String,
    rows: Vec<Row>,
}

/// One size of it.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    x: f64,
    what: String,
    cpu: f64,
    wall: f64,
    peak: f64,
}

/// Measures everything and writes `docs/growth.md`.
pub fn run(
    docs: &Path,
    dir: &Path,
    ours: &Program,
    command: String,
    (quick, space): (bool, u64),
) -> Result<()> {
    let ground = Ground::new(dir, space, Below::Disk)?;
    let mut growth = Growth {
        machine: Machine::this()?,
        command,
        curves: vec![
            files(dir, ours, quick)?,
            bytes(dir, ours, quick, space, &ground)?,
            generations(dir, ours, quick)?,
            index(quick)?,
        ],
    };
    growth.machine = Machine::this()?;
    fs_err::write(
        docs.join(FILE),
        serde_json::to_string_pretty(&growth)? + "\n",
    )?;
    write(docs, &growth)
}

/// Writes `docs/growth.md` anew out of what was measured.
pub fn report(docs: &Path) -> Result<()> {
    write(
        docs,
        &serde_json::from_str(&fs_err::read_to_string(docs.join(FILE))?)?,
    )
}

/// Backed up, and again; tells the files and bytes that a restore has to bring.
fn saved(
    ours: &Program,
    place: &Place,
    source: &Path,
    x: f64,
    rows: &mut Vec<Row>,
) -> Result<(u64, u64)> {
    ours.init(place)?;
    // What was made just before is read again: its times prove nothing yet.
    std::thread::sleep(Duration::from_secs(3));
    for step in [Step::First, Step::Unchanged] {
        let sample = measure::run(ours.backup(place, 1, source), place.dir())?;
        rows.push(row(x, step.name(), &sample));
    }
    set::count(source)
}

fn restored(
    ours: &Program,
    place: &Place,
    n: usize,
    x: f64,
    what: &str,
    wanted: (u64, u64),
) -> Result<Row> {
    let target = place.dir().join("restored");
    fs_err::create_dir(&target)?;
    let sample = measure::run(ours.restore(place, n, &target)?, place.dir())?;
    let there = set::count(&target)?;
    if there != wanted {
        bail!("restored (files, bytes) {there:?} instead of {wanted:?}");
    }
    fs_err::remove_dir_all(&target)?;
    Ok(row(x, what, &sample))
}

fn row(x: f64, what: &str, sample: &Sample) -> Row {
    say(format!(
        "  {x} {what}: {:.2} s ({:.2} CPU), {:.0} MB",
        sample.wall,
        sample.cpu(),
        sample.peak / 1e6
    ));
    Row {
        x,
        what: what.to_owned(),
        cpu: sample.cpu(),
        wall: sample.wall,
        peak: sample.peak,
    }
}

fn files(dir: &Path, ours: &Program, quick: bool) -> Result<Curve> {
    let counts: &[u64] = if quick {
        &[1000, 4000, 16_000, 64_000]
    } else {
        &[1000, 10_000, 100_000, 300_000, 1_000_000]
    };
    let source = dir.join("sets/growth-files");
    if source.exists() {
        fs_err::remove_dir_all(&source)?;
    }
    let (mut rows, mut made) = (Vec::new(), 0);
    for count in counts {
        say(format!("{count} files of 100 bytes"));
        for folder in made..count / 1000 {
            set::tiny(&source.join(format!("d{folder:04}")), folder, 1000)?;
        }
        made = count / 1000;
        let place = Place::new(&dir.join("run/place"))?;
        let x = *count as f64;
        let wanted = saved(ours, &place, &source, x, &mut rows)?;
        rows.push(restored(ours, &place, 1, x, Step::Restore.name(), wanted)?);
        place.remove()?;
    }
    fs_err::remove_dir_all(&source)?;
    Ok(curve("files", "Files of 100 bytes", "files", rows))
}

fn bytes(dir: &Path, ours: &Program, quick: bool, space: u64, ground: &Ground) -> Result<Curve> {
    let gigabytes: &[f64] = if quick {
        &[0.05, 0.1, 0.2, 0.4]
    } else {
        &[1.0, 2.0, 5.0, 10.0, 20.0]
    };
    let source = dir.join("sets/growth-bytes");
    let mut rows = Vec::new();
    for size in gigabytes {
        // The vault, and either the source or what is restored of it.
        if size * 2.1e9 > space as f64 {
            say(format!("{size} GB do not fit into {} GB", space >> 30));
            break;
        }
        say(format!("one file of {size} GB"));
        fs_err::create_dir_all(&source)?;
        set::noise(&source.join("big"), (size * 1e9) as u64)?;
        ground.trim()?;
        let place = Place::new(&dir.join("run/place"))?;
        let wanted = saved(ours, &place, &source, *size, &mut rows)?;
        fs_err::remove_dir_all(&source)?;
        rows.push(restored(
            ours,
            &place,
            1,
            *size,
            Step::Restore.name(),
            wanted,
        )?);
        place.remove()?;
    }
    Ok(curve(
        "bytes",
        "One file that does not compress",
        "GB",
        rows,
    ))
}

fn generations(dir: &Path, ours: &Program, quick: bool) -> Result<Curve> {
    let (last, every) = if quick { (12, 4) } else { (50, 10) };
    let source = Set::Generations.make(
        &dir.join("sets"),
        set::Scale::one_in(if quick { 16 } else { 4 }),
    )?;
    let place = Place::new(&dir.join("run/place"))?;
    ours.init(&place)?;
    let mut rows = Vec::new();
    for n in 1..=last {
        source.go_to_generation(n)?;
        let sample = measure::run(ours.backup(&place, n, &source.dir), place.dir())?;
        if n > 1 {
            rows.push(row(n as f64, "backup of the generation", &sample));
        }
        if n == 1 || n % every == 0 {
            let wanted = set::count(&source.dir)?;
            rows.push(restored(
                ours,
                &place,
                n,
                n as f64,
                "restore of the generation",
                wanted,
            )?);
        }
    }
    place.remove()?;
    Ok(curve(
        "generations",
        "Generations, 3 % changed in each",
        "generation",
        rows,
    ))
}

/// Synthetic: what opening and asking an index of so many blobs costs (`vault/examples/index_growth.rs`).
fn index(quick: bool) -> Result<Curve> {
    let counts: &[u64] = if quick {
        &[100_000, 400_000, 1_600_000]
    } else {
        &[100_000, 1_000_000, 5_000_000, 20_000_000]
    };
    let mut rows = Vec::new();
    for count in counts {
        let mut cargo = Command::new("cargo");
        cargo.args([
            "run",
            "--quiet",
            "--release",
            "-p",
            "lifeboat-vault",
            "--example",
            "index_growth",
            "--",
        ]);
        let said = command::run(
            cargo
                .arg(count.to_string())
                .current_dir(env!("CARGO_MANIFEST_DIR")),
        )?;
        say(format!("  {count} blobs: {}", said.trim()));
        let numbers: Vec<f64> = said
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [open, asked, peak, mapped] = numbers[..] else {
            bail!("index_growth says {said:?}");
        };
        let one = |what: &str, seconds: f64| Row {
            x: *count as f64,
            what: what.to_owned(),
            cpu: seconds,
            wall: seconds,
            peak,
        };
        rows.push(one("parsing and sorting it", open));
        rows.push(one("opening it mapped, every byte checked", mapped));
        rows.push(one("1,000,000 look-ups", asked));
    }
    Ok(curve(
        "index",
        "Blobs of an index (synthetic)",
        "blobs",
        rows,
    ))
}

fn curve(name: &str, title: &str, across: &str, rows: Vec<Row>) -> Curve {
    Curve {
        name: name.to_owned(),
        title: title.to_owned(),
        across: across.to_owned(),
        rows,
    }
}

fn write(docs: &Path, growth: &Growth) -> Result<()> {
    let mut page = format!(
        "# How cost grows\n\nWritten by `{}` out of `growth.json`; never by hand. Lifeboat alone, each point measured once; both axes are logarithmic, so that what grows evenly is a straight line. {}\n\n",
        growth.command,
        report::machine(&growth.machine)
    );
    for curve in &growth.curves {
        let mut whats: Vec<&str> = Vec::new();
        for row in &curve.rows {
            if !whats.contains(&row.what.as_str()) {
                whats.push(&row.what);
            }
        }
        writeln!(page, "## {}\n", curve.title)?;
        let kinds: [(&str, &str, Figure); 2] = [
            ("cpu", "CPU seconds", |row| row.cpu),
            ("memory", "MB of memory at the peak", |row| row.peak / 1e6),
        ];
        for (kind, up, figure) in kinds {
            let line = |what: &&str| Line {
                label: (*what).to_owned(),
                points: of(curve, what)
                    .map(|row| (row.x, figure(row)))
                    .filter(|p| p.0 > 0.0 && p.1 > 0.0)
                    .collect(),
            };
            let lines: Vec<Line> = whats.iter().map(line).collect();
            let file = format!("growth-{}-{kind}.svg", curve.name);
            let title = format!("{}: {up}", curve.title);
            fs_err::write(
                docs.join("images").join(&file),
                plot::draw(&title, &curve.across, up, &lines),
            )?;
            writeln!(page, "![{title}](images/{file})\n")?;
        }
        writeln!(
            page,
            "| {} | | CPU | wall | peak memory |\n| --- | --- | --- | --- | --- |",
            curve.across
        )?;
        for row in &curve.rows {
            writeln!(
                page,
                "| {} | {} | {} s | {} s | {} MB |",
                row.x,
                row.what,
                number(row.cpu),
                number(row.wall),
                number(row.peak / 1e6)
            )?;
        }
        writeln!(page)?;
        for what in whats {
            if let Some(sentence) = bend(curve, what) {
                writeln!(page, "{sentence}\n")?;
            }
        }
    }
    fs_err::write(docs.join("growth.md"), page.trim_end().to_owned() + "\n")
        .context("write the page")
}

fn of<'c>(curve: &'c Curve, what: &'c str) -> impl Iterator<Item = &'c Row> {
    curve.rows.iter().filter(move |row| row.what == what)
}

/// The slope between the last two points: 1 is in proportion.
fn bend(curve: &Curve, what: &str) -> Option<String> {
    let rows: Vec<&Row> = of(curve, what).collect();
    let [.., before, last] = rows[..] else {
        return None;
    };
    let slope = (last.cpu / before.cpu).ln() / (last.x / before.x).ln();
    if !slope.is_finite() {
        return None;
    }
    let said = match slope {
        s if s > 1.15 => "**it bends upwards**",
        s if s < 0.2 => "it hardly grows",
        _ => "in proportion, or less",
    };
    Some(format!(
        "{what}: CPU time grows with the power {slope:.2} at the end ({said})."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_a_line_bends() {
        let row = |x: f64, cpu: f64| Row {
            x,
            what: "first backup".to_owned(),
            cpu,
            wall: cpu,
            peak: 1e6,
        };
        let made = |rows| curve("files", "Files", "files", rows);
        let straight = made(vec![row(10.0, 1.0), row(100.0, 10.0)]);
        assert!(bend(&straight, "first backup").is_some_and(|s| s.contains("power 1.00")));
        let growth = Growth {
            machine: Machine::this().unwrap(),
            command: "cargo xtask bench --growth".to_owned(),
            curves: vec![made(vec![row(10.0, 1.0), row(100.0, 100.0)])],
        };
        let docs = tempfile::tempdir().unwrap();
        fs_err::create_dir(docs.path().join("images")).unwrap();
        write(docs.path(), &growth).unwrap();
        let page = fs_err::read_to_string(docs.path().join("growth.md")).unwrap();
        assert!(
            page.contains("bends upwards") && page.contains("power 2.00"),
            "{page}"
        );
        assert!(docs.path().join("images/growth-files-cpu.svg").exists());
    }
}
