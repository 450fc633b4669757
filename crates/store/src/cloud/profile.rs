//! Keys as Amazon's programs keep them: `~/.aws/credentials` and `~/.aws/config`.
//!
//! In order: the environment's keys, the profile's, the environment's web identity, the machine's role. Where both
//! files have a profile, what `credentials` says counts. A profile that would need another program or a sign-on is
//! refused with a sentence; it is not passed over, for what came after it would be somebody else.
//!
//! No error holds a line of a file: it could be a key.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use crate::{Result, SecretString, StoreError, access::S3Access, place::refused};

/// Nobody's file is larger.
const LARGEST: u64 = 1 << 20;
/// The profile that counts where none is named.
const DEFAULT: &str = "default";

/// What a profile is asked for that only other programs can answer, and what that is called.
const ELSEWHERE: [(&str, &str); 6] = [
    (
        "credential_process",
        "keys from a program (credential_process)",
    ),
    ("sso_session", "single sign-on (sso_session)"),
    ("sso_start_url", "single sign-on (sso_start_url)"),
    (
        "source_profile",
        "a role that is taken on with another profile's keys (source_profile)",
    ),
    (
        "credential_source",
        "a role that is taken on with the machine's keys (credential_source)",
    ),
    ("login_session", "a sign-on in the browser (login_session)"),
];

type Section = HashMap<String, String>;

/// What the environment said, completed by the profile.
pub(super) struct Completed {
    pub key_id: Option<String>,
    pub secret: Option<SecretString>,
    pub session_token: Option<SecretString>,
    /// The environment's.
    pub region: Option<String>,
    /// The profile's, which counts less than what the store's address says.
    pub profile_region: Option<String>,
    pub web_identity: Option<(PathBuf, String)>,
    pub container_uri: Option<String>,
}

/// Reads the files only where they can matter.
pub(super) fn completed(s3: &S3Access) -> Result<Completed> {
    let mut all = Completed {
        key_id: s3.key_id.clone(),
        secret: s3.secret.clone(),
        session_token: s3.session_token.clone(),
        region: s3.region.clone(),
        profile_region: None,
        web_identity: s3.web_identity.clone(),
        container_uri: s3.container_uri.clone(),
    };
    let has_keys = all.key_id.is_some() || all.secret.is_some();
    if has_keys && all.region.is_some() {
        return Ok(all);
    }
    let profile = match section(s3) {
        // With keys of its own nobody's files have to be in order.
        Err(_) if has_keys => return Ok(all),
        profile => profile?,
    };
    all.profile_region = profile.get("region").cloned();
    if has_keys {
        return Ok(all);
    }
    let name = s3.profile.name.as_deref().unwrap_or(DEFAULT);
    match (
        profile.get("aws_access_key_id"),
        profile.get("aws_secret_access_key"),
    ) {
        (Some(id), Some(secret)) => {
            all.key_id = Some(id.clone());
            all.secret = Some(SecretString::from(secret.as_str()));
            // A token of the environment belongs to keys of the environment.
            let token = profile.get("aws_session_token");
            all.session_token = token.map(|token| SecretString::from(token.as_str()));
            return Ok(all);
        }
        (None, None) => {}
        (id, _) => {
            let (there, missing) = match id {
                Some(_) => ("aws_access_key_id", "aws_secret_access_key"),
                None => ("aws_secret_access_key", "aws_access_key_id"),
            };
            return Err(refused(&format!(
                "the profile `{name}` has {there} and no {missing}; put both into {}",
                files(s3)
            )));
        }
    }
    if let (Some(file), Some(role)) = (
        profile.get("web_identity_token_file"),
        profile.get("role_arn"),
    ) {
        all.web_identity = Some((PathBuf::from(file), role.clone()));
        return Ok(all);
    }
    if let Some((_, what)) = ELSEWHERE.iter().find(|(key, _)| profile.contains_key(*key)) {
        return Err(refused(&format!(
            "the profile `{name}` wants {what}, which Lifeboat cannot do; let Amazon's program do it: `eval \"$(aws configure export-credentials --profile {name} --format env)\"`, then run the command again"
        )));
    }
    Ok(all)
}

/// The profile, put together from both files; empty where there is none and none was named.
fn section(s3: &S3Access) -> Result<Section> {
    let wanted = s3.profile.name.as_deref().unwrap_or(DEFAULT);
    let read = |path: &Option<PathBuf>, kind| match path {
        Some(path) => read(path, kind, wanted),
        None => Ok(None),
    };
    let config = read(&s3.profile.config, Kind::Config)?;
    let credentials = read(&s3.profile.credentials, Kind::Credentials)?;
    if let (Some(name), None, None) = (&s3.profile.name, &config, &credentials) {
        return Err(refused(&format!(
            "AWS_PROFILE names the profile `{name}`, which is not in {}; mend the name, or add the profile",
            files(s3)
        )));
    }
    let mut all = config.unwrap_or_default();
    let credentials = credentials.unwrap_or_default();
    // A pair of keys is taken from one file, never half from each.
    if credentials.contains_key("aws_access_key_id") {
        all.retain(|key, _| !key.starts_with("aws_"));
    }
    all.extend(credentials);
    Ok(all)
}

/// The names of both files, for a sentence.
fn files(s3: &S3Access) -> String {
    let paths = [&s3.profile.credentials, &s3.profile.config];
    let paths: Vec<_> = paths.into_iter().flatten().collect();
    match &paths[..] {
        [] => "~/.aws (HOME is not set)".to_owned(),
        paths => {
            let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
            paths.join(" or ")
        }
    }
}

/// Which of the two files it is: they name a profile differently.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Credentials,
    Config,
}

impl Kind {
    /// The profile that a headline is of.
    fn profile(self, headline: &str) -> Option<&str> {
        let (word, rest) = match headline.split_once([' ', '\t']) {
            Some((word, rest)) => (word, rest.trim()),
            None => (headline, ""),
        };
        match self {
            Self::Config if word == "profile" && !rest.is_empty() => Some(quoted(rest)),
            Self::Config if headline == DEFAULT => Some(headline),
            Self::Config => None,
            Self::Credentials => Some(quoted(headline)),
        }
    }
}

/// A name without the quotes around it.
fn quoted(name: &str) -> &str {
    let inner = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(name)
}

fn read(path: &Path, kind: Kind, profile: &str) -> Result<Option<Section>> {
    let failed = |source| StoreError::Io {
        context: "read the keys of the store".to_owned(),
        source,
    };
    let mut text = Vec::new();
    match fs_err::File::open(path) {
        Ok(file) => file.take(LARGEST + 1).read_to_end(&mut text),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => Err(e),
    }
    .map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(refused(&format!(
            "{} has more than {LARGEST} bytes and is no file of profiles",
            path.display()
        )));
    }
    parse(&text, kind, profile).map_err(|line| {
        refused(&format!(
            "line {line} of {} is neither `[PROFILE]` nor `NAME = VALUE`; mend it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            path.display()
        ))
    })
}

/// One profile of a file, or `None` if it has none of this name; or the number of the line that is none.
fn parse(text: &[u8], kind: Kind, profile: &str) -> Result<Option<Section>, usize> {
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut found: Option<Section> = None;
    let mut is_ours = false;
    // Where the last name of this section began: what is further in belongs to it.
    let mut name_at = None;
    for (number, line) in text.lines().enumerate() {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = plain.strip_prefix('[') {
            let headline = rest.split_once(']').ok_or(number + 1)?.0.trim();
            is_ours = kind.profile(headline) == Some(profile);
            name_at = None;
            if is_ours {
                found.get_or_insert_default();
            }
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if name_at.is_some_and(|at| indent > at) {
            continue;
        }
        let (name, value) = plain.split_once('=').ok_or(number + 1)?;
        name_at = Some(indent);
        let (Some(section), true) = (&mut found, is_ours) else {
            continue;
        };
        let value = uncommented(value);
        if !value.is_empty() {
            section.insert(name.trim().to_lowercase(), value.to_owned());
        }
    }
    Ok(found)
}

/// A comment at a line's end has a space before it.
fn uncommented(value: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"];
    let end = ends.iter().filter_map(|mark| value.find(mark)).min();
    value[..end.unwrap_or(value.len())].trim()
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
