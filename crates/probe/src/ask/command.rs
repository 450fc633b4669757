//! What is asked through the engine: a command in the container, and the word of its HEALTHCHECK.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_engine::{Checked, Engine, Error, ExecRequest};
use lifeboat_plan::probe::show_duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::wire::short;
use super::{Answer, Bad};
use crate::target::Target;

/// What is kept of a command's output: enough for its last line.
const MOST_OUTPUT: usize = 4 << 10;
/// One list of all HEALTHCHECKs serves every container that asks within this time.
const FRESH: Duration = Duration::from_millis(2500);
/// How long a command waits for its turn before that is said.
const TURN: Duration = Duration::from_secs(30);

type States = BTreeMap<String, Checked>;
/// When they were listed, and what came of it.
type Kept = (Instant, Result<Arc<States>, String>);

pub(super) struct Commands {
    engine: Arc<dyn Engine>,
    turns: Arc<Semaphore>,
    states: Mutex<Option<Kept>>,
}

impl Commands {
    pub fn new(engine: Arc<dyn Engine>, at_once: usize) -> Self {
        Self {
            engine,
            turns: Arc::new(Semaphore::new(at_once.max(1))),
            states: Mutex::new(None),
        }
    }

    /// Runs a command in the container; it has to end with 0.
    pub async fn run(&self, target: &Arc<Target>, command: &[String], limit: Duration) -> Answer {
        let mut request = ExecRequest::new(command.to_vec());
        request.limit = limit;
        request.max_output = MOST_OUTPUT;
        let id = target.id.clone();
        let done = self
            .blocking(move |engine| engine.exec(&id, &request))
            .await?;
        let output = match done {
            Ok(output) => output,
            Err(Error::Timeout { .. }) => {
                return Err(
                    format!("the command takes longer than {}", show_duration(limit)).into(),
                );
            }
            // The engine could start no such program.
            Err(Error::Refused { message, .. }) if message.contains("exec") => {
                return Err(format!("the command cannot be run: {}", short(&message)).into());
            }
            Err(why) => return Err(Bad::Unknown(short(&why.to_string()))),
        };
        if output.exit_code == 0 {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        let said = last.map_or(String::new(), |line| format!(": {}", short(line)));
        Err(format!("the command ends with {}{said}", output.exit_code).into())
    }

    /// What the engine makes of the container's HEALTHCHECK.
    pub async fn health(&self, target: &Arc<Target>) -> Answer {
        let states = self.states().await.map_err(Bad::Unknown)?;
        let state = match states.get(&target.id) {
            Some(state) => *state,
            None => self.inspected(target).await?,
        };
        match state {
            Checked::Healthy => Ok(()),
            Checked::Starting => Err(Bad::Unknown("its HEALTHCHECK is starting".to_owned())),
            Checked::Unhealthy => {
                let said = self.last_words(target).await;
                Err(format!("its HEALTHCHECK says unhealthy{said}").into())
            }
        }
    }

    async fn states(&self) -> Result<Arc<States>, String> {
        let mut kept = self.states.lock().await;
        if let Some((at, states)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return states.clone();
        }
        let asked = self.blocking(|engine| engine.health_states()).await;
        let states = match asked {
            Ok(Ok(states)) => Ok(Arc::new(states)),
            Ok(Err(why)) => Err(short(&why.to_string())),
            Err(Bad::Unknown(why) | Bad::Failure(why) | Bad::Recovering(why)) => Err(why),
        };
        *kept = Some((Instant::now(), states.clone()));
        states
    }

    /// An engine may leave it out of its list.
    async fn inspected(&self, target: &Arc<Target>) -> Result<Checked, Bad> {
        let raw = self.inspect(target).await?;
        match raw["State"]["Health"]["Status"].as_str() {
            Some("healthy") => Ok(Checked::Healthy),
            Some("unhealthy") => Ok(Checked::Unhealthy),
            Some("starting") => Ok(Checked::Starting),
            _ => Err(Bad::Unknown(
                "the engine says nothing about its HEALTHCHECK".to_owned(),
            )),
        }
    }

    /// The last line of what its HEALTHCHECK wrote.
    async fn last_words(&self, target: &Arc<Target>) -> String {
        let Ok(raw) = self.inspect(target).await else {
            return String::new();
        };
        let log = raw["State"]["Health"]["Log"]
            .as_array()
            .and_then(|log| log.last());
        let output = log
            .and_then(|entry| entry["Output"].as_str())
            .unwrap_or_default();
        let last = output.lines().rev().find(|line| !line.trim().is_empty());
        last.map_or(String::new(), |line| format!(": {}", short(line)))
    }

    async fn inspect(&self, target: &Arc<Target>) -> Result<serde_json::Value, Bad> {
        let id = target.id.clone();
        let done = self
            .blocking(move |engine| engine.inspect_container(&id))
            .await?;
        done.map_err(|why| Bad::Unknown(short(&why.to_string())))
    }

    /// The engine's client blocks: on a thread of its own, and not on too many at once. The turn is given back when
    /// the work ends, also where nobody waits for it any more.
    async fn blocking<T, F>(&self, work: F) -> Result<T, Bad>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Engine) -> T + Send + 'static,
    {
        let turn = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let why = "too many commands in containers run already, or the engine does not answer";
            return Err(Bad::Unknown(why.to_owned()));
        };
        let engine = Arc::clone(&self.engine);
        let work = move || {
            let done = work(engine.as_ref());
            drop(turn);
            done
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Bad::Unknown("the engine could not be asked".to_owned()))
    }
}
