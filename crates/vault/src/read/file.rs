//! A file's content as a stream that can be read from anywhere.

use std::io::{self, Read, Seek, SeekFrom};

use super::Reader;
use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
};

/// Reads a file: `Read` and `Seek`, or [`FileReader::next_chunk`] without copying.
///
/// Holds one blob in memory. A seek costs a binary search, and a read of one blob where it lands in another.
/// An [`io::Error`] from here holds a [`VaultError`], see [`FileReader::error`].
pub struct FileReader {
    reader: Reader,
    content: Vec<BlobId>,
    /// Where each blob ends in the file.
    ends: Vec<u64>,
    position: u64,
    /// Number of a blob and its bytes.
    current: Option<(usize, Vec<u8>)>,
}

impl FileReader {
    pub(super) fn new(
        reader: Reader,
        name: &[u8],
        size: u64,
        content: Vec<BlobId>,
    ) -> Result<FileReader> {
        let kind = BlobKind::Data;
        let mut ends = Vec::with_capacity(content.len());
        let mut end = 0_u64;
        for &id in &content {
            let length = reader.blob_len(kind, id).ok_or(VaultError::MissingBlob {
                kind: kind.as_str(),
                id,
            })?;
            // Lengths are below 2^32, and there are far fewer than 2^32 blobs in memory.
            end = end.saturating_add(length);
            ends.push(end);
        }
        if end != size {
            let name = name.escape_ascii();
            let why = format!("its blobs have {end} bytes, its node says {size}");
            return Err(VaultError::damaged(format!("file `{name}`"), why));
        }
        Ok(FileReader {
            reader,
            content,
            ends,
            position: 0,
            current: None,
        })
    }

    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from here to the end of their blob, and the position behind them. Empty at the end
    /// of the file.
    pub fn next_chunk(&mut self) -> Result<&[u8]> {
        let position = self.position;
        let from = self.load()?;
        let chunk = self
            .current
            .as_ref()
            .and_then(|(_, bytes)| bytes.get(from..))
            .unwrap_or_default();
        self.position = position + chunk.len() as u64;
        Ok(chunk)
    }

    /// What the vault said, where an [`io::Error`] came from a `FileReader`.
    pub fn error(error: io::Error) -> VaultError {
        match error.downcast::<VaultError>() {
            Ok(error) => error,
            Err(source) => VaultError::Io {
                context: "read a file of the vault".to_owned(),
                source,
            },
        }
    }

    /// Makes the blob at the position the current one, and returns where in it the position lies. No blob
    /// is current behind the end.
    fn load(&mut self) -> Result<usize> {
        let number = self.ends.partition_point(|&end| end <= self.position);
        let (Some(&id), Some(&end)) = (self.content.get(number), self.ends.get(number)) else {
            self.current = None;
            return Ok(0);
        };
        let begin = if number == 0 {
            0
        } else {
            self.ends[number - 1]
        };
        if self
            .current
            .as_ref()
            .is_none_or(|(current, _)| *current != number)
        {
            // The old blob goes before the new one comes.
            self.current = None;
            let bytes = self.reader.blob(BlobKind::Data, id)?;
            if bytes.len() as u64 != end - begin {
                let why = "it has not the length that the index says";
                return Err(VaultError::damaged(format!("data blob {id}"), why));
            }
            self.current = Some((number, bytes));
        }
        Ok((self.position - begin) as usize)
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let from = self.load().map_err(io::Error::other)?;
        let rest = self
            .current
            .as_ref()
            .and_then(|(_, bytes)| bytes.get(from..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek to before the beginning of a file",
            )
        })?;
        Ok(self.position)
    }
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileReader({} of {} bytes)", self.position, self.len())
    }
}
