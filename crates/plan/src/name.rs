//! Names with checked constructors: site, host, app.
//!
//! A name is what a person types and what a recovery point is found by, so it is plain: ASCII
//! letters, digits, `_`, `.` and `-`, beginning with a letter or a digit. `/` and `@` are the
//! syntax of references and can therefore not occur. The one special form is `volume:NAME`, the
//! app that a volume is when nothing else claims it; what a volume driver allows in NAME beyond
//! the above is percent-escaped in the text form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest site name, in bytes.
pub const MAX_SITE: usize = 64;
/// The longest host name, in bytes (DNS allows no more).
pub const MAX_HOST: usize = 253;
/// The longest app name, in bytes (a file name on Linux is no longer).
pub const MAX_APP: usize = 255;
/// What stands before the name of a volume that is an app of its own.
pub const VOLUME_PREFIX: &str = "volume:";

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a {what} cannot be empty: give it letters, digits, `_`, `.` or `-`")]
    Empty {
        /// `site`, `host` or `app name`.
        what: &'static str,
    },
    /// Too long.
    #[error("the {what} `{name}` is {length} bytes long: the longest allowed is {max}")]
    TooLong {
        /// `site`, `host` or `app name`.
        what: &'static str,
        /// The beginning of the offending text.
        name: String,
        /// Its length.
        length: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A character that cannot be in a name.
    #[error(
        "the {what} `{name}` holds {character:?}: only ASCII letters, digits, `_`, `.` and `-` are allowed, beginning with a letter or a digit"
    )]
    Character {
        /// `site`, `host` or `app name`.
        what: &'static str,
        /// The offending text.
        name: String,
        /// The offending character.
        character: char,
    },
    /// An escape that nobody would have written so.
    #[error(
        "the app name `{name}` holds a broken `%` escape: write it as `lifeboat points` shows it"
    )]
    Escape {
        /// The offending text.
        name: String,
    },
}

/// `true` for a character that stands for itself in names, paths and file names.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn check(what: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else {
        return Err(NameError::Empty { what });
    };
    if text.len() > max {
        let name = text.chars().take(40).collect::<String>() + "…";
        return Err(NameError::TooLong {
            what,
            name,
            length: text.len(),
            max,
        });
    }
    let bad = if first.is_ascii_alphanumeric() {
        text.chars().find(|c| !u8::try_from(*c).is_ok_and(is_plain))
    } else {
        Some(first)
    };
    match bad {
        None => Ok(()),
        Some(character) => Err(NameError::Character {
            what,
            name: text.to_owned(),
            character,
        }),
    }
}

/// Escapes every byte but ASCII letters, digits, `_`, `-` and `.` as `%XX`; a leading `.` too, so
/// that the result is never hidden and never `.` or `..`. Injective; names in Docker's own grammar
/// come out unchanged.
#[must_use]
pub fn escape(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(byte) && !(at == 0 && byte == b'.') {
            out.push(char::from(byte));
        } else {
            // Writing into a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The inverse of [`escape`]. `None` for anything that [`escape`] would not have written, so that
/// one name has one text form.
#[must_use]
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (high, low) = (*tail.first()?, *tail.get(1)?);
            let digit = |b: u8| {
                char::from(b)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            };
            bytes.push(digit(high)? * 16 + digit(low)?);
            rest = tail.get(2..)?;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let plain = String::from_utf8(bytes).ok()?;
    (escape(&plain) == text).then_some(plain)
}

/// Makes the nearest allowed name of any text: what is not allowed becomes `-`.
fn nearest(text: &str, max: usize, fallback: &str) -> String {
    let mapped: String = text
        .chars()
        .map(|c| {
            if u8::try_from(c).is_ok_and(is_plain) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let trimmed = mapped.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let cut: String = trimmed.chars().take(max).collect();
    if cut.is_empty() {
        fallback.to_owned()
    } else {
        cut
    }
}

macro_rules! simple_name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NameError`] if it is empty, too long, or holds a character that is not allowed.
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                check($what, &name, $max)?;
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
    };
}

simple_name!(
    /// The name of a site: letters, digits, `_`, `.`, `-`; at most 64 bytes. Default: `default`.
    SiteName, "site", MAX_SITE
);
simple_name!(
    /// The name of a host, given once: letters, digits, `_`, `.`, `-`; at most 253 bytes.
    HostName, "host", MAX_HOST
);

impl Default for SiteName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl HostName {
    /// The host name that an engine's own host name stands for by default. Never fails: what is not
    /// allowed becomes `-`, and nothing at all becomes `host`.
    #[must_use]
    pub fn from_engine(hostname: &str) -> Self {
        Self(nearest(hostname, MAX_HOST, "host"))
    }
}

/// The name of an app within its host: a plain name, or `volume:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

impl AppName {
    /// Checks and takes the text form, as it is shown and typed.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, too long, or holds a character that is not allowed.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        match name.strip_prefix(VOLUME_PREFIX) {
            None => check("app name", &name, MAX_APP)?,
            Some(escaped) => {
                let volume =
                    unescape(escaped).ok_or_else(|| NameError::Escape { name: name.clone() })?;
                return Self::of_volume(&volume);
            }
        }
        Ok(Self(name))
    }

    /// The app that an unclaimed volume is.
    ///
    /// # Errors
    /// [`NameError`] if the volume's name is empty, too long, or holds control characters.
    pub fn of_volume(volume: &str) -> Result<Self, NameError> {
        let what = "volume name";
        if volume.is_empty() {
            return Err(NameError::Empty { what });
        }
        if volume.len() > MAX_APP {
            let name = volume.chars().take(40).collect::<String>() + "…";
            return Err(NameError::TooLong {
                what,
                name,
                length: volume.len(),
                max: MAX_APP,
            });
        }
        if let Some(character) = volume.chars().find(|c| c.is_control()) {
            return Err(NameError::Character {
                what,
                name: volume.escape_debug().to_string(),
                character,
            });
        }
        Ok(Self(format!("{VOLUME_PREFIX}{}", escape(volume))))
    }

    /// The nearest allowed name: what is not allowed becomes `-`. For engines' objects whose names
    /// are freer than ours; the caller says so.
    #[must_use]
    pub fn nearest(text: &str) -> Self {
        Self(nearest(text, MAX_APP, "app"))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The volume's name, if this app is a volume.
    #[must_use]
    pub fn volume(&self) -> Option<String> {
        self.0.strip_prefix(VOLUME_PREFIX).and_then(unescape)
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for AppName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken_and_odd_ones_refused() {
        for good in ["shop", "Shop_2.web-1", "0", &"a".repeat(255)] {
            assert_eq!(AppName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-x",
            ".x",
            "_x",
            "a/b",
            "a@b",
            "a b",
            "Bücher",
            "a\n",
            "a:b",
            &"a".repeat(256),
        ] {
            assert!(AppName::new(bad).is_err(), "{bad:?}");
        }
        assert!(SiteName::new("a".repeat(65)).is_err());
        assert_eq!(SiteName::default().as_str(), "default");
    }

    #[test]
    fn a_volume_is_an_app_and_its_name_comes_back() {
        let app = AppName::of_volume("shop_db").unwrap();
        assert_eq!(app.as_str(), "volume:shop_db");
        assert_eq!(app.volume().as_deref(), Some("shop_db"));
        let odd = AppName::of_volume("remote/dir@1 ü").unwrap();
        assert_eq!(odd.as_str(), "volume:remote%2Fdir%401%20%C3%BC");
        assert_eq!(odd.volume().as_deref(), Some("remote/dir@1 ü"));
        assert_eq!(AppName::new(odd.as_str()).unwrap(), odd);
        assert_eq!(AppName::new("shop").unwrap().volume(), None);
        for bad in [
            "volume:",
            "volume:a/b",
            "volume:%2",
            "volume:%41",
            "volume:%2f",
            "volume:%FF",
        ] {
            assert!(AppName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn escaped_names_are_never_hidden_or_parents() {
        assert_eq!(escape(".."), "%2E.");
        assert_eq!(escape("."), "%2E");
        assert_eq!(escape("shop_db.1-x"), "shop_db.1-x");
    }

    #[test]
    fn a_host_name_is_made_of_anything() {
        assert_eq!(HostName::from_engine("web01").as_str(), "web01");
        assert_eq!(HostName::from_engine("büro pc").as_str(), "b-ro-pc");
        assert_eq!(HostName::from_engine("").as_str(), "host");
        assert!(HostName::new(HostName::from_engine("-.-ü/@x").as_str()).is_ok());
    }

    #[test]
    fn errors_say_what_and_why() {
        let text = AppName::new("a b").unwrap_err().to_string();
        assert!(text.contains("`a b`") && text.contains("' '"), "{text}");
    }

    #[test]
    fn serde_checks_too() {
        assert!(serde_json::from_str::<AppName>("\"../x\"").is_err());
        assert_eq!(
            serde_json::to_string(&AppName::new("shop").unwrap()).unwrap(),
            "\"shop\""
        );
    }
}
