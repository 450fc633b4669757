//! Job records in SQLite. Everything in it can be lost: what the vault holds is found there again.
//!
//! A record is written before its job starts and after each change; a power cut may lose the last of them, never the file.
//! A file that is damaged is set aside and a new one begun. The newest [`KEPT`] records stay.

use std::path::{Path, PathBuf};

use lifeboat_plan::schedule::{Job, Time, Work};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{Error, Result};

/// So many records stay.
const KEPT: u64 = 10_000;

const TABLES: &str = "
    create table if not exists job (
        id integer primary key, work text not null, over integer not null, record text not null);
    create index if not exists job_over on job (over) where over = 0;
    create index if not exists job_work on job (work, id);
    create table if not exists mark (name text primary key, at integer not null);";

/// Whether a file is damaged, rather than out of reach or without room: only then it is set aside.
fn is_damage(why: &Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match why {
        Error::Records(_) => true,
        Error::Sqlite(why) => {
            matches!(
                why.sqlite_error_code(),
                Some(DatabaseCorrupt | NotADatabase)
            )
        }
        _ => false,
    }
}

/// The records.
pub struct Records {
    db: Connection,
    path: PathBuf,
    /// The file was damaged, and this is why.
    pub begun_anew: Option<String>,
    /// The file cannot be written, and this is why: records are in memory alone.
    pub in_memory: Option<String>,
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
                in_memory: None,
            }),
            Err(why) if !is_damage(&why) => Self::aside(path, why),
            Err(why) => {
                // Not removed: somebody may want to know what was in it.
                for end in ["", "-wal", "-shm"] {
                    let from = PathBuf::from(format!("{}{end}", path.display()));
                    if from.exists() {
                        fs_err::rename(&from, format!("{}.damaged{end}", path.display()))?;
                    }
                }
                let said = why.to_string();
                match Self::connect(&path) {
                    Ok(db) => Ok(Self {
                        db,
                        path,
                        begun_anew: Some(said),
                        in_memory: None,
                    }),
                    Err(why) => Self::aside(path, why),
                }
            }
        }
    }

    /// Records in memory alone, where the file cannot be written (a full disk): nothing is protected less because of it.
    fn aside(path: PathBuf, why: Error) -> Result<Self> {
        let db = Connection::open_in_memory()?;
        db.execute_batch(TABLES)?;
        let records = Self {
            db,
            begun_anew: None,
            in_memory: Some(why.to_string()),
            path,
        };
        for job in records.as_they_lie().unwrap_or_default() {
            records.put(&job)?;
        }
        Ok(records)
    }

    /// What the file holds, read without the locks and shared memory that a full disk has no room for.
    fn as_they_lie(&self) -> Result<Vec<Job>> {
        let place = format!("file:{}?immutable=1", self.path.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let db = Connection::open_with_flags(place, flags)?;
        let mut statement = db.prepare("select record from job order by id")?;
        let texts = statement.query_map([], |row| row.get::<_, String>(0))?;
        texts.map(|text| read(&text?)).collect()
    }

    /// Moves records that had to be kept in memory into the file, once it can be written; `true` if it was done now.
    pub fn settle(&mut self) -> bool {
        if self.in_memory.is_none() {
            return false;
        }
        let Ok(mut file) = Self::connect(&self.path) else {
            return false;
        };
        if self.move_into(&mut file).is_err() {
            return false;
        }
        self.db = file;
        self.in_memory = None;
        true
    }

    fn move_into(&self, file: &mut Connection) -> Result<()> {
        let tx = file.transaction()?;
        for job in self.all()? {
            let text = serde_json::to_string(&job).map_err(|e| Error::Records(e.to_string()))?;
            let row = params![signed(job.id), work(&job.work), job.is_over(), text];
            tx.execute("insert or replace into job values (?1, ?2, ?3, ?4)", row)?;
        }
        Ok(tx.commit()?)
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
            in_memory: None,
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
        db.execute_batch(TABLES)?;
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

    /// When something was done last that is no job.
    pub fn mark(&self, name: &str) -> Result<Option<Time>> {
        let at = self
            .db
            .query_row("select at from mark where name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(at.map(Time))
    }

    /// Notes that it was done.
    pub fn set_mark(&self, name: &str, at: Time) -> Result<()> {
        self.db
            .prepare_cached("insert or replace into mark values (?1, ?2)")?
            .execute(params![name, at.0])?;
        Ok(())
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
    use lifeboat_plan::schedule::{JobEvent, Outcome};

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
        assert_eq!(records.mark("digest").unwrap(), None);
        records.set_mark("digest", Time(7)).unwrap();
        records.set_mark("digest", Time(8)).unwrap();
        assert_eq!(records.mark("digest").unwrap(), Some(Time(8)));
        assert!(Records::look(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_disk_without_room_is_no_damage_and_what_was_kept_in_memory_is_moved() {
        use rusqlite::ffi::{self, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_IOERR};
        let of = |code| Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(is_damage(&of(SQLITE_CORRUPT)));
        assert!(!is_damage(&of(SQLITE_FULL)) && !is_damage(&of(SQLITE_IOERR)));
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        records.put(&job(1)).unwrap();
        drop(records);
        let path = Records::file(dir.path());
        let mut records = Records::aside(path, of(SQLITE_FULL)).unwrap();
        assert!(records.in_memory.is_some());
        assert_eq!(records.next_id().unwrap(), 2, "it knows what was there");
        records.put(&job(2)).unwrap();
        assert!(records.settle());
        assert!(!records.settle());
        drop(records);
        let records = Records::open(dir.path()).unwrap();
        assert_eq!(records.all().unwrap(), [job(1), job(2)]);
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
