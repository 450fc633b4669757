//! A directory on another machine, reached by the system's `ssh` and the SFTP server there.
//!
//! Laid out as a local vault is. A put writes a temporary file beside the name, has it synced where the
//! server can (`fsync@openssh.com`), and renames it: version 3 of the protocol refuses to rename onto
//! what is there, and OpenSSH does it in one step. Folders cannot be synced over SFTP; how durable a
//! new name is, is the other file system's word.
//!
//! What a crash leaves: temporary files `.tmp-…`, which no listing shows.

mod files;
mod session;
mod wire;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use self::{
    files::{Files, Read, Trouble},
    session::Session,
};
use crate::{
    Access, Area, Capabilities, Limits, ObjectInfo, ObjectName, Place, Result, Store, StoreError,
    place::refused,
    probe::{self, Raw},
};

/// Folders of data that are listed at the same time.
const LISTERS: usize = 8;

/// A vault in a directory of another machine.
pub struct SftpStore {
    place: Place,
    destination: String,
    port: Option<u16>,
    root: String,
    ssh: Option<String>,
    limits: Limits,
    session: Mutex<Option<Arc<Session>>>,
    /// Of temporary files.
    counter: AtomicU64,
    nonce: String,
}

impl SftpStore {
    /// Does not connect yet.
    pub(crate) fn new(place: &Place, access: &Access) -> Result<Self> {
        let Place::Sftp {
            destination,
            port,
            path,
        } = place
        else {
            return Err(refused("it is not reached by ssh"));
        };
        Ok(Self {
            place: place.clone(),
            destination: destination.clone(),
            port: *port,
            root: path.trim_end_matches('/').to_owned(),
            ssh: access.sftp.command.clone(),
            limits: access.limits.clone(),
            session: Mutex::new(None),
            counter: AtomicU64::new(0),
            nonce: hex::encode(probe::nonce()).chars().rev().take(16).collect(),
        })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "ssh is a program: keys, agents, jump hosts and known hosts are its own"
    )]
    fn ssh(&self) -> Command {
        let mut command = match &self.ssh {
            Some(line) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("exec {line} \"$@\""), "ssh"]);
                command
            }
            None => Command::new("ssh"),
        };
        command.args(["-oBatchMode=yes", "-oClearAllForwardings=yes"]);
        command.args(["-oServerAliveInterval=15", "-oServerAliveCountMax=4"]);
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["-s", "--", &self.destination, "sftp"]);
        command
    }

    fn session(&self) -> Result<Arc<Session>> {
        let mut session = self.session.lock();
        if let Some(session) = session.as_ref().filter(|s| s.is_alive()) {
            return Ok(Arc::clone(session));
        }
        let opened = Session::open(self.ssh()).map_err(|lost| self.no_session(lost.0))?;
        let opened = Arc::new(opened);
        *session = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What ssh says when it does not come through, told apart by what helps.
    fn no_session(&self, said: String) -> StoreError {
        let place = self.location();
        let denied = |reason: String| StoreError::Denied {
            place: place.clone(),
            reason,
        };
        if said.contains("Permission denied") {
            return denied(format!(
                "ssh is not let in ({said}); it needs a key or an agent, since nobody can be asked here"
            ));
        }
        if said.contains("Host key verification failed") || said.contains("host key") {
            return denied(format!(
                "ssh does not know this host ({said}); run `ssh {}` once by hand",
                self.destination
            ));
        }
        StoreError::Unreachable {
            place,
            reason: said,
        }
    }

    /// Does something with files; a connection that is lost on the way can be made again.
    fn with<T>(
        &self,
        context: &str,
        work: impl FnOnce(&Files) -> std::result::Result<T, Trouble>,
    ) -> Result<T> {
        let session = self.session()?;
        let files = Files {
            session: &session,
            limits: &self.limits,
        };
        work(&files).map_err(|trouble| match trouble {
            Trouble::Lost(lost) => StoreError::Unreachable {
                place: self.location(),
                reason: lost.0,
            },
            Trouble::NotFound => StoreError::NotFound(context.to_owned()),
            Trouble::Denied(reason) => StoreError::Denied {
                place: self.location(),
                reason,
            },
            Trouble::Full => StoreError::Full {
                place: self.location(),
            },
            Trouble::TooLarge => StoreError::TooLarge {
                name: context.to_owned(),
                place: self.location(),
                largest: 0,
            },
            Trouble::Failed(reason) => StoreError::Io {
                context: format!("{context} at {}", self.location()),
                source: std::io::Error::other(reason),
            },
        })
    }

    /// As [`Self::with`], for one object, which is named if it is not there.
    fn object<T>(
        &self,
        verb: &str,
        name: &ObjectName,
        work: impl FnOnce(&Files, &str) -> std::result::Result<T, Trouble>,
    ) -> Result<T> {
        let path = self.path(name);
        self.with(&format!("{verb} {name}"), |files| work(files, &path))
            .map_err(|e| match e {
                StoreError::NotFound(_) => StoreError::NotFound(name.to_string()),
                StoreError::TooLarge { .. } => name.too_large(self.location()),
                other => other,
            })
    }

    fn folder(&self, below: &str) -> String {
        format!("{}/{below}", self.root)
    }

    fn path(&self, name: &ObjectName) -> String {
        match name.area() {
            Area::Config => self.folder("config"),
            Area::Data => self.folder(&format!("data/{}/{}", &name.id()[..2], name.id())),
            area => self.folder(&format!("{}/{}", area.as_str(), name.id())),
        }
    }
}

impl Raw for SftpStore {
    fn put_unlooked(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.object("write", name, |files, path| {
            let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            let temporary = format!("{folder}/.tmp-{}-{number}", self.nonce);
            files.write_new(&temporary, folder, bytes)?;
            match files.rename(&temporary, path) {
                Ok(()) => Ok(true),
                Err(e) => {
                    let _ = files.remove(&temporary);
                    // The protocol has no status for a name that is taken.
                    match files.stat(path) {
                        Ok(_) => Ok(false),
                        Err(_) => Err(e),
                    }
                }
            }
        })
    }
}

impl Store for SftpStore {
    fn location(&self) -> String {
        self.place.to_string()
    }

    fn create(&self) -> Result<()> {
        self.with("create a vault", |files| {
            files.make_folder(&self.root)?;
            for area in Area::ALL.iter().filter(|a| **a != Area::Config) {
                files.make_folder(&self.folder(area.as_str()))?;
            }
            Ok(())
        })
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        if self.is_there(name)? || !self.put_unlooked(name, bytes)? {
            return Err(StoreError::AlreadyExists(name.to_string()));
        }
        Ok(())
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let whole = Read::Whole(name.area().largest());
        self.object("read", name, |files, path| files.read(path, whole))?
            .ok_or_else(|| StoreError::ShortRead {
                name: name.to_string(),
                offset: 0,
                wanted: 0,
            })
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.object("read", name, |files, path| {
            files.read(path, Read::Range(offset, length))
        })?
        .ok_or_else(|| StoreError::ShortRead {
            name: name.to_string(),
            offset,
            wanted: length,
        })
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.object("look at", name, |files, path| {
            let size = files.stat(path)?.size;
            size.ok_or_else(|| {
                Trouble::Failed("the server does not say how large it is".to_owned())
            })
        })
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.object("look at", name, |files, path| {
            Ok(files.stat(path)?.modified.map(i64::from))
        })
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        if area == Area::Config {
            let name = ObjectName::config();
            return match self.size(&name) {
                Ok(size) => Ok(vec![ObjectInfo { name, size }]),
                Err(StoreError::NotFound(_)) => Ok(Vec::new()),
                Err(e) => Err(e),
            };
        }
        let folder = self.folder(area.as_str());
        let context = format!("list {}", area.as_str());
        let entries = |path: &str| match self.with(&context, |files| files.entries(path)) {
            Err(StoreError::NotFound(_)) => Ok(Vec::new()),
            other => other,
        };
        let objects = |path: &str| -> Result<Vec<ObjectInfo>> {
            let found = entries(path)?.into_iter();
            Ok(found
                .filter(|(_, attributes)| !attributes.is_dir())
                .filter_map(|(name, attributes)| {
                    let name = ObjectName::new(area, &name)?;
                    // Data objects lie where `path` looks for them, or they are not ours.
                    (self.path(&name).rsplit_once('/')?.0 == path).then_some(())?;
                    let size = attributes.size?;
                    Some(ObjectInfo { name, size })
                })
                .collect())
        };
        if area != Area::Data {
            return objects(&folder);
        }
        let folders: Vec<String> = entries(&folder)?
            .into_iter()
            .filter(|(name, _)| name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(|(name, _)| format!("{folder}/{name}"))
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let some = || -> Result<Vec<ObjectInfo>> {
            let mut found = Vec::new();
            while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(objects(folder)?);
            }
            Ok(found)
        };
        let lists: Vec<_> = std::thread::scope(|scope| {
            let lists: Vec<_> = (0..LISTERS).map(|_| scope.spawn(some)).collect();
            lists.into_iter().map(|list| list.join()).collect()
        });
        let mut all = Vec::new();
        for list in lists {
            all.extend(list.unwrap_or_else(|_| Err(refused("a thread that listed died")))?);
        }
        Ok(all)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.object("delete", name, |files, path| files.remove(path))
    }

    fn probe(&self) -> Result<Capabilities> {
        probe::probe(self, &probe::nonce())
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn free_space(&self) -> Option<u64> {
        self.with("look at the free space", |files| Ok(files.free(&self.root)))
            .ok()?
    }
}

/// For [`crate::open()`].
pub(crate) fn open(place: &Place, access: &Access) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(SftpStore::new(place, access)?))
}
