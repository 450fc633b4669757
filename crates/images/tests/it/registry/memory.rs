//! A place for blobs in memory, and a small registry's content to fetch.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Mutex,
};

use lifeboat_images::{BlobWriter, Digest, registry::BlobStore};
use serde_json::json;

#[derive(Default)]
pub struct Memory(pub Mutex<BTreeMap<Digest, Vec<u8>>>);

struct Blob<'m>(Vec<u8>, &'m Memory);

impl Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for Blob<'_> {
    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<()> {
        assert_eq!(self.0.len() as u64, size);
        assert_eq!(Digest::of(&self.0), *digest);
        self.1.0.lock().unwrap().insert(digest.clone(), self.0);
        Ok(())
    }
}

impl BlobStore for Memory {
    fn has(&self, digest: &Digest) -> bool {
        self.0.lock().unwrap().contains_key(digest)
    }

    fn begin(&self, _size: u64) -> io::Result<Box<dyn BlobWriter + '_>> {
        Ok(Box::new(Blob(Vec::new(), self)))
    }
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image of one layer.
pub struct Image {
    pub config: Vec<u8>,
    pub layer: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl Image {
    pub fn new(seed: u8) -> Self {
        let config =
            format!(r#"{{"architecture":"amd64","os":"linux","seed":{seed}}}"#).into_bytes();
        let layer: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8 ^ seed).collect();
        let link = |bytes: &[u8]| json!({"mediaType": "x", "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": link(&config), "layers": [link(&layer)]});
        Self {
            manifest: manifest.to_string().into_bytes(),
            config,
            layer,
        }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}
