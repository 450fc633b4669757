//! What is expensive to make is made once: images, tools built from source.
//!
//! The place is the user's cache directory, outside any clone: `LIFEBOAT_CACHE`, else
//! `$XDG_CACHE_HOME/lifeboat`, else `~/.cache/lifeboat`. An entry is named by a word and by the
//! hash of its recipe, so that another recipe is another entry and a fresh clone with the same
//! recipe finds what is there.
//!
//! An entry is made under a temporary name and renamed when it is whole: what a crash leaves is
//! a temporary directory, taken away by the next builder of that entry, never half an entry. A lock
//! on a file beside it keeps two processes from making the same thing twice.

use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// The directory of the cache, made if it is not there.
pub fn dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dir = match (set("LIFEBOAT_CACHE"), set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(dir), _, _) => PathBuf::from(dir),
        (_, Some(dir), _) => PathBuf::from(dir).join("lifeboat"),
        (_, _, Some(home)) => PathBuf::from(home).join(".cache/lifeboat"),
        _ => {
            return Err(Error::Unsupported(
                "no place for the cache: neither LIFEBOAT_CACHE nor XDG_CACHE_HOME nor HOME is set"
                    .into(),
            ));
        }
    };
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Gives the directory of the entry `name` made by `recipe`, making it with `build` if it is missing.
///
/// `recipe` has to hold all that the result depends on. `build` gets an empty directory to fill.
pub fn entry<F>(name: &str, recipe: &str, build: F) -> Result<PathBuf>
where
    F: FnOnce(&Path) -> Result<()>,
{
    entry_in(&dir()?, name, recipe, build)
}

/// As [`entry`], in a cache at a given place.
pub fn entry_in<F>(cache: &Path, name: &str, recipe: &str, build: F) -> Result<PathBuf>
where
    F: FnOnce(&Path) -> Result<()>,
{
    let key = hex::encode(&Sha256::digest(recipe.as_bytes())[..8]);
    let whole = cache.join(format!("{name}-{key}"));
    if whole.is_dir() {
        return Ok(whole);
    }
    let _lock = lock(&cache.join(format!(".{name}-{key}.lock")))?;
    if whole.is_dir() {
        return Ok(whole); // Another process made it while we waited.
    }
    let temporary = cache.join(format!(".{name}-{key}.tmp"));
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir(&temporary)?;
    let built = build(&temporary);
    if let Err(error) = built {
        let _ = fs::remove_dir_all(&temporary);
        return Err(error);
    }
    fs::write(temporary.join("recipe"), recipe)?;
    fs::rename(&temporary, &whole)?;
    Ok(whole)
}

/// Takes an exclusive lock on a file, waiting for it. The lock ends when the value is dropped.
pub fn lock(path: &Path) -> Result<fs::File> {
    let file = fs::File::create(path)?;
    rustix::fs::flock(file.file(), FlockOperation::LockExclusive)
        .map_err(|errno| Error::malformed(path.display().to_string(), errno))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn is_built_once_for_a_recipe_even_by_many_at_once() {
        let cache = tempfile::tempdir().unwrap();
        let built = AtomicU32::new(0);
        let make = |recipe: &str| {
            entry_in(cache.path(), "thing", recipe, |dir| {
                built.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(30));
                Ok(fs::write(dir.join("content"), recipe)?)
            })
            .unwrap()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| make("one"));
            }
        });
        assert_eq!(built.load(Ordering::SeqCst), 1);
        let other = make("two");
        assert_eq!(built.load(Ordering::SeqCst), 2);
        assert_eq!(fs::read_to_string(other.join("content")).unwrap(), "two");
        assert_ne!(make("one"), other);
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_can_be_run_again() {
        let cache = tempfile::tempdir().unwrap();
        let fails = |dir: &Path| {
            fs::write(dir.join("half"), "half")?;
            Err(Error::Broken("no".into()))
        };
        entry_in(cache.path(), "thing", "r", fails).unwrap_err();
        let dir = entry_in(cache.path(), "thing", "r", |_| Ok(())).unwrap();
        assert!(!dir.join("half").exists());
    }
}
