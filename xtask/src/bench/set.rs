//! The data: made once with a seed, kept, and the same at each run on one machine.

use std::cell::Cell;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;
use fs_err::File;

use super::postgres;
use crate::say;

const SEED: u64 = 20_261_123;
/// Generations of a history.
const GENERATIONS: usize = 12;
/// Of a file of the root file system, at most: one archive more or less must not make the figure.
const LARGEST_OF_ROOT: u64 = 64 << 20;

/// A data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Set {
    /// A PostgreSQL cluster after pgbench, and a part of a root file system
    Mixed,
    /// One file of incompressible data
    Big,
    /// Very many files of 100 bytes
    Small,
    /// One directory of very many files
    Wide,
    /// A year of monthly generations, 3 % changed in each
    Generations,
}

/// How much smaller than nominal a set is: `1 / divisor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    divisor: u64,
}

impl Scale {
    /// As large as `space` bytes of disk allow; for `--quick` smaller.
    pub fn new(set: Set, quick: bool, space: u64) -> Self {
        let (nominal, quickly) = match set {
            Set::Mixed => (10 << 30, 4),
            Set::Big => (31 << 30, 16),
            Set::Small => (9 << 30, 16),
            Set::Wide => (3 << 30, 8),
            Set::Generations => (4 << 30, 8),
        };
        let mut divisor = if quick { quickly } else { 1 };
        while nominal / divisor > space && divisor < 1024 {
            divisor *= 2;
        }
        Self { divisor }
    }

    /// A part of the nominal set.
    pub fn one_in(divisor: u64) -> Self {
        Self { divisor }
    }

    fn of(self, nominal: u64) -> u64 {
        nominal / self.divisor
    }

    /// For the report; empty where nothing was scaled.
    pub fn words(self, set: Set) -> String {
        match self.divisor {
            1 => String::new(),
            n => format!(
                "1/{n} of the nominal set ({})",
                set.what(Self { divisor: 1 })
            ),
        }
    }
}

/// A set that is there.
pub struct Source {
    /// What is backed up.
    pub dir: PathBuf,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and bytes of each generation, once it was visited; empty where there is no history.
    pub generations: Vec<Cell<(u64, u64)>>,
    scale: Scale,
}

impl Set {
    /// In the order of a run.
    pub const ALL: &[Set] = &[
        Set::Mixed,
        Set::Big,
        Set::Small,
        Set::Wide,
        Set::Generations,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Set::Mixed => "mixed",
            Set::Big => "big",
            Set::Small => "small",
            Set::Wide => "wide",
            Set::Generations => "generations",
        }
    }

    /// What is in it.
    pub fn what(self, scale: Scale) -> String {
        let n = |nominal| scale.of(nominal);
        match self {
            Set::Mixed => format!(
                "PostgreSQL after pgbench at scale {}, and {} files of a root file system",
                n(180),
                n(30_000)
            ),
            Set::Big => format!("one file of {} MB that does not compress", n(10_000)),
            Set::Small => format!(
                "{} files of 100 bytes in {} directories",
                n(1_000_000),
                n(1000)
            ),
            Set::Wide => format!("{} files of 100 bytes in one directory", n(300_000)),
            Set::Generations => format!(
                "{GENERATIONS} generations of {} MB: database files of which 3 % of the pages are written in each, small files of which 3 % are written and 1 % added",
                n(1000)
            ),
        }
    }

    /// The set, made if it is not there.
    pub fn make(self, sets: &Path, scale: Scale) -> Result<Source> {
        let dir = sets.join(format!("{}-{}", self.name(), scale.divisor));
        if !dir.exists() {
            say(format!(
                "Making the set {}: {}",
                self.name(),
                self.what(scale)
            ));
            let temporary = sets.join(format!(".{}", self.name()));
            if temporary.exists() {
                fs::remove_dir_all(&temporary)?;
            }
            fs::create_dir_all(&temporary)?;
            match self {
                Set::Mixed => {
                    postgres::make(&temporary, scale.of(180))?;
                    root(&temporary.join("root"), scale.of(30_000) as usize)?;
                }
                Set::Big => noise(&temporary.join("big"), scale.of(10_000_000_000))?,
                Set::Small => {
                    for d in 0..scale.of(1000) {
                        let folder = temporary.join(format!("d{d:04}"));
                        tiny(&folder, d, 1000)?;
                    }
                }
                Set::Wide => tiny(&temporary.join("wide"), 0, scale.of(300_000))?,
                Set::Generations => generation(&temporary, scale, 1)?,
            }
            fs::rename(&temporary, &dir)?;
        }
        let (files, bytes) = count(&dir)?;
        let generations = match self {
            Set::Generations => (0..GENERATIONS).map(|_| Cell::default()).collect(),
            _ => Vec::new(),
        };
        Ok(Source {
            dir,
            files,
            bytes,
            generations,
            scale,
        })
    }
}

impl Source {
    /// Reads all of it, so that every program finds it in memory alike: what the ones before have written may have driven
    /// it out.
    pub fn warm(&self) -> Result<()> {
        warm(&self.dir)
    }

    /// Files and bytes of a generation (from 1) that was visited.
    pub fn at_generation(&self, n: usize) -> (u64, u64) {
        match self.generations.get(n - 1) {
            Some(seen) => seen.get(),
            None => (self.files, self.bytes),
        }
    }

    /// Makes the directory be what it is in the `n`th generation: the first, or the one after that which it is in.
    pub fn go_to_generation(&self, n: usize) -> Result<()> {
        if n == 1 {
            fs::remove_dir_all(&self.dir)?;
            fs::create_dir(&self.dir)?;
        }
        generation(&self.dir, self.scale, n)?;
        if let Some(seen) = self.generations.get(n - 1) {
            seen.set(count(&self.dir)?);
        }
        Ok(())
    }
}

/// Regular files below a directory, and their bytes.
pub fn count(dir: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    each_file(dir, &mut |entry| {
        files += 1;
        bytes += entry.metadata()?.len();
        Ok(())
    })?;
    Ok((files, bytes))
}

fn warm(dir: &Path) -> Result<()> {
    each_file(dir, &mut |entry| {
        std::io::copy(&mut File::open(entry.path())?, &mut std::io::sink())?;
        Ok(())
    })
}

fn each_file(dir: &Path, each: &mut dyn FnMut(&fs::DirEntry) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            each_file(&entry.path(), each)?;
        } else if kind.is_file() {
            each(&entry)?;
        }
    }
    Ok(())
}

/// Numbers from a seed (SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ SEED)
    }

    /// The next.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// Text that compresses about as logs and tables do: four times.
    fn prose(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let word = format!("{} ", self.below(1 << 10) * 7919);
            let end = bytes.len().min(at + word.len());
            bytes[at..end].copy_from_slice(&word.as_bytes()[..end - at]);
            at = end;
        }
    }
}

/// A file of noise.
pub fn noise(path: &Path, size: u64) -> Result<()> {
    let mut numbers = Numbers::new(1);
    let mut out = File::create(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let part = left.min(buffer.len() as u64) as usize;
        numbers.fill(&mut buffer[..part]);
        out.write_all(&buffer[..part])?;
        left -= part as u64;
    }
    Ok(out.sync_all()?)
}

/// Files of 100 bytes.
pub fn tiny(folder: &Path, seed: u64, files: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut numbers = Numbers::new(seed + 100);
    let mut bytes = [0; 100];
    for n in 0..files {
        numbers.fill(&mut bytes);
        fs::write(folder.join(format!("f{n:07}")), bytes)?;
    }
    Ok(())
}

/// As many files of this machine's own `/usr`, chosen by the hash of their names.
fn root(to: &Path, files: usize) -> Result<()> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    each_file(Path::new("/usr"), &mut |entry| {
        let path = entry.path();
        let name = path.as_os_str().as_encoded_bytes();
        let hash = name.iter().fold(SEED, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        if entry.metadata()?.len() <= LARGEST_OF_ROOT {
            found.push((Numbers::new(hash).next(), path));
        }
        Ok(())
    })?;
    found.sort();
    for (_, path) in found.into_iter().take(files) {
        let inside = path.strip_prefix("/").context("a path below /usr")?;
        let to = to.join(inside);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(&path, &to)?;
        let modified = fs::metadata(&path)?.modified()?;
        fs::OpenOptions::new()
            .append(true)
            .open(&to)?
            .file()
            .set_modified(modified)?;
    }
    Ok(())
}

/// Bytes of a page of the database files.
const DB_PAGE: u64 = 8192;
/// Database files.
const DATABASES: u64 = 8;

/// Turns the generation before, in `dir`, into the `n`th; the first out of nothing.
fn generation(dir: &Path, scale: Scale, n: usize) -> Result<()> {
    use std::io::{Seek as _, SeekFrom};
    let mut numbers = Numbers::new(1000 + n as u64);
    let pages = scale.of(600_000_000) / DATABASES / DB_PAGE;
    let files = scale.of(400_000_000) / 20_000;
    let page = |numbers: &mut Numbers| {
        let mut page = vec![0; DB_PAGE as usize];
        let (noise, text) = page.split_at_mut(DB_PAGE as usize / 4);
        numbers.fill(noise);
        numbers.prose(text);
        page
    };
    let small = |numbers: &mut Numbers, name: u64| -> Result<()> {
        let folder = dir.join(format!("files/{:02}", name % 100));
        fs::create_dir_all(&folder)?;
        let mut bytes = vec![0; numbers.below(40_000) as usize];
        numbers.prose(&mut bytes);
        Ok(fs::write(folder.join(format!("{name:07}")), bytes)?)
    };
    for d in 0..DATABASES {
        let path = dir.join(format!("db{d}"));
        if n == 1 {
            let mut out = BufWriter::new(File::create(&path)?);
            for _ in 0..pages {
                out.write_all(&page(&mut numbers))?;
            }
            out.flush()?;
            continue;
        }
        // In runs, as tables are written: 24 pages on average.
        let mut out = fs::OpenOptions::new().write(true).open(&path)?;
        let mut left = pages * 3 / 100;
        while left > 0 {
            let run = (1 + numbers.below(47)).min(left);
            let at = numbers.below(pages - run);
            out.seek(SeekFrom::Start(at * DB_PAGE))?;
            for _ in 0..run {
                out.write_all(&page(&mut numbers))?;
            }
            left -= run;
        }
    }
    if n == 1 {
        for name in 0..files {
            small(&mut numbers, name)?;
        }
        return Ok(());
    }
    for _ in 0..files * 3 / 100 {
        let name = numbers.below(files);
        small(&mut numbers, name)?;
    }
    let added = files / 100;
    for name in 0..added {
        small(&mut numbers, files + (n as u64 - 2) * added + name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_shrink_to_the_disk_that_there_is() {
        assert_eq!(Scale::new(Set::Big, false, 40 << 30), Scale { divisor: 1 });
        assert_eq!(Scale::new(Set::Big, false, 8 << 30), Scale { divisor: 4 });
        assert_eq!(Scale::new(Set::Wide, false, 8 << 30).words(Set::Wide), "");
        assert!(
            Scale::new(Set::Small, true, 8 << 30)
                .words(Set::Small)
                .contains("1/16")
        );
    }

    #[test]
    fn a_set_is_the_same_at_each_making_and_generations_differ() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let scale = Scale { divisor: 150 };
        for dir in [&a, &b] {
            generation(dir.path(), scale, 1).unwrap();
        }
        let read = |dir: &Path| fs::read(dir.join("db3")).unwrap();
        assert!(read(a.path()) == read(b.path()));
        let before = count(a.path()).unwrap();
        generation(b.path(), scale, 2).unwrap();
        let (old, new) = (read(a.path()), read(b.path()));
        let pages = old.chunks(8192).zip(new.chunks(8192));
        let changed = pages.filter(|(a, b)| a != b).count();
        assert!(
            old.len() == new.len() && (1..=old.len() / 8192 * 4 / 100 + 1).contains(&changed),
            "{changed}"
        );
        assert!(count(b.path()).unwrap().0 >= before.0);
    }
}
