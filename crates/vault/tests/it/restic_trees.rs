//! Trees both ways between us and Debian's restic: odd names, links, devices, owners, times,
//! attributes.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use lifeboat_store::LocalStore;
use lifeboat_vault::{
    BlobId, CheckOptions, ChunkPolicy, Descend, Environment, Metadata, Node, NodeKind, Silent,
    Snapshot, Timestamp, Tree, Vault, Writer, WriterOptions, Xattr,
};

use crate::odd::{self, Seen};

/// Runs restic (`LIFEBOAT_RESTIC` names another one) and returns what it printed.
fn restic(repository: &Path, arguments: &[&OsStr]) -> String {
    let program = std::env::var_os("LIFEBOAT_RESTIC").unwrap_or_else(|| "restic".into());
    let output = Command::new(program)
        .args(["--no-cache", "--repo"])
        .arg(repository)
        .args(arguments)
        .env("RESTIC_PASSWORD", "secret")
        .env("TZ", "Europe/Berlin")
        .output()
        .expect("restic is needed: apt-get install restic");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn words<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).collect()
}

struct Places {
    _temporary: tempfile::TempDir,
    source: PathBuf,
    repository: PathBuf,
    target: PathBuf,
}

fn places() -> Places {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    let (source, repository, target) = (at("source"), at("repository"), at("target"));
    fs_err::create_dir(&source).unwrap();
    odd::create(&source);
    Places {
        _temporary: temporary,
        source,
        repository,
        target,
    }
}

fn environment() -> Environment {
    Environment::system("test")
}

fn check(vault: &Vault) {
    let report = vault
        .check(
            &CheckOptions {
                read_data: true,
                threads: 0,
                ..CheckOptions::default()
            },
            &Silent,
        )
        .unwrap();
    assert!(report.is_healthy(), "{:?}", report.errors);
    assert!(report.trees > 1 && report.blobs > 2, "{report:?}");
}

#[test]
fn what_restic_wrote_is_read() {
    let places = places();
    restic(&places.repository, &words(&["init"]));
    restic(
        &places.repository,
        &[OsStr::new("backup"), places.source.as_os_str()],
    );
    let vault = Vault::open(
        Arc::new(LocalStore::new(&places.repository)),
        b"secret",
        environment(),
    )
    .unwrap();
    check(&vault);

    let (_, snapshot) = vault.snapshots().unwrap().found.remove(0);
    let reader = vault.reader().unwrap();
    let path: Vec<&[u8]> = places.source.iter().skip(1).map(OsStr::as_bytes).collect();
    let folder = reader
        .lookup(snapshot.tree.unwrap(), &path)
        .unwrap()
        .unwrap();
    let NodeKind::Dir { subtree } = folder.kind else {
        panic!("{folder:?}")
    };
    let mut read = BTreeMap::new();
    reader
        .walk(subtree, &mut |path, node| {
            let (kind, device, content) = match &node.kind {
                NodeKind::File { .. } => {
                    let mut content = Vec::new();
                    reader.file(node)?.read_to_end(&mut content).unwrap();
                    (0o100_000, 0, content)
                }
                NodeKind::Dir { .. } => (0o040_000, 0, Vec::new()),
                NodeKind::Symlink { target } => (0o120_000, 0, target.clone()),
                NodeKind::BlockDevice { device } => (0o060_000, *device, Vec::new()),
                NodeKind::CharDevice { device } => (0o020_000, *device, Vec::new()),
                NodeKind::Fifo => (0o010_000, 0, Vec::new()),
                other => panic!("{other:?}"),
            };
            let meta = &node.meta;
            let seen = Seen {
                mode: kind | meta.mode,
                owner: (meta.uid, meta.gid),
                mtime: (meta.mtime.secs, meta.mtime.nanos.into()),
                device,
                // restic says nothing of a fifo's links.
                links: if node.kind == NodeKind::Fifo {
                    1
                } else {
                    meta.links
                },
                content,
                xattrs: meta
                    .xattrs
                    .iter()
                    .map(|x| (x.name.clone(), x.value.clone()))
                    .collect(),
            };
            read.insert(path.to_vec(), seen);
            Ok(Descend::Into)
        })
        .unwrap();
    same(&odd::look(&places.source), &read);
}

#[test]
fn restic_checks_and_restores_what_we_wrote() {
    let places = places();
    let store = Arc::new(LocalStore::new(&places.repository));
    let vault = Vault::create(store, b"secret", environment()).unwrap();
    let writer = vault.writer(WriterOptions::default()).unwrap();
    let tree = save(&writer, &places.source);
    let snapshot = Snapshot {
        time: "2026-11-22T21:38:02.5Z".into(),
        tree: Some(tree),
        paths: vec!["/lifeboat/test".into()],
        hostname: "test".into(),
        ..Snapshot::default()
    };
    let id = writer.commit(snapshot).unwrap().to_hex();
    check(&vault);

    restic(&places.repository, &words(&["check", "--read-data"]));
    restic(
        &places.repository,
        &[
            OsStr::new("restore"),
            OsStr::new(&id),
            OsStr::new("--target"),
            places.target.as_os_str(),
        ],
    );
    same(&odd::look(&places.source), &odd::look(&places.target));
    // It reads the trees, then plans to throw nothing away.
    restic(&places.repository, &words(&["prune", "--dry-run"]));
    assert!(restic(&places.repository, &words(&["ls", "latest"])).contains("/plain"));
    // 0.14 has no `rewrite`, which refuses trees that it cannot encode again byte for byte.
    if restic(&places.repository, &words(&["help"])).contains("  rewrite ") {
        restic(
            &places.repository,
            &words(&["rewrite", "--exclude", "never there"]),
        );
    }
}

fn same(expected: &BTreeMap<Vec<u8>, Seen>, found: &BTreeMap<Vec<u8>, Seen>) {
    assert!(expected.len() > 40);
    let names = |all: &BTreeMap<Vec<u8>, Seen>| {
        all.keys()
            .map(|k| k.escape_ascii().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(expected), names(found));
    for ((name, a), b) in expected.iter().zip(found.values()) {
        assert!(a.content == b.content, "content of {}", name.escape_ascii());
        assert!(
            a == b,
            "{}: {:?}",
            name.escape_ascii(),
            (Short(a), Short(b))
        );
    }
}

/// Without the content.
struct Short<'a>(&'a Seen);

impl std::fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen {
            mode,
            owner,
            mtime,
            device,
            links,
            xattrs,
            ..
        } = self.0;
        write!(
            f,
            "{mode:o} {owner:?} {mtime:?} {device} {links} {xattrs:?}"
        )
    }
}

/// A small walker, sockets included.
fn save(writer: &Writer, folder: &Path) -> BlobId {
    let mut nodes = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs_err::symlink_metadata(&path).unwrap();
        let file_type = stat.file_type();
        let kind = if file_type.is_dir() {
            NodeKind::Dir {
                subtree: save(writer, &path),
            }
        } else if file_type.is_symlink() {
            let target = fs_err::read_link(&path).unwrap();
            NodeKind::Symlink {
                target: target.as_os_str().as_bytes().to_vec(),
            }
        } else if file_type.is_fifo() {
            NodeKind::Fifo
        } else if file_type.is_socket() {
            NodeKind::Socket
        } else if file_type.is_block_device() {
            NodeKind::BlockDevice {
                device: stat.rdev(),
            }
        } else if file_type.is_char_device() {
            NodeKind::CharDevice {
                device: stat.rdev(),
            }
        } else {
            let mut file = writer.file(ChunkPolicy::for_file(stat.len(), stat.len()), stat.len());
            file.write(&fs_err::read(&path).unwrap()).unwrap();
            let saved = file.finish().unwrap();
            NodeKind::File {
                size: saved.size,
                content: saved.content,
            }
        };
        let time = |secs, nanos: i64| Timestamp {
            secs,
            nanos: nanos as u32,
        };
        let mtime = time(stat.mtime(), stat.mtime_nsec());
        let xattrs = odd::xattrs(&path)
            .into_iter()
            .map(|(name, value)| Xattr { name, value });
        let meta = Metadata {
            mode: stat.mode() & 0o7777,
            mtime,
            atime: mtime,
            ctime: time(stat.ctime(), stat.ctime_nsec()),
            uid: stat.uid(),
            gid: stat.gid(),
            inode: stat.ino(),
            device_id: stat.dev(),
            links: stat.nlink(),
            xattrs: xattrs.collect(),
            ..Metadata::default()
        };
        nodes.push(Node {
            name: path.file_name().unwrap().as_bytes().to_vec(),
            kind,
            meta,
        });
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    writer.tree(&Tree { nodes }).unwrap()
}
