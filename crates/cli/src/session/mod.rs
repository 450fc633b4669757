//! One run of the program: what was said on the command line, in the settings and in the
//! environment, put together; the vault opened, the engine connected.

mod vault;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lifeboat_capture::{Cancel, SkipSet};
use lifeboat_engine::{DockerEngine, Endpoint, Engine};
use lifeboat_recovery::{Context, ErrorKind, Places, RecoveryError, Settings, context::open_spool};
use lifeboat_store::{Access, Limits, ObjectName, Place, RetryPolicy, Store};
use lifeboat_vault::{Environment, VaultError};

use crate::{
    args::GlobalArgs,
    by_agent, environment,
    exit::{Exit, Failure, Result},
    output::Output,
    password,
    progress::Reporter,
    signals,
    which_engine::{Asked, which},
};

/// Name and version, as locks and snapshots carry them.
pub const PROGRAM: &str = concat!("lifeboat ", env!("CARGO_PKG_VERSION"));
const DEFAULT_SITE: &str = "default";

/// One run.
pub struct Session {
    pub global: GlobalArgs,
    pub out: Output,
    pub reporter: Arc<Reporter>,
    pub places: Places,
    pub settings: Settings,
    /// Settings and state are another user's, and closed.
    pub foreign: bool,
    /// What reaches a vault that is not in a directory.
    access: Access,
}

impl Session {
    /// Puts flags and settings together.
    pub fn new(mut global: GlobalArgs, out: Output, reporter: Arc<Reporter>) -> Result<Self> {
        let other = global.in_vault.take();
        let is_other = other.is_some();
        if let Some(place) = other {
            global.vault = Some(place);
        }
        if let Some(file) = global.in_password_file.take() {
            global.password_file = Some(file);
            global.password_command = None;
        }
        let mut places = Places::default();
        let dir = |given: &Option<std::ffi::OsString>| {
            given
                .as_ref()
                .filter(|dir| !dir.is_empty())
                .map(|dir| absolute(Path::new(dir)))
                .transpose()
        };
        if let Some(dir) = dir(&global.config_dir)? {
            places.config = dir;
        }
        if let Some(dir) = dir(&global.state_dir)? {
            places.state = dir;
        }
        // Who may not read them can still ask an agent that lets them in.
        let foreign = by_agent::is_foreign(&places);
        let settings = match foreign {
            true => Settings::default(),
            false => Settings::load(&places.settings())?,
        };
        let mut access = access(&global);
        if is_other {
            access = environment::access_to_other(&access);
        }
        Ok(Self {
            foreign,
            global,
            out,
            reporter,
            places,
            settings,
            access,
        })
    }

    /// What reaches the vault, wherever it is.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The vault that was named by flag or environment.
    pub fn named_vault(&self) -> Option<&str> {
        self.global
            .vault
            .as_deref()
            .filter(|place| !place.is_empty())
    }

    /// Place of the vault: named, else remembered, else the default.
    pub fn vault_location(&self) -> String {
        match self.named_vault().or(self.settings.vault.as_deref()) {
            Some(place) => place.to_owned(),
            None => self.places.vault().display().to_string(),
        }
    }

    /// The vault's directory, if it is one of this machine.
    pub fn vault_directory(&self) -> Option<PathBuf> {
        let place = Place::parse(&self.vault_location()).ok()?;
        place.directory().map(Path::to_owned)
    }

    /// Free bytes where the vault lies, if there is one and it can be told.
    pub fn vault_free_space(&self) -> Option<u64> {
        self.vault_directory()?;
        let store = self.store().ok()?;
        store.size(&ObjectName::config()).ok()?;
        store.free_space()
    }

    /// Whether the vault is the one that `init` remembered.
    pub fn is_remembered(&self) -> bool {
        self.settings.vault.is_some()
            && self
                .named_vault()
                .is_none_or(|place| self.settings.vault == Some(shown(place)))
    }

    /// Reminds of the recovery sheet, until somebody has said that it is kept.
    pub fn remind_of_sheet(&self) {
        if self.settings.sheet_saved == Some(false) && self.is_remembered() {
            self.reporter.note(
                "nobody has said yet that the recovery sheet (place and key of the vault) is kept away from this machine; without it a lost machine is lost for good. `lifeboat key saved` ends this note",
                self.global.quiet,
            );
        }
    }

    /// Connects to the engine.
    pub fn connect(&self) -> Result<Arc<dyn Engine>> {
        let endpoint = self.endpoint()?;
        let engine = DockerEngine::connect(&endpoint).map_err(|e| Failure::new(e.to_string()))?;
        Ok(Arc::new(engine))
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> Result<Endpoint> {
        let asked = Asked {
            engine: self.global.engine.as_deref(),
            context: self.global.context.as_deref(),
            plain_tcp: self.global.allow_plain_tcp,
        };
        which(&asked, &environment::docker())
    }

    /// Everything that a use case needs. From here on a signal stops the work cleanly.
    pub fn context(&self, engine: Option<Arc<dyn Engine>>) -> Result<Context> {
        let (vault, spool) = match &engine {
            // Only a backup of an app holds anything in it.
            Some(_) => {
                let spool = open_spool(&self.places, self.store()?)?;
                (
                    self.open_vault_in(Arc::clone(&spool) as Arc<dyn Store>)?,
                    Some(spool),
                )
            }
            None => (self.open_vault()?, None),
        };
        let cancel = Cancel::new();
        let (on_signal, stop) = (cancel.clone(), self.access.stop.clone());
        signals::on_first(move || {
            on_signal.cancel();
            stop.set();
        })?;
        let system = Environment::system(PROGRAM);
        let given = |flag: &Option<String>, remembered: &Option<String>| {
            flag.clone()
                .filter(|name| !name.is_empty())
                .or_else(|| remembered.clone())
        };
        Ok(Context {
            engine,
            spool,
            site: given(&self.global.site, &self.settings.site)
                .unwrap_or_else(|| DEFAULT_SITE.to_owned()),
            host: given(&self.global.host, &self.settings.host),
            ours: self.ours(),
            hostname: system.hostname,
            username: system.username,
            places: self.places.clone(),
            progress: Arc::clone(&self.reporter) as Arc<dyn lifeboat_recovery::Progress>,
            course: None,
            cancel,
            program: std::env::current_exe().map_err(|e| {
                Failure::new(format!("the path of this program cannot be told: {e}"))
            })?,
            vault,
        })
    }

    /// What no capture enters, as a survey takes it.
    pub fn skip_set(&self) -> SkipSet {
        let mut skip = SkipSet::new();
        for path in self.ours() {
            skip.insert(&path);
        }
        skip
    }

    /// What no capture enters: a vault inside itself would grow with every point, and a key in its
    /// own vault opens nothing.
    fn ours(&self) -> Vec<PathBuf> {
        let mut ours = vec![
            self.places.config.clone(),
            self.places.state.clone(),
            self.key_file(),
        ];
        if let Some(password::Source::File(path)) = password::named_source(&self.global) {
            ours.push(path);
        }
        ours.extend(self.vault_directory());
        let mut real: Vec<PathBuf> = ours
            .iter()
            .filter_map(|path| {
                fs_err::canonicalize(path)
                    .or_else(|_| std::path::absolute(path))
                    .ok()
            })
            .collect();
        real.sort();
        real.dedup();
        real
    }

    /// The start of a command line that reaches this vault again.
    pub fn command_prefix(&self) -> String {
        match self.named_vault() {
            Some(place) if self.settings.vault.as_deref() != Some(place) => {
                // As it is shown: without a password.
                let shown =
                    Place::parse(place).map_or_else(|_| place.to_owned(), |p| p.to_string());
                format!("lifeboat --vault {}", shell_word(&shown))
            }
            _ => "lifeboat".to_owned(),
        }
    }
}

/// A place as it is shown and remembered: without a password.
pub fn shown(place: &str) -> String {
    Place::parse(place).map_or_else(|_| place.to_owned(), |place| place.to_string())
}

/// The environment's credentials, and what the flags say of the way.
fn access(global: &GlobalArgs) -> Access {
    let store = &global.store;
    let kib = |n: Option<u64>| n.map(|n| n.saturating_mul(1024));
    Access {
        ca_file: store.cacert.clone(),
        insecure_http: store.insecure_http,
        limits: Limits::new(kib(store.limit_upload), kib(store.limit_download)),
        retry: store
            .retry_store
            .map(|seconds| RetryPolicy::within(Duration::from_secs(seconds)))
            .unwrap_or_default(),
        ..environment::access()
    }
}

/// A path that stays right when the working directory changes.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

/// A word as a shell takes it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        let exit = match error.kind() {
            ErrorKind::Failed => Exit::Failed,
            // Exit code 2 is for flags; a name that leads nowhere is an ordinary failure.
            ErrorKind::Usage => Exit::Failed,
            ErrorKind::NoVault => Exit::NoVault,
            ErrorKind::Locked => Exit::Locked,
            ErrorKind::WrongPassword => Exit::WrongKey,
            ErrorKind::Interrupted => Exit::Interrupted,
        };
        Self {
            exit,
            sentence: error.to_string(),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        RecoveryError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (word, text) in [
            ("/srv/vault", "/srv/vault"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(shell_word(word), text);
        }
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        for (error, code) in [
            (RecoveryError::Failed("x".into()), 1),
            (RecoveryError::Refused("x".into()), 1),
            (RecoveryError::NotFound("x".into()), 1),
            (RecoveryError::Interrupted, 130),
            (VaultError::NoVault("/v".into()).into(), 10),
            (
                VaultError::Locked {
                    location: "/v".into(),
                    holder: "h".into(),
                }
                .into(),
                11,
            ),
            (
                VaultError::WrongPassword {
                    location: "/v".into(),
                    keys: 1,
                }
                .into(),
                12,
            ),
            (VaultError::damaged("pack", "why").into(), 1),
        ] {
            let sentence = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.exit.code(), code, "{sentence}");
            assert_eq!(failure.sentence, sentence);
        }
    }
}
