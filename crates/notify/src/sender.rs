//! The thread that sends.
//!
//! Each place has a short queue and one task, so that order holds at each and none waits for another. A queue that is full
//! drops its oldest *information*, then its oldest message: the newest failure always gets in. What is not delivered
//! after the last try is remembered as trouble until something is delivered there again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Client;
use serde::Serialize;
use tokio::sync::Notify;

use crate::{
    Beat, Heartbeat, Level, Message, NotSent, Place, Services, Target, exec, http, mail,
    target::Kind,
};

/// How the sender works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pauses between tries.
    pub pauses: Vec<Duration>,
    /// So many wait at a place.
    pub queue: usize,
    /// Where services are.
    pub services: Services,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pauses: [1, 5, 30].map(Duration::from_secs).to_vec(),
            queue: 32,
            services: Services::default(),
        }
    }
}

/// A place that did not take what it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Which, without secrets.
    pub place: String,
    /// Why.
    pub why: String,
    /// So many messages in a row.
    pub lost: u64,
}

enum Item {
    Message(Message),
    Beat(Beat),
}

impl Item {
    fn is_information(&self) -> bool {
        match self {
            Self::Message(message) => message.level == Level::Info,
            Self::Beat(beat) => matches!(beat, Beat::Start { .. }),
        }
    }
}

#[derive(Default)]
struct Queue {
    items: Mutex<VecDeque<Item>>,
    /// Handed in, and neither delivered nor lost.
    open: Mutex<usize>,
    more: Notify,
}

/// Sends in the background.
pub struct Sender {
    options: Arc<Options>,
    runtime: Option<tokio::runtime::Runtime>,
    queues: Mutex<BTreeMap<String, Arc<Queue>>>,
    troubles: Arc<Mutex<BTreeMap<String, Trouble>>>,
    client: Client,
}

impl Sender {
    /// Starts its thread.
    pub fn start(options: Options) -> Result<Self, NotSent> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("notify")
            .enable_all()
            .build()
            .map_err(|e| NotSent(format!("no thread can be started: {e}")))?;
        Ok(Self {
            options: Arc::new(options),
            runtime: Some(runtime),
            queues: Mutex::default(),
            troubles: Arc::default(),
            client: http::client()?,
        })
    }

    /// Hands a message in for a target; never waits.
    pub fn tell(&self, target: &Arc<Target>, message: Message) {
        self.hand_in(Place::Target(Arc::clone(target)), Item::Message(message));
    }

    /// Hands a beat in for a switch; never waits.
    pub fn beat(&self, heartbeat: &Arc<Heartbeat>, beat: Beat) {
        self.hand_in(Place::Heartbeat(Arc::clone(heartbeat)), Item::Beat(beat));
    }

    /// Who did not take what they were sent.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.lock().values().cloned().collect()
    }

    /// Waits until all that was handed in is delivered or lost, at most so long; `false`: something is left.
    #[must_use]
    pub fn drain(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        loop {
            let left: usize = self.queues.lock().values().map(|q| *q.open.lock()).sum();
            if left == 0 || Instant::now() >= until {
                return left == 0;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends one message now, and waits for what comes of it: for `notify test`.
    pub fn try_now(&self, target: &Arc<Target>, message: &Message) -> Result<(), NotSent> {
        let Some(runtime) = &self.runtime else {
            return Err(NotSent("the sender has ended".to_owned()));
        };
        let (client, options) = (self.client.clone(), Arc::clone(&self.options));
        runtime.block_on(deliver(&client, target, message, &options))
    }

    fn hand_in(&self, place: Place, item: Item) {
        let Some(runtime) = &self.runtime else { return };
        // Two URLs of one host are two places: the address of what was configured tells them apart.
        let (name, key) = match &place {
            Place::Target(t) => (t.to_string(), format!("{t}#{:p}", Arc::as_ptr(t))),
            Place::Heartbeat(h) => (h.to_string(), format!("{h}#{:p}", Arc::as_ptr(h))),
        };
        let mut queues = self.queues.lock();
        let queue = queues.entry(key.clone()).or_insert_with(|| {
            let queue = Arc::new(Queue::default());
            runtime.spawn(work(Task {
                name,
                key,
                place,
                queue: Arc::clone(&queue),
                client: self.client.clone(),
                options: Arc::clone(&self.options),
                troubles: Arc::clone(&self.troubles),
            }));
            queue
        });
        let mut items = queue.items.lock();
        if items.len() >= self.options.queue {
            let dropped = items.iter().position(Item::is_information).unwrap_or(0);
            items.remove(dropped);
            *queue.open.lock() -= 1;
        }
        items.push_back(item);
        *queue.open.lock() += 1;
        queue.more.notify_one();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A place that hangs is not waited for.
            runtime.shutdown_background();
        }
    }
}

struct Task {
    name: String,
    key: String,
    place: Place,
    queue: Arc<Queue>,
    client: Client,
    options: Arc<Options>,
    troubles: Arc<Mutex<BTreeMap<String, Trouble>>>,
}

async fn work(task: Task) {
    loop {
        let item = task.queue.items.lock().pop_front();
        let Some(item) = item else {
            task.queue.more.notified().await;
            continue;
        };
        let mut pauses = task.options.pauses.iter();
        let result = loop {
            let result = match (&task.place, &item) {
                (Place::Target(target), Item::Message(message)) => {
                    deliver(&task.client, target, message, &task.options).await
                }
                (Place::Heartbeat(heartbeat), Item::Beat(beat)) => {
                    match heartbeat.request(&task.client, beat) {
                        Some(request) => http::send(request).await,
                        None => Ok(()),
                    }
                }
                _ => Ok(()),
            };
            match (result, pauses.next()) {
                (Err(_), Some(pause)) => tokio::time::sleep(*pause).await,
                (result, _) => break result,
            }
        };
        task.note(result);
        *task.queue.open.lock() -= 1;
    }
}

impl Task {
    fn note(&self, result: Result<(), NotSent>) {
        let mut troubles = self.troubles.lock();
        match result {
            Ok(()) => drop(troubles.remove(&self.key)),
            Err(why) => {
                tracing::warn!("a message to {} was not delivered: {why}", self.name);
                let trouble = troubles.entry(self.key.clone()).or_insert_with(|| Trouble {
                    place: self.name.clone(),
                    why: String::new(),
                    lost: 0,
                });
                trouble.why = why.to_string();
                trouble.lost += 1;
            }
        }
    }
}

async fn deliver(
    client: &Client,
    target: &Arc<Target>,
    message: &Message,
    options: &Options,
) -> Result<(), NotSent> {
    match &target.kind {
        Kind::Smtp(_) | Kind::Exec { .. } => {
            let (target, message) = (Arc::clone(target), message.clone());
            let done = tokio::task::spawn_blocking(move || match &target.kind {
                Kind::Smtp(to) => mail::send(to, &message),
                Kind::Exec { program } => exec::run(program, &message),
                _ => Ok(()),
            });
            done.await
                .unwrap_or_else(|_| Err(NotSent("sending broke off".to_owned())))
        }
        kind => {
            for request in http::requests(client, kind, message, &options.services) {
                http::send(request).await?;
            }
            Ok(())
        }
    }
}
