//! Images without an engine: hand-made streams, layouts and registries, good and hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod hostile;
mod registry;
mod streams;

use lifeboat_images::Digest;
use serde_json::{Value, json};

/// An image as `docker save` of engines up to 24 writes it.
pub struct Legacy {
    pub layers: Vec<Vec<u8>>,
    pub config: Vec<u8>,
}

impl Legacy {
    pub fn new(layers: &[&[u8]]) -> Self {
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| Digest::of(layer).to_string())
            .collect();
        // Spaces and order as no serialiser of ours would write them: the bytes have to stay.
        let config = format!(
            "{{\"architecture\":\"amd64\", \"os\":\"linux\",\n \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":{}}}}}",
            json!(diff_ids)
        );
        Self {
            layers: layers.iter().map(|layer| layer.to_vec()).collect(),
            config: config.into_bytes(),
        }
    }

    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    /// Where layer `n` lies in the stream.
    pub fn layer_path(&self, n: usize) -> String {
        format!(
            "{}/layer.tar",
            Digest::of(&[self.config.as_slice(), &[n as u8]].concat()).hex()
        )
    }

    pub fn entry(&self, tags: &[&str]) -> Value {
        let layers: Vec<String> = (0..self.layers.len()).map(|n| self.layer_path(n)).collect();
        let tags = if tags.is_empty() {
            Value::Null
        } else {
            json!(tags)
        };
        json!({"Config": format!("{}.json", self.id().hex()), "RepoTags": tags, "Layers": layers})
    }

    pub fn files(&self) -> Vec<(String, Member)> {
        let mut out = vec![(
            format!("{}.json", self.id().hex()),
            Member::File(self.config.clone()),
        )];
        for (n, layer) in self.layers.iter().enumerate() {
            let path = self.layer_path(n);
            let directory = path.trim_end_matches("/layer.tar").to_owned();
            out.push((
                format!("{directory}/VERSION"),
                Member::File(b"1.0".to_vec()),
            ));
            out.push((format!("{directory}/json"), Member::File(b"{}".to_vec())));
            out.push((path, Member::File(layer.clone())));
        }
        out
    }

    pub fn stream(&self) -> Vec<u8> {
        let mut files = self.files();
        files.push((
            "manifest.json".to_owned(),
            Member::File(json!([self.entry(&[])]).to_string().into_bytes()),
        ));
        files.push(("repositories".to_owned(), Member::File(b"{}".to_vec())));
        tar(&files)
    }
}

/// A member of a hand-made archive.
#[derive(Clone)]
pub enum Member {
    File(Vec<u8>),
    Link(String),
    Fifo,
}

/// A tar stream whose names are written as they are, good or bad.
pub fn tar(files: &[(String, Member)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, member) in files {
        let mut header = tar::Header::new_gnu();
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o644);
        let content: &[u8] = match member {
            Member::File(content) => content,
            Member::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
                &[]
            }
            Member::Fifo => {
                header.set_entry_type(tar::EntryType::Fifo);
                &[]
            }
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer larger than what is kept in memory.
pub fn big_layer() -> Vec<u8> {
    (0..(9_u32 << 20) / 4)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}
