//! What the agent has done from the side of the vault: the hidden command `__gone`, and the agent's way to it.
//!
//! It is a process of its own: what takes hours holds no thread of the agent's, and outlives an agent that is killed. The
//! next one waits for it, and finds what it left.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use lifeboat_agent::{DefinitionKind, Definitions, Held, Help, Options};
use lifeboat_plan::{identity::AppIdentity, name::escape, supervise::Lack};
use lifeboat_recovery::{
    Context, Places,
    gone::{self, definitions::Found, images::Missing},
};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::{
    args::{Gone, GoneArgs},
    exit::{Exit, Failure, Result},
    session::Session,
};

/// How often it is seen whether a process has ended, or the agent is to.
const POLL: Duration = Duration::from_millis(50);
/// An agent that ends leaves what is under way to itself, but what ends at once is waited for.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// How long a vault that somebody else holds is waited for.
const RETRY_LOCK: &str = "2m";

/// Does one of them.
pub fn run(session: &Session, args: &GoneArgs) -> Result<Exit> {
    match &args.what {
        Gone::Keep { except } => keep(session, except),
        Gone::Bring {
            app,
            definition,
            image,
            volume,
        } => {
            let folder = Options::folder(&session.places.state);
            // Whoever came before, for an agent that was killed since, comes to its end first.
            let _one = one_at_a_time(&folder, app)?;
            let ctx = session.context(Some(session.connect()?))?;
            let identity = gone::identity(&ctx, ctx.engine()?.as_ref(), app)?;
            let bring = Bring {
                ctx: &ctx,
                identity: &identity,
                definitions: Definitions::in_folder(&folder),
            };
            bring.definitions(definition)?;
            bring.images(image)?;
            if !volume.is_empty() {
                let brought = gone::volumes::bring(&ctx, &identity, volume)?;
                for (name, id) in brought {
                    tracing::info!("volume {name} is back from the point {}", id.short());
                }
            }
            Ok(Exit::Done)
        }
    }
}

fn keep(session: &Session, except: &[String]) -> Result<Exit> {
    let ctx = session.context(Some(session.connect()?))?;
    let except: BTreeSet<String> = except.iter().cloned().collect();
    let kept = gone::definitions::keep(&ctx, &except, session.global.retry_lock)?;
    if session.out.is_json() {
        session.out.json(&json!(kept))?;
    }
    match kept.failed.as_slice() {
        [] => Ok(Exit::Done),
        failed => Err(Failure::new(failed.join("; "))),
    }
}

fn one_at_a_time(folder: &Path, app: &str) -> Result<fs_err::File> {
    fs_err::create_dir_all(folder)?;
    let file = fs_err::File::create(folder.join(format!("bring-{}.lock", escape(app))))?;
    flock(&file, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
    Ok(file)
}

struct Bring<'a> {
    ctx: &'a Context,
    identity: &'a AppIdentity,
    definitions: Definitions,
}

impl Bring<'_> {
    fn definitions(&self, names: &[String]) -> Result<()> {
        for name in names {
            let found = gone::definitions::find(self.ctx, self.identity, name)?;
            let Some(found) = found else {
                return Err(Failure::new(format!(
                    "the vault holds no definition of {name} of {}; bring the app back with `lifeboat restore`, or make it yourself",
                    self.identity
                )));
            };
            self.add(name, &found)?;
        }
        Ok(())
    }

    fn add(&self, name: &str, found: &Found) -> Result<()> {
        let text = |raw: &Value, key: &str| raw[key].as_str().unwrap_or_default().to_owned();
        let of = |kind, all: &[Value], key| -> std::io::Result<()> {
            all.iter()
                .try_for_each(|raw| self.definitions.add(kind, &text(raw, key), raw))
        };
        of(DefinitionKind::Network, &found.networks, "Name")?;
        of(DefinitionKind::Volume, &found.volumes, "Name")?;
        of(DefinitionKind::Image, &found.images, "Id")?;
        // Last, so that a container that is known has everything beside it.
        self.definitions
            .add(DefinitionKind::Container, name, &found.container)?;
        Ok(())
    }

    fn images(&self, words: &[String]) -> Result<()> {
        let registries = super::registry::of_images();
        for pair in words.chunks_exact(2) {
            let known = self.definitions.image(&pair[0]).unwrap_or_default();
            let digests = known["RepoDigests"].as_array().into_iter().flatten();
            let missing = Missing {
                id: pair[0].clone(),
                reference: pair[1].clone(),
                digests: digests
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            };
            let from = gone::images::bring(self.ctx, self.identity, &missing, Some(&registries))?;
            tracing::info!("image {}: {from}", missing.reference);
        }
        Ok(())
    }
}

/// The agent's help.
pub struct ByProcess {
    /// This program, with the flags that reach the same vault and engine.
    pub program: Vec<OsString>,
    /// Places of ours.
    pub places: Places,
}

impl Help for ByProcess {
    fn unfinished(&self) -> BTreeSet<String> {
        gone::volumes::unfinished(&self.places)
    }

    fn held(&self, source: &str) -> Option<Held> {
        let held = gone::held::of(&self.places, source)?;
        Some(Held {
            app: held.app,
            time: held.time,
        })
    }

    fn bring(&self, app: &str, lack: &Lack, stop: &AtomicBool) -> std::result::Result<(), String> {
        let mut words = vec!["__gone".to_owned(), "bring".to_owned(), app.to_owned()];
        let mut flag = |name: &str, values: &[&String]| {
            words.push(name.to_owned());
            words.extend(values.iter().map(|value| (*value).clone()));
        };
        for name in &lack.definitions {
            flag("--definition", &[name]);
        }
        for (id, name) in &lack.images {
            flag("--image", &[id, name]);
        }
        for name in &lack.volumes {
            flag("--volume", &[name]);
        }
        self.run(&words, &format!("bring-{}", escape(app)), stop)
    }

    fn keep(
        &self,
        except: &BTreeSet<String>,
        stop: &AtomicBool,
    ) -> std::result::Result<Vec<String>, String> {
        let words = ["__gone", "keep", "--output", "json"];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        for app in except {
            words.extend(["--except".to_owned(), app.clone()]);
        }
        self.run(&words, "keep", stop)?;
        let answer = fs_err::read(self.file("keep.out")).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let absent = answer["absent"].as_array().into_iter().flatten();
        Ok(absent
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }
}

impl ByProcess {
    /// A file of the agent's own.
    fn file(&self, name: &str) -> PathBuf {
        Options::folder(&self.places.state).join(name)
    }

    /// Runs it to its end, or until the agent ends. Its last words are the reason.
    fn run(
        &self,
        words: &[String],
        name: &str,
        stop: &AtomicBool,
    ) -> std::result::Result<(), String> {
        let log = self.file(&format!("{name}.log"));
        let mut child = self
            .start(words, &self.file(&format!("{name}.out")), &log)
            .map_err(|error| format!("this program cannot be started: {error}"))?;
        let mut stopped: Option<Instant> = None;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(last_words(&log, status)),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            if stop.load(Ordering::Relaxed) {
                let since = stopped.get_or_insert_with(Instant::now);
                if since.elapsed() >= LAST_MOMENT {
                    return Err("the agent ends; it goes on by itself".to_owned());
                }
            }
            std::thread::sleep(POLL);
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "what takes long is a process of its own"
    )]
    fn start(&self, words: &[String], out: &Path, log: &Path) -> std::io::Result<Child> {
        let Some((program, flags)) = self.program.split_first() else {
            return Err(std::io::Error::other("no program is named"));
        };
        let file = |path: &Path| fs_err::File::create(path).map(|file| file.into_parts().0);
        Command::new(program)
            .args(flags)
            .args(["--retry-lock", RETRY_LOCK])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::from(file(out)?))
            .stderr(Stdio::from(file(log)?))
            .spawn()
    }
}

fn last_words(log: &Path, status: std::process::ExitStatus) -> String {
    let text = fs_err::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("lifeboat: "));
    last.map_or_else(
        || format!("its process ended without a word ({status})"),
        str::to_owned,
    )
}
