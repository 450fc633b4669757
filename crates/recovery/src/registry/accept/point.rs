//! A record into a recovery point.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::Arc,
};

use lifeboat_images::{
    Digest,
    registry::{Finding, RegistryRecord},
};
use lifeboat_vault::{BlobKind, ChunkPolicy, Node, NodeKind, Snapshot, Writer, WriterOptions};

use super::{
    change::Change,
    commit::{Committer, Head},
};
use crate::{
    Result,
    protect::{plain_file, program_version, summary, timestamp},
    registry::backup,
};

impl Committer {
    /// Makes a point of a record.
    pub fn point(
        &mut self,
        head: &Head,
        mut record: RegistryRecord,
        changes: &[Change],
        carried: &BTreeMap<Digest, Node>,
        began: jiff::Timestamp,
    ) -> Result<()> {
        let writer = self.vault.writer(WriterOptions::default())?;
        let mut files = BTreeMap::new();
        let mut fresh = BTreeSet::new();
        let mut lost = Vec::new();
        for digest in record.digests() {
            if let Some(node) = head
                .files
                .get(digest)
                .or_else(|| carried.get(digest))
                .filter(|node| is_whole(&writer, node))
            {
                files.insert(digest.clone(), node.clone());
                continue;
            }
            let node = match manifest(changes, digest) {
                Some(bytes) => Some(save(&writer, &mut &bytes[..], bytes.len() as u64)?),
                None => match self.staging.open_blob(digest)? {
                    Some((mut file, size)) => Some(save(&writer, &mut file, size)?),
                    None => None,
                },
            };
            match node {
                None => lost.push(digest.clone()),
                Some(saved) => {
                    fresh.insert(digest.clone());
                    files.insert(digest.clone(), plain_file(saved, timestamp(began)));
                }
            }
        }
        lose(&mut record, &lost);
        let nodes = |digest: &Digest| {
            let node = files.get(digest)?.clone();
            Some((node, fresh.contains(digest)))
        };
        let (tree, total) = backup::tree(&writer, &nodes, &record, began)?;
        let root = tree.write(&writer)?;
        writer.flush()?;
        let stats = writer.stats();
        let is_partial = !record.findings.is_empty();
        let snapshot = Snapshot {
            time: timestamp(began).to_rfc3339(),
            parent: head.point,
            tree: Some(root),
            paths: vec![self.identity.snapshot_path()],
            hostname: self.identity.registry.clone(),
            username: self.username.clone(),
            tags: self.identity.snapshot_tags(is_partial, &[]),
            program_version: program_version(),
            summary: Some(summary(began, &total, &stats)),
            ..Snapshot::default()
        };
        let id = writer.commit(snapshot)?;
        self.own.insert(id);
        self.seen.insert(id, Some(timestamp(began)));
        let settled: Vec<Digest> = files.keys().cloned().collect();
        *self.head.write() = Arc::new(Head::new(Some(id), Some(timestamp(began)), record, files));
        (self.made)();
        self.settle(changes, &settled);
        Ok(())
    }

    /// What the vault has now is not needed on our disk.
    fn settle(&self, changes: &[Change], files: &[Digest]) {
        for digest in files {
            self.staging.settled(digest);
        }
        for change in changes {
            let Change::Manifest(name, pushed) = change else {
                continue;
            };
            for blob in &pushed.record.blobs {
                if let Err(error) = self.staging.unlink(name, blob) {
                    tracing::debug!(%error, "a link that is not needed any more");
                }
            }
        }
    }
}

fn is_whole(writer: &Writer, node: &Node) -> bool {
    match &node.kind {
        NodeKind::File { content, .. } => content.iter().all(|id| writer.has(BlobKind::Data, *id)),
        _ => false,
    }
}

fn manifest<'c>(changes: &'c [Change], digest: &Digest) -> Option<&'c [u8]> {
    changes.iter().find_map(|change| match change {
        Change::Manifest(_, pushed) if pushed.digest == *digest => Some(pushed.bytes.as_slice()),
        _ => None,
    })
}

fn save(writer: &Writer, source: &mut dyn Read, size: u64) -> Result<lifeboat_vault::SavedFile> {
    let mut file = writer.file(ChunkPolicy::CONTENT, size);
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = source.read(&mut piece)?;
        if count == 0 {
            break;
        }
        file.write(&piece[..count]).map_err(io::Error::other)?;
    }
    Ok(file.finish()?)
}

/// What was in the point before and is not in the vault any more is said, and does not stop what comes.
fn lose(record: &mut RegistryRecord, lost: &[Digest]) {
    for digest in lost {
        tracing::warn!("{digest} is damaged or missing in the vault; push it again");
        for (name, repository) in &mut record.repositories {
            if !repository.digests().any(|held| held == digest) {
                continue;
            }
            repository.manifests.remove(digest);
            repository.tags.retain(|_, to| to != digest);
            let tags = &repository.tags;
            repository.since.retain(|tag, _| tags.contains_key(tag));
            for manifest in repository.manifests.values_mut() {
                if manifest.blobs.contains(digest) || manifest.children.contains(digest) {
                    manifest.absent.insert(digest.clone());
                }
            }
            record.findings.push(Finding {
                repository: name.clone(),
                reference: digest.to_string(),
                reason: "it was damaged or missing in the vault".to_owned(),
            });
        }
    }
}
