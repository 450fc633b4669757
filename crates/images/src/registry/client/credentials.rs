//! Names and passwords for registries, from where `docker login` puts them.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Address, DOCKER_HUB};
use crate::{Error, Result};

/// What `docker login` calls Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The name that says that the password is a token for the token server.
const TOKEN_NAME: &str = "<token>";

/// A name and its password.
#[derive(Clone)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password, or with `is_token` a refresh token.
    pub password: SecretString,
    /// The password is a refresh token (OAuth 2) for the token server.
    pub is_token: bool,
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn new(user: impl Into<String>, password: SecretString) -> Self {
        Self {
            user: user.into(),
            password,
            is_token: false,
        }
    }

    /// The `Authorization` header of basic authentication.
    pub(super) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.user, self.password.expose_secret());
        format!("Basic {}", STANDARD.encode(pair))
    }
}

/// Docker's `config.json`, as far as it is about logging in.
#[derive(Debug, Default, Deserialize)]
pub struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: Option<SecretString>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretString>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<SecretString>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

impl DockerConfig {
    /// Reads the file; one that is not there says nothing.
    ///
    /// # Errors
    /// It cannot be read or is not what it should be.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::io("read the logins of Docker")(e)),
        };
        // What serde says could quote a password.
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::Setup(format!(
                "{} is no configuration of Docker (line {}); correct it, or give --registry-user and --registry-password-file",
                path.display(),
                e.line()
            ))
        })
    }

    /// What it has for a registry: asked of a helper where one is named.
    ///
    /// # Errors
    /// The helper fails, or what is kept is not what it should be.
    pub fn find(&self, address: &Address) -> Result<Option<Credentials>> {
        let keys = keys(address);
        for key in &keys {
            if let Some(helper) = self.helpers.get(key) {
                return ask_helper(helper, key);
            }
        }
        for (name, auth) in &self.auths {
            let is_for_it = keys.contains(&bare(name)) || keys.contains(name);
            if is_for_it && let Some(found) = auth.credentials(address)? {
                return Ok(Some(found));
            }
        }
        match &self.store {
            Some(helper) => {
                for key in &keys {
                    if let Some(found) = ask_helper(helper, key)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

impl Auth {
    fn credentials(&self, address: &Address) -> Result<Option<Credentials>> {
        let token = |user: &str| {
            self.identity_token.as_ref().map(|token| Credentials {
                user: user.to_owned(),
                password: token.clone(),
                is_token: true,
            })
        };
        if let Some(auth) = self.auth.as_ref().filter(|a| !a.expose_secret().is_empty()) {
            let pair = STANDARD
                .decode(auth.expose_secret().trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let Some((user, password)) = pair.as_ref().and_then(|pair| pair.split_once(':')) else {
                return Err(Error::Setup(format!(
                    "the login for {address} in Docker's config.json cannot be read; log in again with docker login"
                )));
            };
            let password = SecretString::from(password.trim_end_matches('\0'));
            return Ok(Some(
                token(user).unwrap_or_else(|| Credentials::new(user, password)),
            ));
        }
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => {
                Ok(Some(Credentials::new(user.clone(), password.clone())))
            }
            _ => Ok(token(TOKEN_NAME)),
        }
    }
}

/// The names under which a login for this registry may be kept.
fn keys(address: &Address) -> Vec<String> {
    let mut keys = vec![address.to_string()];
    if address.to_string() == DOCKER_HUB {
        keys.extend([HUB_KEY.to_owned(), "index.docker.io".to_owned()]);
    }
    keys
}

/// Old versions kept URLs.
fn bare(name: &str) -> String {
    let name = name
        .strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"))
        .unwrap_or(name);
    name.split('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: SecretString,
}

/// Docker's credential helpers: `docker-credential-NAME get`, the server's name on standard input.
fn ask_helper(helper: &str, server: &str) -> Result<Option<Credentials>> {
    let failed = |why: String| {
        Error::Setup(format!(
            "docker-credential-{helper}, which Docker's config.json names for {server}, fails: {why}; mend it, or give --registry-user and --registry-password-file"
        ))
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if helper.is_empty() || !helper.chars().all(is_name) {
        return Err(failed("it is no name of a program".to_owned()));
    }
    let program = format!("docker-credential-{helper}");
    // Logins are kept by programs of other people, named in Docker's own settings.
    #[expect(clippy::disallowed_methods)]
    let child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not listen says so by how it ends.
        let _ = stdin.write_all(server.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // The one thing that helpers say alike.
        return if said.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(output.status.to_string()))
        };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("it answers what no helper should".to_owned()))?;
    Ok(Some(Credentials {
        is_token: answer.username == TOKEN_NAME,
        user: answer.username,
        password: answer.secret,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str, address: &str) -> Option<(String, String, bool)> {
        let config: DockerConfig = serde_json::from_str(json).unwrap();
        let found = config.find(&address.parse().unwrap()).unwrap()?;
        Some((
            found.user.clone(),
            found.password.expose_secret().to_owned(),
            found.is_token,
        ))
    }

    #[test]
    fn logins_are_found_as_docker_finds_them() {
        let auth = STANDARD.encode("ann:pa:ss");
        let json = format!(
            r#"{{"auths": {{"registry.example:5000": {{"auth": "{auth}"}}, "https://index.docker.io/v1/": {{"auth": "{auth}", "identitytoken": "t"}}, "https://old.example/v2/": {{"username": "u", "password": "p"}}}}}}"#
        );
        let ann = Some(("ann".to_owned(), "pa:ss".to_owned(), false));
        assert_eq!(find(&json, "registry.example:5000"), ann);
        assert_eq!(find(&json, "registry.example"), None);
        assert_eq!(
            find(&json, "docker.io"),
            Some(("ann".to_owned(), "t".to_owned(), true))
        );
        assert_eq!(
            find(&json, "old.example"),
            Some(("u".to_owned(), "p".to_owned(), false))
        );
        assert_eq!(find("{}", "docker.io"), None);
    }

    #[test]
    fn nothing_of_a_login_is_shown() {
        let config: DockerConfig = serde_json::from_str(
            r#"{"auths": {"a": {"auth": "hunter2", "username": "u", "password": "hunter2"}}}"#,
        )
        .unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = config
            .find(&"a".parse().unwrap())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("log in again") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn a_helper_is_no_path() {
        let config: DockerConfig =
            serde_json::from_str(r#"{"credHelpers": {"a": "../../bin/sh"}}"#).unwrap();
        let error = config
            .find(&"a".parse().unwrap())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("no name of a program"), "{error}");
    }
}
