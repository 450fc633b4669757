//! Tokens of the network: a file that holds the hash of each, never the token.
//!
//! A token is 32 random bytes, so a plain SHA-256 of it cannot be guessed at; a slow hash would only help who wants the
//! server busy. The file is read again when it changed: who is taken out is out with the next request.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Caller, Role};

const PREFIX: &str = "lifeboat_";

/// Why a token does not let in. Each is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None was given.
    #[error(
        "no token was given: send `Authorization: Bearer TOKEN`; `lifeboat token add` makes one"
    )]
    Missing,
    /// Nobody has it. Not said: whether the name or the secret is wrong.
    #[error(
        "this token is not known here, or was taken back; `lifeboat token add` makes a new one"
    )]
    Wrong,
    /// It was good once.
    #[error("this token expired at {0}; `lifeboat token add` makes a new one")]
    Expired(Timestamp),
    /// The file cannot be trusted or read.
    #[error("tokens cannot be checked: {0}")]
    File(String),
}

/// Why a token is not made or taken back. Each is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// The name.
    #[error("`{0}` is no name for a token: small letters, digits and `-`, at most 32")]
    Name(String),
    /// It is taken.
    #[error("there is a token `{0}` already; `lifeboat token remove {0}` takes it back")]
    Taken(String),
    /// It is not there.
    #[error("there is no token `{0}`; `lifeboat token list` shows what there is")]
    Unknown(String),
    /// The file.
    #[error(transparent)]
    File(#[from] TokenError),
}

/// A token as the file keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// What it may.
    pub role: Role,
    /// SHA-256 of its secret, in hexadecimal.
    pub sha256: String,
    /// Until when it is good; none: until it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    token: BTreeMap<String, Issued>,
}

type Seen = (SystemTime, u64, u64);

/// The tokens in a file.
pub struct Tokens {
    path: PathBuf,
    read: Mutex<Option<(Seen, BTreeMap<String, Issued>)>>,
}

impl Tokens {
    /// Of a file that need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::default(),
        }
    }

    /// Where a folder of settings has them.
    #[must_use]
    pub fn file(config: &Path) -> PathBuf {
        config.join("api-tokens.toml")
    }

    /// Who a header `Authorization` speaks for.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn caller(&self, header: Option<&str>, now: Timestamp) -> Result<Caller, TokenError> {
        let header = header.ok_or(TokenError::Missing)?;
        let (scheme, token) = header.split_once(' ').ok_or(TokenError::Wrong)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Missing);
        }
        let rest = token.trim().strip_prefix(PREFIX).ok_or(TokenError::Wrong)?;
        let (name, secret) = rest.split_once('_').ok_or(TokenError::Wrong)?;
        let all = self.all()?;
        let known = all.get(name).ok_or(TokenError::Wrong)?;
        let is = hash(secret);
        aws_lc_rs::constant_time::verify_slices_are_equal(is.as_bytes(), known.sha256.as_bytes())
            .map_err(|_| TokenError::Wrong)?;
        match known.expires {
            Some(end) if end <= now => Err(TokenError::Expired(end)),
            _ => Ok(Caller {
                name: format!("token {name}"),
                role: known.role,
                via: "network",
            }),
        }
    }

    /// All of them by name.
    ///
    /// # Errors
    /// The file can be changed by others, or makes no sense.
    pub fn all(&self) -> Result<BTreeMap<String, Issued>, TokenError> {
        let shown = self.path.display();
        let bad = |why: String| TokenError::File(format!("{shown} {why}"));
        let meta = match fs_err::metadata(&self.path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(TokenError::File(e.to_string())),
        };
        let own = rustix::process::geteuid().as_raw();
        if (meta.uid() != 0 && meta.uid() != own) || meta.mode() & 0o022 != 0 {
            return Err(bad(
                "can be changed by others than root: give it to root, with mode 0600".to_owned(),
            ));
        }
        let seen = (
            meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            meta.len(),
            meta.ino(),
        );
        let mut read = self.read.lock();
        if let Some((_, all)) = read.as_ref().filter(|(before, _)| *before == seen) {
            return Ok(all.clone());
        }
        let text =
            fs_err::read_to_string(&self.path).map_err(|e| TokenError::File(e.to_string()))?;
        let file: File =
            toml::from_str(&text).map_err(|e| bad(format!("makes no sense: {}", e.message())))?;
        *read = Some((seen, file.token.clone()));
        Ok(file.token)
    }

    /// Makes a token; it is shown this once.
    ///
    /// # Errors
    /// The name is none, or taken; the file cannot be written.
    pub fn add(
        &self,
        name: &str,
        role: Role,
        expires: Option<Timestamp>,
    ) -> Result<String, NotIssued> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            return Err(NotIssued::Name(name.to_owned()));
        }
        let mut all = self.all()?;
        if all.contains_key(name) {
            return Err(NotIssued::Taken(name.to_owned()));
        }
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| TokenError::File("there is no randomness".to_owned()))?;
        // `_` parts name and secret, and the name has none.
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        let sha256 = hash(&secret);
        let issued = Issued {
            role,
            sha256,
            expires,
        };
        all.insert(name.to_owned(), issued);
        self.write(all)?;
        Ok(format!("{PREFIX}{name}_{secret}"))
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// There is none of this name; the file cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), NotIssued> {
        let mut all = self.all()?;
        all.remove(name)
            .ok_or_else(|| NotIssued::Unknown(name.to_owned()))?;
        Ok(self.write(all)?)
    }

    fn write(&self, token: BTreeMap<String, Issued>) -> Result<(), TokenError> {
        use std::io::Write as _;
        let text = toml::to_string(&File { token }).map_err(|e| TokenError::File(e.to_string()))?;
        let temporary = self.path.with_extension("toml.new");
        let write = || -> std::io::Result<()> {
            let mut file = fs_err::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs_err::rename(&temporary, &self.path)
        };
        write().map_err(|e| TokenError::File(e.to_string()))
    }
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lets_in_until_it_ends_or_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(dir.path().join("t.toml"));
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse().unwrap());
        let look = tokens.add("look", Role::Viewer, None).unwrap();
        let end = tokens.add("old", Role::Admin, at("2026-11-29T12:00:00Z"));
        let old = end.unwrap();
        let text = fs_err::read_to_string(dir.path().join("t.toml")).unwrap();
        let secret = look.strip_prefix("lifeboat_look_").unwrap();
        assert!(!text.contains(secret), "{text}");
        let caller = |header: &str| tokens.caller(Some(header), now);
        let let_in = caller(&format!("Bearer {look}")).unwrap();
        assert_eq!(
            (let_in.role, let_in.name.as_str()),
            (Role::Viewer, "token look")
        );
        assert_eq!(tokens.caller(None, now), Err(TokenError::Missing));
        assert_eq!(caller("Basic eDp5"), Err(TokenError::Missing));
        for wrong in [
            "Bearer x",
            "Bearer lifeboat_look_",
            "Bearer lifeboat_none_x",
        ] {
            assert_eq!(caller(wrong), Err(TokenError::Wrong), "{wrong}");
        }
        assert!(matches!(
            caller(&format!("Bearer {old}")),
            Err(TokenError::Expired(_))
        ));
        tokens.remove("look").unwrap();
        assert_eq!(caller(&format!("Bearer {look}")), Err(TokenError::Wrong));
        assert!(matches!(tokens.remove("look"), Err(NotIssued::Unknown(_))));
        assert!(matches!(
            tokens.add("No", Role::Viewer, None),
            Err(NotIssued::Name(_))
        ));
        assert!(matches!(
            tokens.add("old", Role::Viewer, None),
            Err(NotIssued::Taken(_))
        ));
    }

    #[test]
    fn a_file_that_others_can_change_lets_nobody_in() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        let tokens = Tokens::new(path.clone());
        let token = tokens.add("a", Role::Admin, None).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let caller = tokens.caller(Some(&format!("Bearer {token}")), Timestamp::UNIX_EPOCH);
        assert!(matches!(caller, Err(TokenError::File(why)) if why.contains("mode 0600")));
    }
}
