//! Job records in SQLite. Everything in it can be lost: what the vault holds is found there again.
//!
//! A record is written before its job starts and after each change; a power cut may lose the last of them, never the file.
//! A file that is damaged is set aside and a new one begun. The newest [`KEPT`] records stay.

use std::path::{Path, PathBuf};

use lifeboat_plan::schedule::{Job, Work};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{Error, Result};

/// So many records stay.
const KEPT: u64 = 10_000;

/// The records.
pub struct Records {
    db: Connection,
    path: PathBuf,
    /// The file was damaged, and this is why.
    pub begun_anew: Option<String>,
}

impl Records {
    /// Where they lie in a state directory.
    #[must_use]
    pub fn file(state: &Path) -> PathBuf {
        state.join("objectives").join("jobs.sqlite")
    }

    /// Opens them to write; makes what is missing.
    pub fn open(state: &Path) -> Result<Self> {
        let path = Self::file(state);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        match Self::connect(&path) {
            Ok(db) => Ok(Self {
                db,
                path,
                begun_anew: None,
            }),
            Err(why) => {
                // Not removed: somebody may want to know what was in it.
                for end in ["", "-wal", "-shm"] {
                    let from = PathBuf::from(format!("{}{end}", path.display()));
                    if from.exists() {
                        fs_err::rename(&from, format!("{}.damaged{end}", path.display()))?;
                    }
                }
                let db = Self::connect(&path)?;
                let why = Some(why.to_string());
                Ok(Self {
                    db,
                    path,
                    begun_anew: why,
                })
            }
        }
    }

    /// Opens them to read; `None`: there are none.
    pub fn look(state: &Path) -> Result<Option<Self>> {
        let path = Self::file(state);
        if !path.exists() {
            return Ok(None);
        }
        let db = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        // The agent may be about to make them: the file comes before the table.
        let made: bool = db.query_row(
            "select exists (select 1 from sqlite_master where type = 'table' and name = 'job')",
            [],
            |row| row.get(0),
        )?;
        Ok(made.then_some(Self {
            db,
            path,
            begun_anew: None,
        }))
    }

    fn connect(path: &Path) -> Result<Connection> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "normal")?;
        let sound: String = db.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Error::Records(sound));
        }
        db.execute_batch(
            "create table if not exists job (
                id integer primary key, work text not null, over integer not null, record text not null);
             create index if not exists job_over on job (over) where over = 0;
             create index if not exists job_work on job (work, id);",
        )?;
        Ok(db)
    }

    /// Where they lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a record.
    pub fn put(&self, job: &Job) -> Result<()> {
        let record = serde_json::to_string(job).map_err(|e| Error::Records(e.to_string()))?;
        self.db
            .prepare_cached("insert or replace into job values (?1, ?2, ?3, ?4)")?
            .execute(params![
                signed(job.id),
                work(&job.work),
                job.is_over(),
                record
            ])?;
        if job.id.is_multiple_of(100) && job.id > KEPT {
            let last = signed(job.id - KEPT);
            self.db
                .execute("delete from job where id < ?1 and over = 1", [last])?;
        }
        Ok(())
    }

    /// One record.
    pub fn get(&self, id: u64) -> Result<Option<Job>> {
        let text: Option<String> = self
            .db
            .query_row(
                "select record from job where id = ?1",
                [signed(id)],
                |row| row.get(0),
            )
            .optional()?;
        text.map(|text| read(&text)).transpose()
    }

    /// The newest records first.
    pub fn newest(&self, most: usize) -> Result<Vec<Job>> {
        self.select(
            "select record from job order by id desc limit ?1",
            i64::try_from(most).unwrap_or(i64::MAX),
        )
    }

    /// So many records before that number (or the newest), the newest first.
    pub fn page(&self, before: Option<u64>, most: usize) -> Result<Vec<Job>> {
        let mut statement = self
            .db
            .prepare_cached("select record from job where id < ?1 order by id desc limit ?2")?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let texts = statement.query_map([before.map_or(i64::MAX, signed), most], |row| {
            row.get::<_, String>(0)
        })?;
        texts.map(|text| read(&text?)).collect()
    }

    /// Those that are not over.
    pub fn open_jobs(&self) -> Result<Vec<Job>> {
        self.select(
            "select record from job where over = 0 order by id limit ?1",
            i64::MAX,
        )
    }

    /// All that are kept, the oldest first.
    pub fn all(&self) -> Result<Vec<Job>> {
        self.select("select record from job order by id limit ?1", i64::MAX)
    }

    /// A number that no record has had.
    pub fn next_id(&self) -> Result<u64> {
        let last: Option<i64> = self
            .db
            .query_row("select max(id) from job", [], |row| row.get(0))?;
        Ok(u64::try_from(last.unwrap_or(0)).unwrap_or(0) + 1)
    }

    fn select(&self, query: &str, most: i64) -> Result<Vec<Job>> {
        let mut statement = self.db.prepare_cached(query)?;
        let texts = statement.query_map([most], |row| row.get::<_, String>(0))?;
        texts.map(|text| read(&text?)).collect()
    }
}

fn read(text: &str) -> Result<Job> {
    serde_json::from_str(text).map_err(|e| Error::Records(format!("a record cannot be read: {e}")))
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn work(work: &Work) -> String {
    crate::commands::shown(work)
}

#[cfg(test)]
mod tests {
    use lifeboat_plan::schedule::{JobEvent, Outcome, Time};

    use super::*;

    fn job(id: u64) -> Job {
        let work = Work::Capture {
            app: "default/h/shop".into(),
        };
        Job::new(id, work, crate::process::own(), Time(1))
    }

    #[test]
    fn records_are_there_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        assert_eq!(records.next_id().unwrap(), 1);
        let mut one = job(1);
        records.put(&one).unwrap();
        records.put(&job(2)).unwrap();
        one.step(Time(2), JobEvent::Ended(Outcome::Done));
        records.put(&one).unwrap();
        drop(records);
        let records = Records::open(dir.path()).unwrap();
        assert_eq!(records.next_id().unwrap(), 3);
        assert_eq!(records.get(1).unwrap(), Some(one));
        assert_eq!(records.open_jobs().unwrap(), [job(2)]);
        assert_eq!(records.newest(1).unwrap()[0].id, 2);
        assert!(Records::look(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_file_whose_table_is_not_made_yet_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = Records::file(dir.path());
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, "").unwrap();
        assert!(Records::look(dir.path()).unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        for id in 1..200 {
            records.put(&job(id)).unwrap();
        }
        let path = records.path().to_owned();
        drop(records);
        fs_err::write(&path, vec![7; 100_000]).unwrap();
        let records = Records::open(dir.path()).unwrap();
        assert!(records.begun_anew.is_some());
        assert_eq!(records.all().unwrap(), []);
        assert!(path.with_extension("sqlite.damaged").exists());
    }
}
