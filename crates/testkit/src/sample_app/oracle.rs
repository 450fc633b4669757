//! What the app promised, and whether it was kept.

use std::collections::BTreeSet;

use fs_err as fs;

use super::{CACHE, DB, SampleApp};
use crate::engine::PrivateEngine;
use crate::{Error, Result};

/// A row that the worker was told is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acked {
    /// The row's number.
    pub number: u64,
    /// When the worker knew, in nanoseconds since 1970.
    pub nanos: u64,
}

/// What [`SampleApp::verify_recovered`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// How many rows had been promised.
    pub promised: usize,
    /// How many rows the database has.
    pub rows: usize,
    /// The last number that Redis has.
    pub redis: u64,
}

impl SampleApp {
    /// What was acknowledged so far, in order, read from the bind mount on the host.
    pub fn acked(&self) -> Result<Vec<Acked>> {
        match fs::read_to_string(self.acked_log()) {
            Ok(log) => parse(&log),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The numbers of the rows that the database has.
    pub fn rows_in_database(&self, engine: &PrivateEngine) -> Result<BTreeSet<u64>> {
        let psql = ["psql", "-h", "/tmp", "-XqAt", "-c", "select n from ledger"];
        let rows = engine.api().exec_ok(DB, &psql)?;
        let number = |line: &str| line.parse().map_err(|_| Error::malformed("a row", line));
        rows.lines().map(number).collect()
    }

    /// The last number that Redis has, 0 if none.
    pub fn last_in_redis(&self, engine: &PrivateEngine) -> Result<u64> {
        let said = engine.api().exec_ok(CACHE, &["redis-cli", "get", "last"])?;
        match said.trim() {
            "" => Ok(0),
            number => number
                .parse()
                .map_err(|_| Error::malformed("redis", number)),
        }
    }

    /// Checks a recovered app against what had been acknowledged before the recovery point's instant
    /// (`promised`), and its places against each other, since the point is one instant over all of
    /// them: whatever the recovered log says was acknowledged is in the database, and Redis is not
    /// more than the one row behind that was on its way.
    pub fn verify_recovered(
        &self,
        engine: &PrivateEngine,
        promised: &[Acked],
    ) -> Result<Recovered> {
        // This order: the worker runs again, and what is read first has to be the smaller.
        let redis = self.last_in_redis(engine)?;
        let log = self.acked()?;
        let rows = self.rows_in_database(engine)?;
        let missing = |from: &[Acked]| -> Vec<u64> {
            let numbers = from.iter().map(|acked| acked.number);
            numbers.filter(|number| !rows.contains(number)).collect()
        };
        let broken = |what: &str, missing: &[u64]| {
            let count = missing.len();
            let some = missing.get(..count.min(10)).unwrap_or_default();
            Err(Error::Broken(format!(
                "{count} rows {what} are not in the database: {some:?}"
            )))
        };
        match missing(promised) {
            lost if lost.is_empty() => {}
            lost => return broken("acknowledged before the recovery point", &lost),
        }
        match missing(&log) {
            lost if lost.is_empty() => {}
            lost => return broken("that the recovered log calls acknowledged", &lost),
        }
        let last = promised.iter().map(|acked| acked.number).max().unwrap_or(0);
        if redis + 1 < last {
            return Err(Error::Broken(format!(
                "Redis has {redis} as its last number, but {last} was acknowledged before the recovery point"
            )));
        }
        Ok(Recovered {
            promised: promised.len(),
            rows: rows.len(),
            redis,
        })
    }
}

impl Acked {
    /// Those of `all` that were acknowledged before an instant (nanoseconds since 1970).
    pub fn before(all: &[Self], nanos: u64) -> Vec<Self> {
        all.iter()
            .filter(|acked| acked.nanos < nanos)
            .copied()
            .collect()
    }
}

fn parse(log: &str) -> Result<Vec<Acked>> {
    // What follows the last newline is being written, or was cut by a crash: not acknowledged.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let parse = |line: &str| {
        let (number, nanos) = line.split_once(' ')?;
        Some(Acked {
            number: number.parse().ok()?,
            nanos: nanos.parse().ok()?,
        })
    };
    whole
        .lines()
        .map(|line| parse(line).ok_or_else(|| Error::malformed("the worker's log", line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_whole_was_not_acknowledged() {
        let acked = parse("1 100\n2 200\n3 30").unwrap();
        assert_eq!(acked.len(), 2);
        assert_eq!(
            Acked::before(&acked, 200),
            vec![Acked {
                number: 1,
                nanos: 100
            }]
        );
        assert_eq!(parse("").unwrap(), vec![]);
        parse("x y\n").unwrap_err();
    }
}
