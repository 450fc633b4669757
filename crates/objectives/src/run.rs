//! The process of a job, and what becomes of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::Sender;
use lifeboat_plan::schedule::job::Owner;

use crate::{keeper::Msg, process, results::Said};

/// So much of the end of a log, and of an answer, is read.
const LOG: u64 = 64 << 10;
const ANSWER: u64 = 16 << 20;

/// The files of a job.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub out: PathBuf,
    pub err: PathBuf,
    pub progress: PathBuf,
    /// The answer for the record, where `out` is for people.
    pub answer: PathBuf,
    /// What an order came with.
    pub given: PathBuf,
}

impl Files {
    pub fn of(folder: &Path, job: u64) -> Self {
        Self::named(folder, &job.to_string())
    }

    pub fn named(folder: &Path, name: &str) -> Self {
        Self {
            out: folder.join(format!("{name}.out")),
            err: folder.join(format!("{name}.log")),
            progress: folder.join(format!("{name}.progress")),
            answer: folder.join(format!("{name}.answer")),
            given: folder.join(format!("{name}.given")),
        }
    }

    pub fn answer(&self) -> String {
        read(&self.out)
    }

    /// What the record is made of.
    pub fn record(&self) -> String {
        if self.answer.exists() {
            read(&self.answer)
        } else {
            self.answer()
        }
    }

    /// What it said, all of it.
    pub fn said(&self, code: Option<i32>) -> Said {
        Said {
            code,
            out: self.answer(),
            err: self.log().join("\n"),
        }
    }

    pub fn log(&self) -> Vec<String> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = fs_err::File::open(&self.err)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG)))?;
            let mut bytes = Vec::new();
            file.take(LOG).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    pub fn remove(&self) {
        for file in [&self.out, &self.err, &self.progress, &self.answer] {
            let _ = fs_err::remove_file(file);
        }
    }

    /// Only once the job is over: one that is begun again needs it again.
    pub fn remove_given(&self) {
        let _ = fs_err::remove_file(&self.given);
    }
}

fn read(file: &Path) -> String {
    let length = fs_err::metadata(file).map_or(0, |f| f.len());
    if length > ANSWER {
        return String::new();
    }
    fs_err::read(file).map_or_else(
        |_| String::new(),
        |b| String::from_utf8_lossy(&b).into_owned(),
    )
}

/// Runs commands one after the other, in a thread of its own. One that fails keeps none of the others back (each is of
/// another app); one that is stopped ends the job. The job ends as badly as the worst of them.
pub(crate) fn run(
    job: u64,
    program: Vec<OsString>,
    commands: Vec<Vec<OsString>>,
    files: Files,
    to: Sender<Msg>,
) {
    let work = move || {
        let mut worst = Some(0);
        for command in &commands {
            let child = process::start(&program, command, &files);
            let mut child = match child {
                Ok(child) => child,
                Err(why) => {
                    let _ = to.send(Msg::NotStarted(job, why.to_string()));
                    return;
                }
            };
            if let Some(owner) = process::owner(child.id()) {
                let _ = to.send(Msg::Runs(job, owner));
            }
            let code = child.wait().ok().and_then(|status| status.code());
            worst = match (code, worst) {
                (Some(0), worst) => worst,
                (Some(3), Some(0)) => Some(3),
                (Some(3), worst) => worst,
                (code, _) => code,
            };
            // Told to stop, by us or by a person, or killed.
            if matches!(code, None | Some(130)) {
                break;
            }
        }
        let _ = to.send(Msg::Exited(job, worst));
    };
    let started = std::thread::Builder::new()
        .name("objectives-job".to_owned())
        .spawn(work);
    if let Err(why) = started {
        tracing::error!("no thread for job {job} can be started: {why}");
    }
}

/// Watches the process of a job that another agent started, until it ends.
pub(crate) fn watch(job: u64, owner: Owner, to: Sender<Msg>) {
    let work = move || {
        while process::lives(owner) {
            std::thread::sleep(Duration::from_millis(200));
        }
        let _ = to.send(Msg::Exited(job, None));
    };
    let _ = std::thread::Builder::new()
        .name("objectives-job".to_owned())
        .spawn(work);
}
