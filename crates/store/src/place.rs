//! From what a person wrote to where a vault lies. Pure.
//!
//! The forms are restic's, so that a place can be given to either program. What is printed of a place
//! ([`std::fmt::Display`]) is again such a form, without a password.

use std::{fmt, path::PathBuf};

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::{Result, SecretString, StoreError};

/// Where a vault lies.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory: `/srv/vault`, `local:/srv/vault`.
    Local(PathBuf),
    /// `s3:https://host/bucket/prefix`, `s3:host/bucket/prefix`, `s3:bucket/prefix` (Amazon's).
    S3 {
        /// `None` is Amazon's, in the region of the credentials.
        endpoint: Option<Url>,
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `gs:bucket:/prefix`
    Gcs {
        /// The bucket.
        bucket: String,
        /// As above.
        prefix: String,
    },
    /// `azure:container:/prefix`
    Azure {
        /// The container.
        container: String,
        /// As above.
        prefix: String,
    },
    /// `rest:https://user:password@host/path/`
    Rest {
        /// Without user and password; its path ends with a slash.
        url: Url,
        /// From the URL.
        user: Option<String>,
        /// From the URL.
        password: Option<SecretString>,
    },
    /// `sftp:user@host:/path`, `sftp://user@host:port//path`
    Sftp {
        /// `user@host` or a name from ssh's own configuration.
        destination: String,
        /// The port, if another than ssh would take.
        port: Option<u16>,
        /// Absolute, or below the user's home.
        path: String,
    },
}

impl Place {
    /// Reads a place. Errors name what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(refused(
                "the location is empty; give a directory or a URL such as s3:https://host/bucket",
            ));
        }
        // `/a:b`, `./a:b` and `a/b:c` are paths.
        let Some((scheme, rest)) = text.split_once(':').filter(|(s, _)| is_scheme(s)) else {
            return Ok(Self::Local(text.into()));
        };
        match scheme {
            "local" if rest.is_empty() => Err(refused("`local:` needs a path behind it")),
            "local" => Ok(Self::Local(rest.into())),
            "s3" => s3(rest),
            "gs" => {
                let (bucket, prefix) = bucket_and_prefix("gs:bucket:/prefix", rest)?;
                Ok(Self::Gcs { bucket, prefix })
            }
            "azure" => {
                let (container, prefix) = bucket_and_prefix("azure:container:/prefix", rest)?;
                Ok(Self::Azure { container, prefix })
            }
            "rest" => rest_server(rest),
            "sftp" => sftp(rest),
            _ => Err(refused(&format!(
                "`{scheme}:` is no kind of store that Lifeboat knows; it knows s3:, gs:, azure:, rest:, sftp: and directories (one whose name has a colon as `local:PATH`)"
            ))),
        }
    }

    /// The directory, if it is one of this machine.
    pub fn directory(&self) -> Option<&std::path::Path> {
        match self {
            Self::Local(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |bucket: &str, prefix: &str| match prefix {
            "" => bucket.to_owned(),
            prefix => format!("{bucket}/{prefix}"),
        };
        match self {
            Self::Local(path) => {
                let path = path.display().to_string();
                let odd = path.split_once(':').is_some_and(|(s, _)| is_scheme(s));
                write!(f, "{}{path}", if odd { "local:" } else { "" })
            }
            Self::S3 {
                endpoint: Some(url),
                bucket,
                prefix,
            } => write!(f, "s3:{url}{}", joined(bucket, prefix)),
            Self::S3 { bucket, prefix, .. } => {
                write!(f, "s3:s3.amazonaws.com/{}", joined(bucket, prefix))
            }
            Self::Gcs { bucket, prefix } => write!(f, "gs:{bucket}:/{prefix}"),
            Self::Azure { container, prefix } => write!(f, "azure:{container}:/{prefix}"),
            Self::Rest { url, user, .. } => {
                let mut url = url.clone();
                // Fails only for URLs that have no host.
                let _ = url.set_username(user.as_deref().unwrap_or_default());
                write!(f, "rest:{url}")
            }
            Self::Sftp {
                destination,
                port: Some(port),
                path,
            } => write!(f, "sftp://{destination}:{port}/{path}"),
            Self::Sftp {
                destination, path, ..
            } => write!(f, "sftp:{destination}:{path}"),
        }
    }
}

fn s3(rest: &str) -> Result<Place> {
    const FORM: &str = "s3:https://host/bucket/prefix";
    let (endpoint, path) = if let Some(at) = rest.strip_prefix("//") {
        // `s3://host/bucket` is what restic takes for `s3:https://host/bucket`.
        let (host, path) = at.split_once('/').unwrap_or((at, ""));
        (Some(format!("https://{host}/")), path.to_owned())
    } else if rest.starts_with("http://") || rest.starts_with("https://") {
        let url = url(rest, FORM)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(
                "keys do not belong into a location, where every user of the machine can see them; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        let path = percent_decode_str(url.path())
            .decode_utf8_lossy()
            .into_owned();
        let port = url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default();
        (Some(format!("{}://{host}{port}/", url.scheme())), path)
    } else {
        match rest.split_once('/') {
            // A name with a dot or a port is a host, as restic has it; a bucket has its path alone.
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                (Some(format!("https://{host}/")), path.to_owned())
            }
            _ => (None, rest.to_owned()),
        }
    };
    let endpoint = endpoint.map(|text| url(&text, FORM)).transpose()?;
    // Amazon's own, whatever the region: the signature needs the region, and it comes with the keys.
    let endpoint = endpoint.filter(|url| url.host_str() != Some("s3.amazonaws.com"));
    let path = path.trim_matches('/');
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if bucket.is_empty() {
        return Err(refused(&format!("it names no bucket; the form is {FORM}")));
    }
    Ok(Place::S3 {
        endpoint,
        bucket: bucket.to_owned(),
        prefix: whole_prefix(prefix)?,
    })
}

fn bucket_and_prefix(form: &str, rest: &str) -> Result<(String, String)> {
    let (bucket, prefix) = rest.split_once(':').unwrap_or((rest, ""));
    if bucket.is_empty() || bucket.contains('/') {
        return Err(refused(&format!("the form is {form}")));
    }
    Ok((bucket.to_owned(), whole_prefix(prefix.trim_matches('/'))?))
}

/// Object stores keep `a//b` and `a/./b` as names of their own, and half of the tools then lose them.
fn whole_prefix(prefix: &str) -> Result<String> {
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if !prefix.is_empty() && prefix.split('/').any(odd) {
        return Err(refused(&format!(
            "the prefix `{prefix}` has an empty part, `.` or `..` in it; write it without"
        )));
    }
    Ok(prefix.to_owned())
}

fn rest_server(rest: &str) -> Result<Place> {
    let mut url = url(rest, "rest:https://user:password@host/path/")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("a REST server's URL has no `?` and no `#`"));
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
    let password = url.password().map(|p| SecretString::from(decoded(p)));
    // Fails only for URLs that have no host, which `url` has refused.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(Place::Rest {
        url,
        user,
        password,
    })
}

fn sftp(rest: &str) -> Result<Place> {
    const FORM: &str = "sftp:user@host:/path or sftp://user@host:port//path";
    let (at, path) = if let Some(rest) = rest.strip_prefix("//") {
        rest.split_once('/').unwrap_or((rest, ""))
    } else {
        // An address of IPv6 stands in brackets.
        let end = rest.find(']').unwrap_or(0);
        rest[end..]
            .find(':')
            .map(|at| (&rest[..at + end], &rest[at + end + 1..]))
            .ok_or_else(|| refused(&format!("the form is {FORM}")))?
    };
    let (user, host) = at.rsplit_once('@').unwrap_or(("", at));
    if user.contains(':') {
        return Err(refused(
            "a password does not belong into a location; ssh takes a key or asks for it",
        ));
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let number = port.parse();
            let number = number
                .map_err(|_| refused(&format!("the port is no number; the form is {FORM}")))?;
            (host, Some(number))
        }
        _ => (host, None),
    };
    // ssh would take it for an option.
    if host.is_empty() || host.starts_with('-') || user.starts_with('-') {
        return Err(refused(&format!("it names no host; the form is {FORM}")));
    }
    if path.is_empty() {
        return Err(refused(&format!("it names no path; the form is {FORM}")));
    }
    Ok(Place::Sftp {
        destination: match user {
            "" => host.to_owned(),
            user => format!("{user}@{host}"),
        },
        port,
        path: path.to_owned(),
    })
}

fn url(text: &str, form: &str) -> Result<Url> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        // The text is not repeated: it may hold a password.
        _ => Err(refused(&format!(
            "the URL cannot be read; the form is {form}"
        ))),
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

pub(crate) fn refused(reason: &str) -> StoreError {
    StoreError::Io {
        context: "open the vault's location".to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::Unsupported, reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExposeSecret;

    #[test]
    fn each_form_is_read_and_written() {
        for (given, shown) in [
            ("/srv/vault", "/srv/vault"),
            ("local:/srv/vault", "/srv/vault"),
            ("local:with:colon", "local:with:colon"),
            ("/a:b", "/a:b"),
            ("./s3:x", "./s3:x"),
            ("s3:https://h:9000/b/p/q/", "s3:https://h:9000/b/p/q"),
            ("s3:http://127.0.0.1:9000/b", "s3:http://127.0.0.1:9000/b"),
            ("s3:h.example/b/p", "s3:https://h.example/b/p"),
            ("s3://h.example/b/p", "s3:https://h.example/b/p"),
            ("s3:s3.amazonaws.com/b", "s3:s3.amazonaws.com/b"),
            ("s3:bucket/p", "s3:s3.amazonaws.com/bucket/p"),
            ("s3:bucket", "s3:s3.amazonaws.com/bucket"),
            ("gs:b:/", "gs:b:/"),
            ("gs:b:/p/q", "gs:b:/p/q"),
            ("azure:c:/p", "azure:c:/p"),
            ("rest:http://h:8000/", "rest:http://h:8000/"),
            ("rest:https://u:p%40@h/v", "rest:https://u@h/v/"),
            ("sftp:u@h:/v", "sftp:u@h:/v"),
            ("sftp:h:v/w", "sftp:h:v/w"),
            ("sftp:u@[::1]:/v", "sftp:u@[::1]:/v"),
            ("sftp://u@h:2222//v", "sftp://u@h:2222//v"),
            ("sftp://u@h/v", "sftp:u@h:v"),
        ] {
            let place = Place::parse(given).unwrap();
            assert_eq!(place.to_string(), shown, "{given}");
            // What is shown leads there again.
            assert_eq!(Place::parse(shown).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn user_and_password_of_a_rest_url_are_taken_out() {
        let Place::Rest { user, password, .. } = Place::parse("rest:http://u:p%40ss@h/").unwrap()
        else {
            panic!("no REST server");
        };
        assert_eq!(user.as_deref(), Some("u"));
        assert_eq!(password.unwrap().expose_secret(), "p@ss");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_without_secrets() {
        for (given, word) in [
            ("", "empty"),
            ("local:", "path"),
            ("b2:bucket", "b2"),
            ("rclone:x:y", "rclone"),
            ("s3:", "bucket"),
            ("s3:https://h/", "bucket"),
            ("s3:https://key:hunter2@h/b", "AWS_ACCESS_KEY_ID"),
            ("s3:b/x//y", "prefix"),
            ("s3:b/../y", "prefix"),
            ("gs:b/p", "gs:bucket:/prefix"),
            ("azure:", "azure:container:/prefix"),
            ("rest:h/p", "rest:https://"),
            ("rest:https://u:hunter2@", "rest:https://"),
            ("rest:http://h/?x=hunter2", "`?`"),
            ("sftp:host", "sftp:user@host:/path"),
            ("sftp:-oProxyCommand=x:/v", "host"),
            ("sftp:u@-oProxyCommand=x:/v", "host"),
            ("sftp:u@h:", "path"),
            ("sftp://u:hunter2@h/v", "password"),
            ("sftp://h:x/v", "port"),
        ] {
            let error = Place::parse(given).unwrap_err().to_string();
            assert!(error.contains(word), "{given}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
