//! Who may pull: names and passwords (basic authentication).

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// Pairs that were right, at most so many: bcrypt is slow by intention, and a pull asks often.
const MAX_REMEMBERED: usize = 10_000;

/// Names and passwords.
#[derive(Default)]
pub struct Users {
    known: BTreeMap<String, Secret>,
    /// Hashes of `name:password` that were right. The lock also lets only one password be tried at a time, so that
    /// guessing costs one core at most.
    right: Mutex<HashSet<[u8; 32]>>,
    pushers: Option<BTreeSet<String>>,
}

enum Secret {
    Bcrypt(String),
    /// SHA-256 of a password that was given in clear.
    Plain([u8; 32]),
}

impl Users {
    /// Adds one with a password in clear.
    pub fn add(&mut self, name: &str, password: &[u8]) {
        let secret = Secret::Plain(Sha256::digest(password).into());
        self.known.insert(name.to_owned(), secret);
    }

    /// Adds those of a file as `htpasswd -B` writes it, and as Docker's registry takes it.
    ///
    /// # Errors
    /// It cannot be read, or has a line with anything but bcrypt.
    pub fn add_htpasswd(&mut self, path: &Path) -> Result<()> {
        let bad = |number: usize, why: &str| {
            let file = path.display().to_string();
            Error::Users(format!("{file}, line {number}: {why}"))
        };
        let text = fs_err::read_to_string(path).map_err(Error::io("read the users"))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line
                .split_once(':')
                .ok_or_else(|| bad(number + 1, "there is no `:` in it"))?;
            if !["$2y$", "$2a$", "$2b$"]
                .iter()
                .any(|kind| hash.starts_with(kind))
            {
                let why = "only bcrypt is taken; make it anew with `htpasswd -B`";
                return Err(bad(number + 1, why));
            }
            let secret = Secret::Bcrypt(hash.to_owned());
            self.known.insert(name.to_owned(), secret);
        }
        Ok(())
    }

    /// Lets these alone push and delete; without it all may.
    pub fn only_these_push(&mut self, names: impl IntoIterator<Item = String>) {
        self.pushers = Some(names.into_iter().collect());
    }

    pub(super) fn may_push(&self, name: &str) -> bool {
        let pushers = self.pushers.as_ref();
        pushers.is_none_or(|pushers| pushers.contains(name))
    }

    /// What changes with the password of a name.
    pub(super) fn stamp(&self, name: &str) -> Option<String> {
        let hash = match self.known.get(name)? {
            Secret::Bcrypt(hash) => Sha256::digest(hash.as_bytes()),
            Secret::Plain(hash) => Sha256::digest(hash),
        };
        Some(hex::encode(&hash[..8]))
    }

    /// Whether this is the password of a name.
    pub(super) fn is(&self, name: &str, password: &[u8]) -> bool {
        let mut pair = name.as_bytes().to_vec();
        pair.push(b':');
        pair.extend_from_slice(password);
        self.fits(&pair).is_some()
    }

    /// Whose `Authorization` this is (basic).
    pub(super) fn who(&self, header: Option<&str>) -> Option<String> {
        let (kind, coded) = header?.trim().split_once(' ')?;
        if !kind.eq_ignore_ascii_case("basic") {
            return None;
        }
        self.fits(&BASE64_STANDARD.decode(coded.trim()).ok()?)
    }

    /// The name in `name:password`, if they go together.
    fn fits(&self, pair: &[u8]) -> Option<String> {
        let colon = pair.iter().position(|&b| b == b':')?;
        let (name, password) = (&pair[..colon], &pair[colon + 1..]);
        let name = std::str::from_utf8(name).ok()?;
        let secret = self.known.get(name)?;
        let hash: [u8; 32] = Sha256::digest(pair).into();
        let mut right = self.right.lock();
        if right.contains(&hash) {
            return Some(name.to_owned());
        }
        let fits = match secret {
            // Of hashes, time tells nothing that helps.
            Secret::Plain(wanted) => *wanted == <[u8; 32]>::from(Sha256::digest(password)),
            Secret::Bcrypt(wanted) => bcrypt::verify(password, wanted).unwrap_or(false),
        };
        if fits && right.len() < MAX_REMEMBERED {
            right.insert(hash);
        }
        fits.then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }

    #[test]
    fn who_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        let hash = bcrypt::hash("secret", 4).unwrap();
        fs_err::write(&file, format!("# ours\nann:{hash}\n\n")).unwrap();
        let mut users = Users::default();
        users.add("bob", b"other: one");
        users.add_htpasswd(&file).unwrap();
        for (header, known) in [
            (Some(basic("ann:secret")), true),
            (Some(basic("ann:secret")), true),
            (Some(basic("bob:other: one")), true),
            (Some(basic("ann:wrong")), false),
            (Some(basic("ann:")), false),
            (Some(basic("eve:secret")), false),
            (Some(basic("ann")), false),
            (Some("Basic !".to_owned()), false),
            (Some("Bearer x".to_owned()), false),
            (None, false),
        ] {
            assert_eq!(users.who(header.as_deref()).is_some(), known, "{header:?}");
        }
        fs_err::write(&file, "ann:{SHA}abc\n").unwrap();
        let refused = users.add_htpasswd(&file).unwrap_err().to_string();
        assert!(
            refused.contains("line 1") && refused.contains("htpasswd -B"),
            "{refused}"
        );
        assert!(!refused.contains("abc"), "{refused}");
    }
}
