//! What should be there, and the look from outside that compares.

use std::{collections::BTreeMap, io::Read as _};

use lifeboat_store::Dice;
use lifeboat_vault::{
    BlobId, ChunkPolicy, Descend, Metadata, Node, NodeKind, Reader, Result, Snapshot, SnapshotId,
    Tree, VaultError, Writer,
};

/// Files by path; directories are those that the paths name.
pub type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// A point that somebody tried to make.
pub struct Attempt {
    pub files: Files,
    /// The vault said that it is safe.
    pub acknowledged: Option<SnapshotId>,
    /// Somebody asked for it to be forgotten: it may be there or not.
    pub forgetting: bool,
    /// The vault said that it is forgotten.
    pub forgotten: bool,
}

/// All points that anybody tried to make, by the tag that they bear.
#[derive(Default)]
pub struct Model {
    pub attempts: Vec<Attempt>,
}

impl Model {
    /// A new attempt, before anything is written.
    pub fn begin(&mut self, files: Files) -> usize {
        self.attempts.push(Attempt {
            files,
            acknowledged: None,
            forgetting: false,
            forgotten: false,
        });
        self.attempts.len() - 1
    }

    /// The attempt that a snapshot belongs to.
    pub fn number(&self, snapshot: &Snapshot) -> Option<usize> {
        let tag = snapshot.tags.first()?.strip_prefix("attempt-")?;
        let number = tag.parse().ok()?;
        (number < self.attempts.len()).then_some(number)
    }
}

/// Files of a few pieces out of a small stock, so that points share much and differ a little.
pub fn files(dice: &mut Dice) -> Files {
    let mut files = Files::new();
    for _ in 0..dice.below(6) {
        let path = match dice.below(3) {
            0 => format!("f{}", dice.below(4)),
            1 => format!("a/f{}", dice.below(3)),
            _ => format!("a/b{}/f{}", dice.below(2), dice.below(2)),
        };
        let mut bytes = Vec::new();
        for _ in 0..dice.below(4) {
            bytes.extend(piece(dice.below(12)));
        }
        // A tail of its own, now and then.
        if dice.chance(300) {
            bytes.extend(dice.number().to_le_bytes());
        }
        files.insert(path.into_bytes(), bytes);
    }
    files
}

fn piece(number: u64) -> Vec<u8> {
    let mut dice = Dice::apart(number, 77);
    let blocks = 1 + number as usize % 3;
    let bytes = std::iter::repeat_with(|| dice.number().to_le_bytes());
    bytes.take(blocks * BLOCK / 8).flatten().collect()
}

const BLOCK: usize = 2048;

/// Saves them; the root tree.
pub fn save(writer: &Writer, files: &Files) -> Result<BlobId> {
    let mut nodes: BTreeMap<Vec<u8>, Node> = BTreeMap::new();
    let mut below: BTreeMap<Vec<u8>, Files> = BTreeMap::new();
    for (path, bytes) in files {
        if let Some(at) = path.iter().position(|byte| *byte == b'/') {
            let inside = below.entry(path[..at].to_vec()).or_default();
            inside.insert(path[at + 1..].to_vec(), bytes.clone());
            continue;
        }
        let size = BLOCK as u32;
        let mut file = writer.file(ChunkPolicy::Fixed { size }, bytes.len() as u64);
        file.write(bytes)?;
        let saved = file.finish()?;
        let kind = NodeKind::File {
            size: saved.size,
            content: saved.content,
        };
        nodes.insert(path.clone(), node(path, kind));
    }
    for (name, inside) in below {
        let subtree = save(writer, &inside)?;
        nodes.insert(name.clone(), node(&name, NodeKind::Dir { subtree }));
    }
    let nodes = nodes.into_values().collect();
    writer.tree(&Tree { nodes })
}

fn node(name: &[u8], kind: NodeKind) -> Node {
    let meta = Metadata {
        mode: 0o700,
        links: 1,
        ..Metadata::default()
    };
    Node {
        name: name.to_vec(),
        kind,
        meta,
    }
}

/// Reads all of a point back.
pub fn load(reader: &Reader, root: BlobId) -> Result<Files> {
    let mut files = Files::new();
    reader.walk(root, &mut |path, node| {
        if matches!(node.kind, NodeKind::File { .. }) {
            let mut bytes = Vec::new();
            let mut file = reader.file(node)?;
            file.read_to_end(&mut bytes)
                .map_err(lifeboat_vault::FileReader::error)?;
            files.insert(path.to_vec(), bytes);
        }
        Ok::<_, VaultError>(Descend::Into)
    })?;
    Ok(files)
}
