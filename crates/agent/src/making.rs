//! What is being made again at the moment: so that a container that an agent made and did not start before it died is told
//! from one that somebody else made.
//!
//! A file a name under `making/`, durable before the container is made.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Making(PathBuf);

impl Making {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("making"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name.replace('/', "_"))
    }

    /// It is about to be made.
    pub(crate) fn begin(&self, name: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.0)?;
        fs::File::create(self.path(name))?.sync_all()?;
        fs::File::open(&self.0)?.sync_all()
    }

    /// It runs.
    pub(crate) fn end(&self, name: &str) {
        // What stays behind says that one of this name is ours, which is true until somebody else makes one.
        if let Err(error) = fs::remove_file(self.path(name)) {
            tracing::debug!(%error, "what was being made is still written down");
        }
    }

    /// An agent began to make one of this name, and did not come to its end.
    pub(crate) fn has_begun(&self, name: &str) -> bool {
        self.path(name).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_is_known_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let making = Making::in_folder(dir.path());
        assert!(!making.has_begun("web"));
        making.begin("web").unwrap();
        making.begin("web").unwrap();
        assert!(Making::in_folder(dir.path()).has_begun("web"));
        making.end("web");
        making.end("web");
        assert!(!making.has_begun("web"));
    }
}
