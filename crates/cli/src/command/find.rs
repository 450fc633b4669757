//! `find`: point after point, told as soon as a point has been looked through.

use lifeboat_recovery::{
    RecoveryError,
    files::Entry,
    inspect::{FindOptions, Finder},
};
use lifeboat_vault::{Snapshot, SnapshotId, Snapshots};
use serde::Serialize;

use super::ls::{self, JsonEntry, PIECE};
use crate::{
    args::FindArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
};

/// What `-o json` says of one point in which something was found.
#[derive(Serialize)]
struct Found<'a> {
    id: String,
    time: &'a str,
    host: &'a str,
    paths: &'a [String],
    hits: usize,
    matches: Vec<JsonEntry>,
}

/// Finds files.
pub fn run(session: &Session, args: &FindArgs) -> Result<Exit> {
    let ctx = session.context(None)?;
    let filter = args.filter.filter(&args.points, &session.global);
    let Snapshots {
        found: points,
        unreadable,
    } = filter.select(&ctx.vault)?;
    for (_, error) in &unreadable {
        session.reporter.warn_once(&error.to_string());
    }
    let reader = ctx.vault.reader()?;
    let options = FindOptions {
        patterns: args.patterns.clone(),
        ignore_case: args.ignore_case,
        oldest: args.oldest,
        newest: args.newest,
    };
    let mut finder = Finder::new(&reader, options)?;
    let mut view = View {
        session,
        long: args.long,
        text: if session.out.is_json() {
            b"{\"points\":[".to_vec()
        } else {
            Vec::new()
        },
        first: true,
        hits: 0,
        points: 0,
    };
    let mut damaged = 0;
    for (id, snapshot) in &points {
        let mut entries = Vec::new();
        let looked = match snapshot.tree {
            Some(root) => finder.run(root, &mut |entry| {
                if ctx.cancel.is_cancelled() || session.out.is_closed() {
                    return Err(RecoveryError::Interrupted);
                }
                entries.push(entry);
                Ok(())
            }),
            None => Err(RecoveryError::Failed("it names no tree".to_owned())),
        };
        if session.out.is_closed() {
            return Ok(Exit::Done);
        }
        if ctx.cancel.is_cancelled() {
            return Err(Failure::interrupted());
        }
        if let Err(error) = looked {
            damaged += 1;
            let sentence = format!(
                "point {} was not looked through to its end: {error}",
                id.short()
            );
            session.reporter.warn_once(&sentence);
        }
        view.point(*id, snapshot, &entries)?;
    }
    session.reporter.finish();
    view.end()?;
    Ok(if damaged == 0 && unreadable.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

struct View<'a> {
    session: &'a Session,
    long: bool,
    text: Vec<u8>,
    first: bool,
    hits: usize,
    points: u64,
}

impl View<'_> {
    fn point(&mut self, id: SnapshotId, snapshot: &Snapshot, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.hits += entries.len();
        self.points += 1;
        if self.session.out.is_json() {
            if !std::mem::take(&mut self.first) {
                self.text.push(b',');
            }
            let found = Found {
                id: id.to_hex(),
                time: &snapshot.time,
                host: &snapshot.hostname,
                paths: &snapshot.paths,
                hits: entries.len(),
                matches: entries.iter().map(JsonEntry::new).collect(),
            };
            let json = serde_json::to_vec(&found)
                .map_err(|e| Failure::new(format!("the result cannot be written as JSON: {e}")))?;
            self.text.extend_from_slice(&json);
        } else {
            let paths = snapshot.paths.join(", ");
            let heading = format!(
                "{}in point {} of {} ({})\n",
                if std::mem::take(&mut self.first) {
                    ""
                } else {
                    "\n"
                },
                id.short(),
                human::escape(paths.as_bytes()),
                human::local_time(&snapshot.time)
            );
            self.text.extend_from_slice(heading.as_bytes());
            for entry in entries {
                ls::line(
                    &mut self.text,
                    entry,
                    self.long,
                    self.session.out.is_terminal(),
                );
                if self.text.len() >= PIECE {
                    self.flush()?;
                }
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.session.out.bytes(&self.text)?;
        self.text.clear();
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        if self.session.out.is_json() {
            self.text
                .extend_from_slice(format!("],\"hits\":{}}}\n", self.hits).as_bytes());
        } else if self.hits == 0 {
            let quiet = self.session.global.quiet;
            self.session.reporter.note("nothing matches", quiet);
        }
        self.flush()
    }
}
