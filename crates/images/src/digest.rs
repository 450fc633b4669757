//! Digests as images use them (SHA-256, now and then SHA-512), and writers that compute them on the way.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256, Sha512};

/// What a digest is computed with: the two that the image specification has registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `sha256`
    Sha256,
    /// `sha512`
    Sha512,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// As digests have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// Begins to compute one.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// Computes a digest piece by piece.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256
    Sha256(Sha256),
    /// SHA-512
    Sha512(Sha512),
}

impl Hasher {
    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self {
            Self::Sha256(hasher) => (Algorithm::Sha256, hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => (Algorithm::Sha512, hex::encode(hasher.finalize())),
        };
        Digest { algorithm, hex }
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits, or `sha512:` and 128, nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The SHA-256 digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_as(Algorithm::Sha256, bytes)
    }

    /// The digest of some bytes.
    #[must_use]
    pub fn of_as(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = algorithm.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of all that a reader gives.
    ///
    /// # Errors
    /// It breaks off.
    pub fn of_reader(algorithm: Algorithm, mut reader: impl io::Read) -> io::Result<Self> {
        let mut hasher = algorithm.hasher();
        io::copy(&mut reader, &mut hasher)?;
        Ok(hasher.finish())
    }

    pub(crate) fn from_hasher(hasher: Sha256) -> Self {
        Hasher::Sha256(hasher).finish()
    }

    /// What it is computed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Where a layout keeps the blob: `blobs/sha256/<digits>`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{BLOBS}{}/{}", self.algorithm.name(), self.hex)
    }

    /// The digest that a layout's path stands for.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let (algorithm, hex) = path.strip_prefix(BLOBS)?.split_once('/')?;
        Self::from_parts(algorithm, hex)
    }

    fn from_parts(algorithm: &str, hex: &str) -> Option<Self> {
        let algorithm = Algorithm::ALL.into_iter().find(|a| a.name() == algorithm)?;
        let valid = hex.len() == algorithm.digits()
            && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }
}

const BLOBS: &str = "blobs/";

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (algorithm, hex) = text.split_once(':').ok_or(())?;
        Self::from_parts(algorithm, hex).ok_or(())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom(format!("{text:?} is no SHA-256 or SHA-512 digest"));
        text.parse().map_err(|()| wrong())
    }
}

/// Computes the digest of a layer's bytes and that of its unpacked content (the diff id) in one go.
pub(crate) struct LayerHasher {
    raw: Hasher,
    content: Content,
    /// The first bytes, until there are enough to tell the compression.
    head: Vec<u8>,
}

enum Content {
    Undecided,
    Plain,
    Gzip(Box<flate2::write::MultiGzDecoder<HashWriter>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, HashWriter>>),
    /// It began as something compressed and is not.
    Broken,
}

struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

impl LayerHasher {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::of(Algorithm::Sha256)
    }

    /// For a blob whose digest is of this kind.
    pub(crate) fn of(algorithm: Algorithm) -> Self {
        Self {
            raw: algorithm.hasher(),
            content: Content::Undecided,
            head: Vec::new(),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.raw.update(bytes);
        if !matches!(self.content, Content::Undecided) {
            self.unpack(bytes);
            return;
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() >= ZSTD.len() {
            self.decide();
        }
    }

    fn decide(&mut self) {
        let sink = HashWriter(Sha256::new());
        self.content = if self.head.starts_with(GZIP) {
            Content::Gzip(Box::new(flate2::write::MultiGzDecoder::new(sink)))
        } else if self.head.starts_with(ZSTD) {
            zstd::stream::write::Decoder::new(sink)
                .map_or(Content::Broken, |decoder| Content::Zstd(Box::new(decoder)))
        } else {
            Content::Plain
        };
        let head = std::mem::take(&mut self.head);
        self.unpack(&head);
    }

    fn unpack(&mut self, bytes: &[u8]) {
        let unpacked = match &mut self.content {
            Content::Gzip(decoder) => decoder.write_all(bytes),
            Content::Zstd(decoder) => decoder.write_all(bytes),
            Content::Undecided | Content::Plain | Content::Broken => Ok(()),
        };
        if unpacked.is_err() {
            self.content = Content::Broken;
        }
    }

    /// The digest, and the diff id unless the content cannot be unpacked.
    pub(crate) fn finish(mut self) -> (Digest, Option<Digest>) {
        if matches!(self.content, Content::Undecided) {
            self.decide();
        }
        let digest = self.raw.finish();
        let diff_id = match self.content {
            Content::Gzip(decoder) => decoder
                .finish()
                .ok()
                .map(|hash| Digest::from_hasher(hash.0)),
            Content::Zstd(mut decoder) => {
                let whole = decoder.flush().is_ok();
                whole.then(|| Digest::from_hasher(decoder.into_inner().0))
            }
            Content::Broken => None,
            Content::Undecided | Content::Plain => Some(digest.clone()),
        };
        (digest, diff_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_exactly_that() {
        let hex = "ab".repeat(32);
        assert_eq!(
            format!("sha256:{hex}").parse::<Digest>().unwrap().path(),
            format!("blobs/sha256/{hex}")
        );
        let long = format!("sha512:{}", "ab".repeat(64));
        assert_eq!(
            long.parse::<Digest>().unwrap().path(),
            format!("blobs/sha512/{}", "ab".repeat(64))
        );
        assert_eq!(
            Digest::of_as(Algorithm::Sha512, b"abc").hex()[..16],
            *"ddaf35a193617aba"
        );
        for bad in [
            hex.clone(),
            format!("sha512:{hex}"),
            format!("sha256:{}", "ab".repeat(64)),
            format!("sha256:{}", "AB".repeat(32)),
            format!("sha256:{hex}0"),
            "sha256:../../x".to_owned(),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert_eq!(Digest::from_path("blobs/sha256/../../etc/passwd"), None);
    }

    #[test]
    fn unpacks_what_is_compressed() {
        let content = b"layer content ".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content).unwrap();
        let zstd = zstd::encode_all(content.as_slice(), 3).unwrap();
        for packed in [content.clone(), gzip.finish().unwrap(), zstd] {
            let mut hasher = LayerHasher::new();
            packed.chunks(3).for_each(|piece| hasher.update(piece));
            assert_eq!(
                hasher.finish(),
                (Digest::of(&packed), Some(Digest::of(&content)))
            );
        }
        let mut hasher = LayerHasher::new();
        hasher.update(&[0x1f, 0x8b, 0, 0, 1, 2, 3, 4]);
        assert_eq!(hasher.finish().1, None);
        let mut tiny = LayerHasher::new();
        tiny.update(b"ab");
        assert_eq!(tiny.finish(), (Digest::of(b"ab"), Some(Digest::of(b"ab"))));
    }
}
