//! The registries that an app's images came from, as far as they answer.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lifeboat_capture::Cancel;
use lifeboat_images::registry::client::{Address, Cancelled, ClientOptions, RegistryClient};
use parking_lot::Mutex;

use crate::Result;

/// So long a registry may take to answer for the first time: the engine has the image too.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a registry is reached with: logins and authorities, as the engine of this host has them.
pub type Access = dyn Fn(&Address) -> Result<ClientOptions> + Send + Sync;

/// Registries of one run. Each is connected to once; one that did not answer is not asked again.
#[derive(Clone)]
pub struct Registries {
    access: Arc<Access>,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

/// A client, or why there is none.
type Known = std::result::Result<Arc<RegistryClient>, String>;

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registries")
    }
}

impl Registries {
    /// Reached with what `access` says.
    pub fn new(access: Arc<Access>) -> Self {
        Self {
            access,
            known: Arc::default(),
        }
    }

    /// Whether images of this host can be in a registry at all: Podman calls those of its own `localhost`.
    pub(crate) fn is_one(&self, host: &str) -> bool {
        host != "localhost"
    }

    /// A client of a registry by its name in images, or why it cannot be asked.
    pub(crate) fn client(&self, host: &str, cancel: &Cancel) -> Known {
        let mut known = self.known.lock();
        if let Some(client) = known.get(host) {
            return client.clone();
        }
        let client = self.connect(host, cancel);
        known.insert(host.to_owned(), client.clone());
        client
    }

    fn connect(&self, host: &str, cancel: &Cancel) -> Known {
        let address: Address = host.parse().map_err(|e| format!("{e}"))?;
        let options = (self.access)(&address).map_err(|e| e.to_string())?;
        let answered = Arc::new(AtomicBool::new(false));
        let (until, cancel) = (Instant::now() + PATIENCE, cancel.clone());
        let cancelled: Cancelled = {
            let answered = answered.clone();
            Arc::new(move || {
                let waits = !answered.load(Ordering::SeqCst);
                cancel.is_cancelled() || (waits && Instant::now() >= until)
            })
        };
        let client = RegistryClient::connect(&address, options, cancelled);
        answered.store(true, Ordering::SeqCst);
        client.map(Arc::new).map_err(|e| match e {
            lifeboat_images::Error::Interrupted => format!(
                "the registry {host} does not answer within {} s",
                PATIENCE.as_secs()
            ),
            other => other.to_string(),
        })
    }
}
