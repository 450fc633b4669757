//! One question to one container.

mod amqp;
mod command;
mod grpc;
mod http;
mod mysql;
mod postgres;
mod redis;
mod scram;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use lifeboat_engine::Engine;
use lifeboat_plan::inventory::Container;
use lifeboat_plan::probe::{Check, Database, Outcome, Probe, show_duration};
use tokio::time::{Instant, timeout_at};

use self::command::Commands;
use crate::reach::{Reach, Reached, Unreached};
use crate::target::Target;
use crate::{Error, Result};

/// The most that is kept of what a container says.
pub const MOST_READ: usize = 64 << 10;
/// The most redirects that are followed.
pub const MOST_REDIRECTS: usize = 10;

/// Why an answer is not good.
#[derive(Debug)]
pub(crate) enum Bad {
    /// The container's doing.
    Failure(String),
    /// It is coming up, by its own words.
    Recovering(String),
    /// Nobody could ask.
    Unknown(String),
}

impl From<String> for Bad {
    fn from(why: String) -> Self {
        Self::Failure(why)
    }
}

impl From<&str> for Bad {
    fn from(why: &str) -> Self {
        Self::Failure(why.to_owned())
    }
}

impl From<Unreached> for Bad {
    fn from(why: Unreached) -> Self {
        match why {
            Unreached::Theirs(why) => Self::Failure(why),
            Unreached::Ours(why) => Self::Unknown(why),
        }
    }
}

/// What one question brought.
pub(crate) type Answer = std::result::Result<(), Bad>;

/// Asks.
pub(crate) struct Asker {
    reach: Reach,
    commands: Commands,
    tls: tls::Connector,
}

impl Asker {
    pub fn new(engine: Arc<dyn Engine>, commands_at_once: usize) -> Self {
        Self {
            reach: Reach::new(engine.network_is_ours()),
            commands: Commands::new(engine, commands_at_once),
            tls: tls::Connector::default(),
        }
    }

    /// Asks once. Ends within the time-out; a command within what its killing takes.
    pub async fn ask(&self, target: &Arc<Target>, check: &Check, limit: Duration) -> Outcome {
        let end = Instant::now() + limit;
        let answer = match check {
            Check::Docker => self.commands.health(target).await,
            Check::Exec { command } => self.commands.run(target, command, limit).await,
            network => {
                let asked = timeout_at(end, self.over_network(target, network, end)).await;
                asked.unwrap_or_else(|_| {
                    Err(Bad::Failure(format!(
                        "no answer within {}",
                        show_duration(limit)
                    )))
                })
            }
        };
        match answer {
            Ok(()) => Outcome::Success,
            Err(Bad::Failure(why)) => Outcome::Failure(why),
            Err(Bad::Recovering(why)) => Outcome::Recovering(why),
            Err(Bad::Unknown(why)) => Outcome::Unknown(why),
        }
    }

    async fn over_network(&self, target: &Arc<Target>, check: &Check, end: Instant) -> Answer {
        let to = |port: u16| self.reach.connect(target, port, false, end);
        match check {
            Check::Tcp { port } => to(*port).await.map(drop).map_err(Bad::from),
            Check::Http(check) => {
                let way = http::Way {
                    reach: &self.reach,
                    tls: &self.tls,
                    target,
                    end,
                };
                http::ask(&way, check).await
            }
            Check::Grpc { tls, port, service } => {
                let Reached { stream, address } = to(*port).await?;
                let stream = self.tls.maybe(*tls, stream, &[b"h2"]).await?;
                grpc::ask(stream, &format!("{address}:{port}"), service).await
            }
            Check::Redis { port, login } => {
                let secret = crate::secret::password(target, login).await;
                let secret = secret.map_err(Bad::Unknown)?;
                redis::ask(to(*port).await?.stream, login, secret.as_ref()).await
            }
            Check::Amqp { port, vhost, login } => {
                let secret = crate::secret::password(target, login).await;
                let secret = secret.map_err(Bad::Unknown)?;
                // RabbitMQ lets its guest in from loopback alone.
                let guest = login.user.as_deref().is_none_or(|user| user == "guest");
                let reached = self.reach.connect(target, *port, guest, end).await?;
                amqp::ask(reached.stream, vhost, login, secret.as_ref()).await
            }
            Check::Sql {
                database,
                port,
                name,
                login,
                query,
                expect,
            } => {
                let secret = crate::secret::password(target, login).await;
                let secret = secret.map_err(Bad::Unknown)?;
                let question = wire::Question {
                    user: login.user.as_deref(),
                    password: secret.as_ref(),
                    database: name,
                    query,
                    expect: expect.as_deref(),
                };
                let stream = to(*port).await?.stream;
                match database {
                    Database::Postgres => postgres::ask(stream, &question).await,
                    Database::MySql => mysql::ask(stream, &self.tls, &question).await,
                }
            }
            Check::Exec { .. } | Check::Docker => Ok(()),
        }
    }
}

/// Asks one question now, and waits for its answer. For a look by hand; what is asked again and again belongs to
/// [`crate::Prober`]. Must not be called from inside an async runtime.
///
/// # Errors
/// The system gave us no timer. What is wrong with the container is an outcome.
pub fn ask_once(engine: Arc<dyn Engine>, container: &Container, probe: &Probe) -> Result<Outcome> {
    let Some(target) = Target::of(container) else {
        return Ok(Outcome::Unknown("it does not run".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Start {
            context: "make a runtime",
            source,
        })?;
    let asker = Asker::new(engine, 1);
    let limit = probe.timing.timeout.value;
    let outcome = runtime.block_on(asker.ask(&Arc::new(target), &probe.check.value, limit));
    runtime.shutdown_background();
    Ok(outcome)
}
