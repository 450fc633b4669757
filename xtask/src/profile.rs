//! `cargo xtask profile backup|restore`: where CPU and wall time go, by `perf`, on a data set of the benchmarks.
//!
//! Three tables: by what is done (hashing, compressing, the kernel's reading, …), by thread (how long each of them ran,
//! out of the wall time: what waits shows here), and by function.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;
use lifeboat_testkit::{command, packages};

use crate::bench::measure::{self, Sample};
use crate::bench::program::{Place, Program};
use crate::bench::set::{Scale, Set};
use crate::{build, say};

#[derive(clap::Args)]
pub struct Args {
    /// What is done
    what: What,
    /// With which data
    #[arg(long, value_name = "NAME", default_value = "mixed")]
    set: Set,
    /// The set as large as `cargo xtask bench` has it without --quick
    #[arg(long)]
    whole: bool,
    /// Functions to show
    #[arg(long, value_name = "N", default_value_t = 30)]
    top: usize,
    /// Profile this program instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The first backup, into an empty vault
    Backup,
    /// The second backup, of which nothing has changed
    Unchanged,
    /// A restore into an empty directory
    Restore,
}

const PACKAGES: &[(&str, &str)] = &[
    ("linux-perf", "takes the samples"),
    ("time", "tells what a program has used"),
];

pub fn run(args: &Args) -> Result<ExitCode> {
    packages::ensure(PACKAGES)?;
    let binary = match &args.binary {
        Some(binary) => fs_err::canonicalize(binary)?,
        None => build::lifeboat("profiling")?,
    };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs_err::create_dir_all(&dir)?;
    let dir = fs_err::canonicalize(dir)?;
    let scale = Scale::new(args.set, !args.whole, 8 << 30);
    let source = args.set.make(&dir.join("sets"), scale)?;
    let program = Program::lifeboat(binary)?;
    let place = Place::new(&dir.join("profile"))?;
    program.init(&place)?;
    let backup = || program.backup(&place, 1, &source.dir);
    let measured = match args.what {
        What::Backup => backup(),
        What::Unchanged => {
            command::run(&mut backup())?;
            backup()
        }
        What::Restore => {
            command::run(&mut backup())?;
            let target = place.dir().join("restored");
            fs_err::create_dir(&target)?;
            program.restore(&place, 1, &target)?
        }
    };
    let data = place.dir().join("perf.data");
    let sample = measure::run(under_perf(&measured, &data), place.dir())?;
    let report = command::run(
        Command::new("perf")
            .arg("report")
            .arg("-i")
            .arg(&data)
            .args([
                "--stdio",
                "--no-children",
                "--sort",
                "comm,dso,symbol",
                "--field-separator",
                "|",
            ]),
    )?;
    tables(&parse(&report), sample, args.top);
    place.remove()?;
    Ok(ExitCode::SUCCESS)
}

/// The same command with perf around it.
fn under_perf(measured: &Command, data: &Path) -> Command {
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--freq", "997", "--output"]);
    perf.arg(data).arg("--").arg(measured.get_program());
    perf.args(measured.get_args());
    for (name, value) in measured.get_envs() {
        match value {
            Some(value) => perf.env(name, value),
            None => perf.env_remove(name),
        };
    }
    perf
}

/// A line of perf's report.
#[derive(Debug, PartialEq)]
struct Line<'r> {
    share: f64,
    thread: &'r str,
    symbol: &'r str,
    kernel: bool,
}

fn parse(report: &str) -> Vec<Line<'_>> {
    let lines = report.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.filter_map(|line| {
        let mut fields = line.splitn(4, '|').map(str::trim);
        let share: f64 = fields.next()?.trim_end_matches('%').parse().ok()?;
        let (thread, _file, symbol) = (fields.next()?, fields.next()?, fields.next()?);
        let (mark, name) = symbol.split_once(' ').unwrap_or(("", symbol));
        // What perf adds behind the name.
        let name = name.split('|').next().unwrap_or(name).trim();
        Some(Line {
            share: share / 100.0,
            thread,
            symbol: name,
            kernel: mark == "[k]",
        })
    });
    parsed.collect()
}

/// What a function works at.
fn work(line: &Line<'_>) -> &'static str {
    let name = line.symbol.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if line.kernel {
        return match () {
            () if has(&[
                "copy_to_iter",
                "filemap_read",
                "filemap_get",
                "mpage",
                "readahead",
            ]) =>
            {
                "kernel: reading files"
            }
            () if has(&[
                "copy_from",
                "write",
                "folio",
                "ext4",
                "jbd2",
                "blk",
                "dirty",
                "xfs",
                "btrfs",
                "balance",
            ]) =>
            {
                "kernel: writing files"
            }
            () if has(&[
                "clear_page",
                "fault",
                "mmap",
                "vma",
                "alloc",
                "pte",
                "unmap",
                "zap",
                "lru",
                "clear_huge",
            ]) =>
            {
                "kernel: memory"
            }
            () if has(&[
                "path", "dentry", "lookup", "stat", "open", "inode", "getdents", "link", "xattr",
                "namei", "fd",
            ]) =>
            {
                "kernel: names and status"
            }
            () if has(&["futex", "sched", "wake", "switch", "idle", "spin"]) => "kernel: threads",
            () => "kernel: other",
        };
    }
    match () {
        () if has(&["sha256", "sha2"]) => "SHA-256",
        () if has(&["zstd", "huf_", "fse_", "hist_"]) => "zstd",
        () if has(&["aes", "ctr32"]) => "AES",
        () if has(&["poly1305", "core_arch::x86::avx2"]) => "Poly1305",
        () if has(&["fastcdc", "cutter"]) => "cutting",
        () if has(&["scrypt", "salsa", "pbkdf2"]) => "scrypt",
        () if has(&["jent", "keccak", "rol64", "drbg"]) => "randomness",
        () if has(&["memcpy", "memmove", "memset", "memcmp"]) => "copying and comparing memory",
        () if has(&["malloc", "free", "alloc", "grow"]) => "allocating",
        () if has(&["tree", "json", "serde", "gojson", "hex"]) => "trees and JSON",
        () if has(&["index"]) => "index",
        () => "other",
    }
}

fn tables(lines: &[Line<'_>], sample: Sample, top: usize) {
    let cpu = sample.cpu();
    say(format!(
        "wall {:.2} s, CPU {:.2} s ({:.2} in the program, {:.2} in the kernel), peak memory {:.0} MB",
        sample.wall,
        cpu,
        sample.user,
        sample.system,
        sample.peak / 1e6
    ));
    let sum = |key: fn(&Line<'_>) -> String| {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for line in lines {
            *sums.entry(key(line)).or_default() += line.share;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        sums
    };
    say("\nby what is done            CPU s   share");
    for (what, share) in sum(|line| work(line).to_owned()) {
        say(format!(
            "{what:<26} {:>5.2}  {:>5.1} %",
            share * cpu,
            share * 100.0
        ));
    }
    say("\nby thread                  CPU s   of the wall time");
    for (thread, share) in sum(|line| line.thread.to_owned()) {
        let seconds = share * cpu;
        say(format!(
            "{thread:<26} {seconds:>5.2}  {:>5.1} %",
            seconds / sample.wall * 100.0
        ));
    }
    say("\nby function                CPU s   share");
    for (symbol, share) in sum(|line| line.symbol.to_owned()).into_iter().take(top) {
        say(format!(
            "{:>32.2}  {:>5.1} %  {symbol}",
            share * cpu,
            share * 100.0
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_and_put_into_rooms() {
        let report = "# Overhead|Command|Object|Symbol\n\
            \x20   31.20%|vault-chunk-0|lifeboat|[.] sha2::sha256::x86::compress\n\
            \x20   12.00%|lifeboat|[kernel.kallsyms]|[k] _copy_to_iter|-|-\n\nnonsense\n";
        let lines = parse(report);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(
            (lines[0].thread, work(&lines[0])),
            ("vault-chunk-0", "SHA-256")
        );
        assert!((lines[0].share - 0.312).abs() < 1e-9);
        assert_eq!(
            (lines[1].symbol, work(&lines[1])),
            ("_copy_to_iter", "kernel: reading files")
        );
    }
}
