//! What a caller hands in to reach a store: credentials, trust, limits. Nothing here is read from the
//! environment, and no secret of it is ever shown ([`SecretString`] hides itself from `Debug`).

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use secrecy::{ExposeSecret, SecretString};

use crate::http::Bucket;

/// Everything that is needed beside the place. The default reaches a directory, and servers that ask
/// for nothing.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// For `s3:`.
    pub s3: S3Access,
    /// For `gs:`.
    pub gcs: GcsAccess,
    /// For `azure:`.
    pub azure: AzureAccess,
    /// For `rest:`, where the URL names nobody.
    pub rest: RestAccess,
    /// For `sftp:`.
    pub sftp: SftpAccess,
    /// Ask the machine itself for credentials where there are none: at Amazon, Google and Azure it has
    /// an address that gives them. Nowhere else is anybody there, so it is not asked unbidden.
    pub machine_identity: bool,
    /// A PEM file with authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Talk to other machines without TLS too.
    pub insecure_http: bool,
    /// Bytes a second, up and down, over all threads.
    pub limits: Limits,
    /// How long to go on where a store does not answer.
    pub retry: RetryPolicy,
    /// Once set, nothing is tried again: the work is being stopped.
    pub stop: Stop,
}

/// Of an S3-compatible store.
#[derive(Clone, Debug, Default)]
pub struct S3Access {
    /// `AWS_ACCESS_KEY_ID`
    pub key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret: Option<SecretString>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<SecretString>,
    /// `AWS_REGION`, `AWS_DEFAULT_REGION`
    pub region: Option<String>,
    /// The files that Amazon's programs keep keys in. They are looked at where there are none of the above.
    pub profile: AwsProfile,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`
    pub web_identity: Option<(PathBuf, String)>,
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`
    pub container_uri: Option<String>,
}

/// A section of `~/.aws/credentials` and `~/.aws/config`.
#[derive(Clone, Debug, Default)]
pub struct AwsProfile {
    /// `AWS_PROFILE`, `AWS_DEFAULT_PROFILE`; else `default`, which need not be there.
    pub name: Option<String>,
    /// `AWS_SHARED_CREDENTIALS_FILE`
    pub credentials: Option<PathBuf>,
    /// `AWS_CONFIG_FILE`
    pub config: Option<PathBuf>,
}

/// Of Google Cloud Storage.
#[derive(Clone, Debug, Default)]
pub struct GcsAccess {
    /// `GOOGLE_APPLICATION_CREDENTIALS`
    pub credentials_file: Option<PathBuf>,
    /// `GOOGLE_ACCESS_TOKEN`
    pub token: Option<SecretString>,
    /// `STORAGE_EMULATOR_HOST`
    pub emulator: Option<String>,
}

/// Of Azure Blob Storage.
#[derive(Clone, Debug, Default)]
pub struct AzureAccess {
    /// `AZURE_ACCOUNT_NAME`
    pub account: Option<String>,
    /// `AZURE_ACCOUNT_KEY`
    pub key: Option<SecretString>,
    /// `AZURE_ACCOUNT_SAS`
    pub sas: Option<SecretString>,
    /// `AZURE_ENDPOINT_SUFFIX`
    pub endpoint_suffix: Option<String>,
    /// `AZURITE_BLOB_STORAGE_URL`
    pub emulator: Option<String>,
}

/// Of a restic REST server.
#[derive(Clone, Debug, Default)]
pub struct RestAccess {
    /// `RESTIC_REST_USERNAME`
    pub user: Option<String>,
    /// `RESTIC_REST_PASSWORD`
    pub password: Option<SecretString>,
}

/// Of a host that is reached by ssh.
#[derive(Clone, Debug, Default)]
pub struct SftpAccess {
    /// The shell command that stands for `ssh`, with options.
    pub command: Option<String>,
}

/// Bandwidth. Shared by everybody who clones it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub(crate) upload: Option<Arc<Bucket>>,
    pub(crate) download: Option<Arc<Bucket>>,
}

impl Limits {
    /// Bytes a second; `None` or zero is without limit.
    pub fn new(upload: Option<u64>, download: Option<u64>) -> Self {
        let bucket = |rate: Option<u64>| {
            rate.filter(|rate| *rate > 0)
                .map(|rate| Arc::new(Bucket::new(rate)))
        };
        Self {
            upload: bucket(upload),
            download: bucket(download),
        }
    }
}

/// How long a store that does not answer is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Pause after the first failure; it doubles, with jitter, up to `longest_pause`.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// Bound on one operation's retries, where the store has answered in this run before.
    pub total: Duration,
    /// The same where it never has: a mistyped host shall not keep a person waiting.
    pub at_first: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            total: Duration::from_secs(15 * 60),
            at_first: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// The default, bounded by another time.
    pub fn within(total: Duration) -> Self {
        let default = Self::default();
        Self {
            total,
            at_first: default.at_first.min(total),
            ..default
        }
    }
}

/// A flag that ends waiting.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on nothing is tried again.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stop({})", self.is_set())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let mut access = Access::default();
        for secret in [
            &mut access.s3.secret,
            &mut access.s3.session_token,
            &mut access.gcs.token,
            &mut access.azure.key,
            &mut access.azure.sas,
            &mut access.rest.password,
        ] {
            *secret = Some(SecretString::from("hunter2"));
        }
        assert!(!format!("{access:?}").contains("hunter2"));
    }
}
