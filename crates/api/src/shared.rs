//! What every request needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lifeboat_objectives as objectives;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    audit::{Audit, Change, Line},
    guard::{Caller, Tokens},
    model,
    once::Once,
    problem::Problem,
};

/// A picture of all is given again for so long: a hundred clients ask for it at once.
const FRESH: Duration = Duration::from_millis(100);
/// So many commands that only look run at a time.
const LOOKUPS: usize = 4;
/// What the vault holds is asked again after so long, and after each job.
const POINTS_FRESH: Duration = Duration::from_secs(10);

/// What is served.
pub struct Shared {
    /// The supervisor.
    pub agent: lifeboat_agent::Handle,
    /// The keeper of objectives, where there is one.
    pub keeper: Option<objectives::Handle>,
    /// Why there is none.
    pub not_kept: Option<String>,
    /// State directory.
    pub state: PathBuf,
    /// `lifeboat.toml`.
    pub file: PathBuf,
    /// Name of the host, for messages.
    pub host: Option<String>,
    /// What its commands reach.
    pub reach: model::Reach,
    /// Who changed what.
    pub audit: Audit,
    /// Keys of requests.
    pub once: Once,
    /// Tokens of the network.
    pub tokens: Tokens,
    pictures: Mutex<[Option<(Instant, Bytes)>; 2]>,
    points: tokio::sync::Mutex<Option<KnownPoints>>,
    lookups: tokio::sync::Semaphore,
    stop: watch::Sender<bool>,
}

struct KnownPoints {
    asked: Instant,
    /// Jobs that had ended by then.
    ended: u64,
    points: Arc<Vec<crate::model::Point>>,
}

/// What [`Shared`] is made of.
pub struct Parts {
    /// The supervisor.
    pub agent: lifeboat_agent::Handle,
    /// The keeper, or why there is none.
    pub keeper: Result<objectives::Handle, String>,
    /// State directory.
    pub state: PathBuf,
    /// Folder of settings.
    pub config: PathBuf,
    /// Name of the host.
    pub host: Option<String>,
    /// File of tokens; none: beside the settings.
    pub tokens: Option<PathBuf>,
    /// What its commands reach.
    pub reach: model::Reach,
}

impl Shared {
    /// Puts it together.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub fn new(parts: Parts) -> Result<Self, crate::Error> {
        let folder = lifeboat_agent::Options::folder(&parts.state);
        let (keeper, not_kept) = match parts.keeper {
            Ok(keeper) => (Some(keeper), None),
            Err(why) => (None, Some(why)),
        };
        Ok(Self {
            agent: parts.agent,
            keeper,
            not_kept,
            audit: Audit::of(&parts.state),
            once: Once::open(&folder).map_err(|e| crate::Error::Keys(e.to_string()))?,
            tokens: Tokens::new(parts.tokens.unwrap_or_else(|| Tokens::file(&parts.config))),
            reach: parts.reach,
            file: parts.config.join("lifeboat.toml"),
            state: parts.state,
            host: parts.host,
            pictures: Mutex::default(),
            points: tokio::sync::Mutex::default(),
            lookups: tokio::sync::Semaphore::new(LOOKUPS),
            stop: watch::Sender::new(false),
        })
    }

    /// The keeper.
    ///
    /// # Errors
    /// There is none.
    pub fn keeper(&self) -> Result<&objectives::Handle, Problem> {
        self.keeper.as_ref().ok_or_else(|| {
            let why = self.not_kept.as_deref().unwrap_or("there is no vault");
            Problem::away(format!("objectives are not kept here: {why}"))
        })
    }

    /// Told when the server ends.
    #[must_use]
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn end(&self) {
        self.stop.send_replace(true);
    }

    /// A picture that was made a moment ago, for those who see all or for the others.
    pub(crate) fn picture(&self, all: bool) -> Option<Bytes> {
        let pictures = self.pictures.lock();
        let (made, bytes) = pictures[usize::from(all)].as_ref()?;
        (made.elapsed() < FRESH).then(|| bytes.clone())
    }

    pub(crate) fn keep_picture(&self, all: bool, made: Instant, bytes: Bytes) {
        self.pictures.lock()[usize::from(all)] = Some((made, bytes));
    }

    /// Whoever changed something sees it changed.
    pub(crate) fn forget_pictures(&self) {
        *self.pictures.lock() = [None, None];
    }

    /// What the vault holds; asked once for all who wait.
    pub(crate) async fn points(&self) -> Result<Arc<Vec<crate::model::Point>>, Problem> {
        let keeper = self.keeper()?.clone();
        let ended = keeper.look(|view| view.ended.values().sum());
        let mut known = self.points.lock().await;
        if let Some(known) = known
            .as_ref()
            .filter(|known| known.ended == ended && known.asked.elapsed() < POINTS_FRESH)
        {
            return Ok(Arc::clone(&known.points));
        }
        let asked = Instant::now();
        let said = tokio::task::spawn_blocking(move || keeper.lookup(&["points"])).await;
        let said = said
            .map_err(|_| Problem::inner("the vault could not be asked"))?
            .map_err(|why| Problem::away(format!("the vault cannot be asked: {why}")))?;
        let points = Arc::new(crate::model::points(&said));
        *known = Some(KnownPoints {
            asked,
            ended,
            points: Arc::clone(&points),
        });
        Ok(points)
    }

    /// What a command of this program says.
    pub(crate) async fn say(
        self: &Arc<Self>,
        args: &[&str],
        given: Option<Vec<u8>>,
    ) -> Result<objectives::Said, Problem> {
        self.say_as(args, false, given).await
    }

    /// The same, for people or for programs.
    pub(crate) async fn say_as(
        self: &Arc<Self>,
        args: &[&str],
        text: bool,
        given: Option<Vec<u8>>,
    ) -> Result<objectives::Said, Problem> {
        let keeper = self.keeper()?.clone();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        // Each is a process: not more of them than this machine bears.
        let place = self.lookups.acquire().await;
        let said = tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            keeper.said(&args, text, given.as_deref())
        });
        let said = said.await;
        drop(place);
        let said = said.map_err(|_| Problem::inner("the vault could not be asked"))?;
        said.map_err(Problem::away)
    }

    /// The same as JSON, or why it failed.
    pub(crate) async fn lookup(
        self: &Arc<Self>,
        args: &[&str],
    ) -> Result<Result<serde_json::Value, String>, Problem> {
        let said = self.say(args, None).await?;
        match said.code {
            Some(0 | 3) => serde_json::from_str(&said.out).map(Ok).map_err(|_| {
                Problem::away("the answer is longer than 16 MiB; ask for less, or use the command")
            }),
            Some(10..=12) => Err(Problem::away(said.last_word())),
            _ => Ok(Err(said.last_word())),
        }
    }

    /// Writes down a change by somebody who was let in.
    pub(crate) fn note(
        &self,
        caller: &Caller,
        action: &str,
        what: &str,
        outcome: &str,
    ) -> std::io::Result<Line> {
        let change = Change {
            who: caller.name.clone(),
            role: caller.role.to_string(),
            via: caller.via.to_owned(),
            action: action.to_owned(),
            what: what.to_owned(),
            outcome: outcome.to_owned(),
        };
        self.audit
            .add(jiff::Timestamp::now().as_millisecond(), change)
    }
}
