//! Which agent a run can ask, and whether that would do the same as the run itself.

use std::path::{Path, PathBuf};

use lifeboat_api::{client::Client, model};
use lifeboat_recovery::Places;

use crate::{
    environment,
    exit::Result,
    session::{Session, shown},
};

/// The socket for members of groups, where the agent's own is out of reach.
const OPEN_SOCKET: &str = "/run/lifeboat/api";

/// Whether the settings or the state cannot be entered by this user.
pub fn is_foreign(places: &Places) -> bool {
    let denied = |path: &Path| {
        let looked = fs_err::metadata(path);
        looked.is_err_and(|why| why.kind() == std::io::ErrorKind::PermissionDenied)
    };
    !rustix::process::geteuid().is_root()
        && (denied(&places.settings()) || denied(&lifeboat_agent::Options::socket(&places.state)))
}

impl Session {
    /// The socket of the agent that is asked.
    pub fn socket(&self) -> PathBuf {
        let own = || lifeboat_agent::Options::socket(&self.places.state);
        match &self.global.agent_socket {
            Some(path) => path.clone(),
            None if self.foreign => PathBuf::from(OPEN_SOCKET),
            None => own(),
        }
    }

    /// The socket of an agent that would do the same as this run; none: this run does it by itself.
    pub fn agent(&self) -> Option<PathBuf> {
        let global = &self.global;
        let store = &global.store;
        let otherwise = global.no_agent
            || environment::no_agent()
            || global.password_file.is_some()
            || global.password_command.is_some()
            || global.allow_plain_tcp
            || !global.retry_lock.is_zero()
            || store.limit_upload.is_some()
            || store.limit_download.is_some()
            || store.retry_store.is_some()
            || store.no_cache;
        let socket = self.socket();
        if otherwise || !socket.exists() {
            return None;
        }
        let about: model::About = Client::at(&socket).get("/api/v1/about").ok()?;
        let same = about.version == env!("CARGO_PKG_VERSION")
            && about.reaches == self.reach().ok()?.fingerprint();
        same.then_some(socket)
    }

    /// What this run reaches, for those who do it in its place.
    pub fn reach(&self) -> Result<model::Reach> {
        let named = |flag: &Option<String>, remembered: &Option<String>| {
            let flag = flag.clone().filter(|name| !name.is_empty());
            flag.or_else(|| remembered.clone()).unwrap_or_default()
        };
        let site = named(&self.global.site, &self.settings.site);
        let host = named(&self.global.host, &self.settings.host);
        Ok(model::Reach {
            vault: shown(&self.vault_location()),
            engine: self.endpoint()?.to_string(),
            at: format!("{site}/{host}"),
        })
    }
}
