//! A layout in a plain directory.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::{BlobWriter, Digest, LayoutSink, LayoutSource};

/// A layout in a directory, as sink and as source. Blobs appear under their name when they are whole;
/// what a crash leaves is a temporary file without a name of use. Not made durable: sync the file
/// system afterwards where that matters.
#[derive(Debug, Clone)]
pub struct DirectoryLayout {
    root: PathBuf,
}

impl DirectoryLayout {
    /// A layout in this directory, which is made when something is put into it.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
}

struct FileBlob {
    root: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Write for FileBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter for FileBlob {
    fn finish(self: Box<Self>, digest: &Digest, _size: u64) -> io::Result<()> {
        let path = self.root.join(digest.path());
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        self.file
            .persist(path)
            .map(drop)
            .map_err(|error| error.error)
    }
}

impl LayoutSink for DirectoryLayout {
    fn has_blob(&mut self, digest: &Digest) -> io::Result<bool> {
        self.root.join(digest.path()).try_exists()
    }

    fn begin_blob(&mut self) -> io::Result<Box<dyn BlobWriter + '_>> {
        let directory = self.root.join("blobs/sha256");
        fs_err::create_dir_all(&directory)?;
        Ok(Box::new(FileBlob {
            root: self.root.clone(),
            file: tempfile::NamedTempFile::new_in(directory)?,
        }))
    }

    fn put_file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        fs_err::create_dir_all(&self.root)?;
        fs_err::write(self.root.join(path), bytes)
    }
}

impl LayoutSource for DirectoryLayout {
    fn open(&self, path: &str) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let file = fs_err::File::open(self.root.join(path))?;
        let size = file.metadata()?.len();
        Ok((Box::new(file), size))
    }
}
