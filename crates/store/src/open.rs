//! From a location that a person wrote to a store.

use std::{io, path::Path, sync::Arc};

use crate::{LocalStore, Result, Store, StoreError};

/// Opens the store at a location: a plain path, or `local:PATH`. Does not look whether anything
/// is there.
pub fn open(location: &str) -> Result<Arc<dyn Store>> {
    if location.is_empty() {
        return Err(refused(
            "the location is empty; give the path of a directory".to_owned(),
        ));
    }
    let path = match location.split_once(':') {
        Some(("local", path)) if !path.is_empty() => path,
        Some(("local", _)) => {
            return Err(refused("`local:` needs a path behind it".to_owned()));
        }
        // `/a:b`, `./a:b` and `a/b:c` are paths; `s3:…`, `sftp:…`, `rest:http://…` are not.
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err(refused(format!(
                "`{scheme}:` is not supported yet; give the path of a directory (one whose name has a colon as `local:PATH`)"
            )));
        }
        _ => location,
    };
    Ok(Arc::new(LocalStore::new(Path::new(path))))
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn refused(reason: String) -> StoreError {
    StoreError::Io {
        context: "open the vault's location".to_owned(),
        source: io::Error::new(io::ErrorKind::Unsupported, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (given, path) in [
            ("/srv/vault", "/srv/vault"),
            ("local:/srv/vault", "/srv/vault"),
            ("local:with:colon", "with:colon"),
            ("/a:b", "/a:b"),
            ("./s3:x", "./s3:x"),
        ] {
            assert_eq!(open(given).unwrap().location(), path);
        }
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for given in ["s3:bucket", "rest:http://h/", "sftp:u@h:/p", "local:", ""] {
            let error = open(given).map(|_| ()).unwrap_err().to_string();
            assert!(
                given.is_empty() || error.contains(given.split(':').next().unwrap()),
                "{error}"
            );
        }
        let error = open("s3:bucket").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("not supported yet"));
    }
}
