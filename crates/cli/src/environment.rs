//! The environment: every variable that Lifeboat reads is named here, once, and read here only.
//!
//! An empty variable counts as one that is not set, as people write `VAR= command` to unset it.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use lifeboat_store::{
    Access, SecretString,
    access::{AwsProfile, AzureAccess, GcsAccess, RestAccess, S3Access, SftpAccess},
};
use zeroize::Zeroizing;

use crate::which_engine::DockerEnvironment;

/// Place of the vault (`--vault`).
pub const VAULT: &str = "LIFEBOAT_VAULT";
/// The password itself. There is no flag for it: arguments are seen by every user of the machine.
pub const PASSWORD: &str = "LIFEBOAT_PASSWORD";
/// File that holds the password (`--password-file`).
pub const PASSWORD_FILE: &str = "LIFEBOAT_PASSWORD_FILE";
/// Address of the engine (`--engine`).
pub const ENGINE: &str = "DOCKER_HOST";
/// Name of a Docker context (`--context`).
pub const CONTEXT: &str = "DOCKER_CONTEXT";
/// Set to anything: `tcp://` is TLS.
pub const TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
/// Set to anything: TLS that checks nobody, which is refused.
pub const TLS: &str = "DOCKER_TLS";
/// Folder of `ca.pem`, `cert.pem` and `key.pem`.
pub const CERT_PATH: &str = "DOCKER_CERT_PATH";
/// Folder of the docker program's settings and contexts.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Where that folder is otherwise.
pub const HOME: &str = "HOME";
/// Folder of settings and key (hidden `--config-dir`).
pub const CONFIG_DIR: &str = "LIFEBOAT_CONFIG_DIR";
/// Folder of state (hidden `--state-dir`).
pub const STATE_DIR: &str = "LIFEBOAT_STATE_DIR";
/// Authorities that may vouch for the vault's server (`--cacert`).
pub const CA_FILE: &str = "LIFEBOAT_CACERT";
/// Folder of what is kept near of vaults on servers (`--cache-dir`).
pub const CACHE_DIR: &str = "LIFEBOAT_CACHE_DIR";
/// The user's folder for such things.
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// Shell command that stands for `ssh`, with options.
pub const SSH: &str = "LIFEBOAT_SSH";
/// Set to ask a machine of Amazon's, Google's or Azure's for the credentials that it has itself.
pub const MACHINE_IDENTITY: &str = "LIFEBOAT_MACHINE_IDENTITY";
/// What stands before a variable's name where it is for the vault that is copied to.
pub const OTHER: &str = "LIFEBOAT_TO_";
/// File that a job of the agent says its progress in.
pub const PROGRESS: &str = lifeboat_objectives::progress::VARIABLE;
/// The OpenTelemetry collector (`--otlp`).
pub const COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// File of authorities that may vouch for the collector.
pub const COLLECTORS_AUTHORITY: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// File that a job of the agent writes its answer to as JSON, where it prints it for people.
pub const ANSWER: &str = lifeboat_objectives::progress::ANSWER;
/// Set to anything: commands do their work themselves, also where an agent could (`--no-agent`).
pub const NO_AGENT: &str = "LIFEBOAT_NO_AGENT";
/// Socket of the agent that is asked (`--agent-socket`).
pub const AGENT_SOCKET: &str = "LIFEBOAT_AGENT_SOCKET";
/// Set to anything: no colours.
pub const NO_COLOR: &str = "NO_COLOR";
/// Crash tests: the step, `STEP[:N]`, at which the program kills itself.
#[cfg(debug_assertions)]
pub const TEST_KILL_AT: &str = "LIFEBOAT_TEST_KILL_AT";
/// Crash tests: a file that the name of each step is appended to.
#[cfg(debug_assertions)]
pub const TEST_LOG_STEPS: &str = "LIFEBOAT_TEST_LOG_STEPS";

/// Tests of wrong clocks: seconds by which this program's clock is ahead.
#[cfg(debug_assertions)]
pub const TEST_CLOCK_AHEAD: &str = "LIFEBOAT_TEST_CLOCK_AHEAD";

#[allow(clippy::disallowed_methods, reason = "this is the place")]
fn var(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The password, if the environment holds it.
pub fn password() -> Option<Zeroizing<Vec<u8>>> {
    var(PASSWORD).map(|value| Zeroizing::new(value.into_vec()))
}

/// The password file, if the environment names one.
pub fn password_file() -> Option<PathBuf> {
    var(PASSWORD_FILE).map(PathBuf::from)
}

/// What the docker program reads to find its engine.
pub fn docker() -> DockerEnvironment {
    let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
    let home = || var(HOME).map(|home| PathBuf::from(home).join(".docker"));
    DockerEnvironment {
        host: text(ENGINE),
        context: text(CONTEXT),
        tls_verify: var(TLS_VERIFY).is_some(),
        tls: var(TLS).is_some(),
        cert_path: var(CERT_PATH).map(PathBuf::from),
        config: var(DOCKER_CONFIG).map(PathBuf::from).or_else(home),
    }
}

/// File that a job says its progress in, if it is one of an agent.
pub fn progress() -> Option<PathBuf> {
    var(PROGRESS).map(PathBuf::from)
}

/// The collector that traces go to, if the environment names one.
pub fn collector() -> Option<String> {
    var(COLLECTOR).and_then(|value| value.into_string().ok())
}

/// Who may vouch for the collector, beside the system's authorities.
pub fn collectors_authority() -> Option<PathBuf> {
    var(COLLECTORS_AUTHORITY).map(PathBuf::from)
}

/// Whether no agent is to do the work of a command: nobody wants it, this is an agent's job itself, or a test of a crash.
pub fn no_agent() -> bool {
    #[cfg(debug_assertions)]
    let tested = [TEST_KILL_AT, TEST_LOG_STEPS, TEST_CLOCK_AHEAD];
    #[cfg(not(debug_assertions))]
    let tested: [&str; 0] = [];
    let own = [NO_AGENT, PROGRESS, PASSWORD, PASSWORD_FILE];
    own.iter().chain(&tested).any(|name| var(name).is_some())
}

/// File that a job puts its answer into beside what it prints, if it is one of an agent.
pub fn answer() -> Option<PathBuf> {
    var(ANSWER).map(PathBuf::from)
}

/// Whether colours are wanted.
pub fn colours() -> bool {
    var(NO_COLOR).is_none()
}

/// Where a cache lies unless something else is said: the user's folder for it.
pub fn cache_dir() -> Option<PathBuf> {
    let user = var(XDG_CACHE_HOME).map(PathBuf::from);
    let home = || var(HOME).map(|home| PathBuf::from(home).join(".cache"));
    let dir = user.filter(|dir| dir.is_absolute()).or_else(home)?;
    Some(dir.join("lifeboat"))
}

/// What reaches the stores, under the names that their own programs and restic read.
pub fn access() -> Access {
    Variables { prefix: "" }.access()
}

/// Whether anything is said of the vault that is copied to.
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub fn says_of_other() -> bool {
    let of_other = |name: &OsString| name.as_encoded_bytes().starts_with(OTHER.as_bytes());
    std::env::vars_os().any(|(name, value)| of_other(&name) && !value.is_empty())
}

/// What reaches the vault that is copied to: the variables that are named for it (`LIFEBOAT_TO_…`). A kind of store
/// for which there is none of them is reached as the vault itself is; one for which there are some takes nothing
/// from the others, so that no key is sent with another's token.
pub fn access_to_other(own: &Access) -> Access {
    let other = Variables { prefix: OTHER };
    let named = other.access();
    let mut access = own.clone();
    if other.any(&AWS) {
        access.s3 = named.s3;
    }
    if other.any(&GOOGLE) {
        access.gcs = named.gcs;
    }
    if other.any(&AZURE) {
        access.azure = named.azure;
    }
    if other.any(&REST) {
        access.rest = named.rest;
    }
    if other.any(&[SSH]) {
        access.sftp = named.sftp;
    }
    access.machine_identity |= named.machine_identity;
    if named.ca_file.is_some() {
        access.ca_file = named.ca_file;
    }
    access
}

const AWS: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];
const GOOGLE: [&str; 3] = [
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_ACCESS_TOKEN",
    "STORAGE_EMULATOR_HOST",
];
const AZURE: [&str; 5] = [
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "AZURITE_BLOB_STORAGE_URL",
];
const REST: [&str; 2] = ["RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"];

/// The variables of one side.
struct Variables {
    prefix: &'static str,
}

impl Variables {
    /// Our own are not named twice after us.
    fn var(&self, name: &str) -> Option<OsString> {
        match self.prefix {
            "" => var(name),
            prefix => {
                let name = name.strip_prefix("LIFEBOAT_").unwrap_or(name);
                var(&format!("{prefix}{name}"))
            }
        }
    }

    fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.var(name).is_some())
    }

    fn access(&self) -> Access {
        let text = |name: &str| self.var(name).and_then(|value| value.into_string().ok());
        let secret = |name: &str| text(name).map(SecretString::from);
        let path = |name: &str| self.var(name).map(PathBuf::from);
        // Where the files lie is no secret of one side.
        let aws_file = |name: &str, file: &str| {
            let usual = || var(HOME).map(|home| PathBuf::from(home).join(".aws").join(file));
            path(name)
                .or_else(|| var(name).map(PathBuf::from))
                .or_else(usual)
        };
        Access {
            s3: S3Access {
                key_id: text("AWS_ACCESS_KEY_ID"),
                secret: secret("AWS_SECRET_ACCESS_KEY"),
                session_token: secret("AWS_SESSION_TOKEN"),
                region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
                profile: AwsProfile {
                    name: text("AWS_PROFILE").or_else(|| text("AWS_DEFAULT_PROFILE")),
                    credentials: aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
                    config: aws_file("AWS_CONFIG_FILE", "config"),
                },
                web_identity: path("AWS_WEB_IDENTITY_TOKEN_FILE").zip(text("AWS_ROLE_ARN")),
                container_uri: text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            },
            gcs: GcsAccess {
                credentials_file: path("GOOGLE_APPLICATION_CREDENTIALS"),
                token: secret("GOOGLE_ACCESS_TOKEN"),
                emulator: text("STORAGE_EMULATOR_HOST"),
            },
            azure: AzureAccess {
                account: text("AZURE_ACCOUNT_NAME"),
                key: secret("AZURE_ACCOUNT_KEY"),
                sas: secret("AZURE_ACCOUNT_SAS"),
                endpoint_suffix: text("AZURE_ENDPOINT_SUFFIX"),
                emulator: text("AZURITE_BLOB_STORAGE_URL"),
            },
            rest: RestAccess {
                user: text("RESTIC_REST_USERNAME"),
                password: secret("RESTIC_REST_PASSWORD"),
            },
            sftp: SftpAccess { command: text(SSH) },
            ca_file: path(CA_FILE),
            machine_identity: self.var(MACHINE_IDENTITY).is_some(),
            ..Access::default()
        }
    }
}

/// Step and count at which a crash test wants the program to die.
#[cfg(debug_assertions)]
pub fn test_kill_at() -> Option<(String, u64)> {
    let value = var(TEST_KILL_AT)?.into_string().ok()?;
    Some(
        match value
            .rsplit_once(':')
            .and_then(|(step, n)| Some((step, n.parse().ok()?)))
        {
            Some((step, n)) => (step.to_owned(), n),
            None => (value, 1),
        },
    )
}

/// File that a crash test wants the names of the steps in.
#[cfg(debug_assertions)]
pub fn test_log_steps() -> Option<PathBuf> {
    var(TEST_LOG_STEPS).map(PathBuf::from)
}

/// Seconds by which a test wants the clock ahead.
#[cfg(debug_assertions)]
pub fn test_clock_ahead() -> Option<i64> {
    var(TEST_CLOCK_AHEAD)?.into_string().ok()?.parse().ok()
}
