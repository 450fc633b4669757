//! Requests with an `Idempotency-Key`: what was answered is remembered for a day, so that one that is sent again changes nothing again.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

/// So many are remembered, and so long (milliseconds).
const MOST: i64 = 10_000;
const KEPT: i64 = 24 * 3_600_000;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is to be done now.
    New,
    /// It was done, and this was the answer.
    Answered(Answer),
    /// It is being done.
    UnderWay,
    /// It was used for something else.
    Other,
}

/// An answer that is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Location`, if there was one.
    pub location: Option<String>,
    /// `Content-Type`.
    pub kind: String,
    /// Body.
    pub body: Vec<u8>,
}

/// The keys of a state directory.
pub struct Once {
    db: Mutex<Connection>,
}

impl Once {
    /// Opens it. A file that is damaged is set aside: only keys are lost, nothing that was done.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> rusqlite::Result<Self> {
        let path = folder.join("api.sqlite");
        let db = match Self::connect(&path) {
            Ok(db) => db,
            Err(why) => {
                tracing::warn!("{} is damaged ({why}) and begun anew", path.display());
                for end in ["", "-wal", "-shm"] {
                    let from = PathBuf::from(format!("{}{end}", path.display()));
                    let _ = fs_err::rename(&from, format!("{}.damaged{end}", path.display()));
                }
                Self::connect(&path)?
            }
        };
        // Whoever was at it is no more.
        db.execute("delete from once where status is null", [])?;
        Ok(Self { db: Mutex::new(db) })
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "normal")?;
        db.execute_batch(
            "create table if not exists once (
                key text primary key, request text not null, at integer not null,
                status integer, location text, kind text, body blob);
             create index if not exists once_at on once (at);",
        )?;
        Ok(db)
    }

    /// Takes a key for a request; both as hashes, so that nothing of them is kept.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn begin(&self, key: &str, request: &str, now: i64) -> rusqlite::Result<Known> {
        let db = self.db.lock();
        db.execute("delete from once where at < ?1", [now - KEPT])?;
        let found = db
            .prepare_cached(
                "select request, status, location, kind, body from once where key = ?1",
            )?
            .query_row([key], |row| {
                let other: String = row.get(0)?;
                let status: Option<u16> = row.get(1)?;
                Ok(match status {
                    _ if other != request => Known::Other,
                    None => Known::UnderWay,
                    Some(status) => Known::Answered(Answer {
                        status,
                        location: row.get(2)?,
                        kind: row.get(3)?,
                        body: row.get(4)?,
                    }),
                })
            })
            .optional()?;
        if let Some(known) = found {
            return Ok(known);
        }
        db.prepare_cached("insert into once (key, request, at) values (?1, ?2, ?3)")?
            .execute(params![key, request, now])?;
        db.execute(
            "delete from once where key in (select key from once order by at desc limit -1 offset ?1)",
            [MOST],
        )?;
        Ok(Known::New)
    }

    /// Remembers the answer; `None`: it is forgotten that it was asked.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn end(&self, key: &str, answer: Option<&Answer>) -> rusqlite::Result<()> {
        let db = self.db.lock();
        match answer {
            Some(answer) => db
                .prepare_cached(
                    "update once set status = ?2, location = ?3, kind = ?4, body = ?5 where key = ?1",
                )?
                .execute(params![
                    key,
                    answer.status,
                    answer.location,
                    answer.kind,
                    answer.body
                ])?,
            None => db.execute("delete from once where key = ?1", [key])?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_one_request_and_its_answer_comes_again() {
        let dir = tempfile::tempdir().unwrap();
        let once = Once::open(dir.path()).unwrap();
        let answer = Answer {
            status: 202,
            location: Some("/x".to_owned()),
            kind: "application/json".to_owned(),
            body: b"{}".to_vec(),
        };
        assert_eq!(once.begin("k", "r", 0).unwrap(), Known::New);
        assert_eq!(once.begin("k", "r", 0).unwrap(), Known::UnderWay);
        assert_eq!(once.begin("k", "s", 0).unwrap(), Known::Other);
        once.end("k", Some(&answer)).unwrap();
        drop(once);
        let once = Once::open(dir.path()).unwrap();
        assert_eq!(once.begin("k", "r", 1).unwrap(), Known::Answered(answer));
        assert_eq!(
            once.begin("k", "r", KEPT + 1).unwrap(),
            Known::New,
            "a day later"
        );
        once.end("k", None).unwrap();
        assert_eq!(once.begin("k", "r", KEPT + 1).unwrap(), Known::New);
    }

    #[test]
    fn it_stays_bounded_and_damage_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let once = Once::open(dir.path()).unwrap();
        for n in 0..MOST + 50 {
            once.begin(&n.to_string(), "r", n).unwrap();
        }
        let count: i64 = once
            .db
            .lock()
            .query_row("select count(*) from once", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, MOST);
        drop(once);
        fs_err::write(dir.path().join("api.sqlite"), vec![7; 100_000]).unwrap();
        Once::open(dir.path()).unwrap();
        assert!(dir.path().join("api.sqlite.damaged").exists());
    }
}
