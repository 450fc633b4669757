//! The proof that the engine's files are ours.
//!
//! An engine behind a forwarded socket, a proxy or a virtual machine tells paths of *its* file system.
//! A path of the same name here would be captured, or written over, in its place. So before the first
//! byte: a random number is written into a scratch volume through the API, and read where the engine
//! says the volume lies. No container is started for it, no image is pulled.
//!
//! What a crash leaves is a container, a volume and perhaps an image, all labelled `lifeboat.scratch`;
//! the next proof removes those whose owner no longer lives.

use std::path::Path;

use serde_json::{Value, json};

use super::{DockerEngine, text};
use crate::{Error, Result};

/// Label on everything that we make for ourselves, with value `1`.
pub(crate) const SCRATCH_LABEL: &str = "lifeboat.scratch";
/// Label that names who made it, see [`Owner`].
const OWNER_LABEL: &str = "lifeboat.scratch.owner";
/// Where the scratch volume is mounted.
const TARGET: &str = "/lifeboat-scratch";
const NONCE_FILE: &str = "nonce";

impl DockerEngine {
    /// Proves that a path that the engine names is the same path here. `image` may name any local image;
    /// without one a local image is taken, or an empty one made for the moment.
    ///
    /// # Errors
    /// [`Error::NotOurFiles`] where they are not; otherwise the engine refused a step of the proof.
    #[allow(
        clippy::disallowed_methods,
        reason = "a nonce; nothing rests on its quality"
    )]
    pub fn prove_local(&self, image: Option<&str>) -> Result<()> {
        self.remove_leftovers()?;
        let scratch = Scratch::new(self);
        let nonce = format!("{:032x}", rand::random::<u128>());
        self.create_volume(&json!({"Name": scratch.name, "Labels": scratch.labels()}))?;
        let mount = json!({"Type": "volume", "Source": scratch.name, "Target": TARGET, "VolumeOptions": {"NoCopy": true}});
        let host = json!({"NetworkMode": "none", "Mounts": [mount]});
        self.never_started(&scratch.name, image, &scratch.labels(), &host)?;
        let tar = nonce_tar(&nonce).map_err(|source| Error::Local {
            context: "prepare the proof of the engine's files".to_owned(),
            source,
        })?;
        self.archive_put(&scratch.name, TARGET, &mut tar.as_slice())?;
        let volume = self.inspect_volume(&scratch.name)?;
        self.check_nonce(text(&volume, "Mountpoint"), &nonce)
    }

    fn check_nonce(&self, mountpoint: &str, nonce: &str) -> Result<()> {
        let not_ours = |why: String| {
            Err(Error::NotOurFiles {
                endpoint: self.endpoint().to_string(),
                why,
            })
        };
        let path = Path::new(mountpoint).join(NONCE_FILE);
        match fs_err::read(&path) {
            Ok(found) if found == nonce.as_bytes() => Ok(()),
            Ok(_) => not_ours(format!("{mountpoint} holds something else here")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => not_ours(format!(
                "what was written to {mountpoint} through the engine is not there"
            )),
            Err(error) => not_ours(format!("{mountpoint} cannot be read: {}", error.kind())),
        }
    }

    /// Removes what proofs left that did not come to their end.
    fn remove_leftovers(&self) -> Result<()> {
        let containers = self.with_label(
            "/containers/json?all=1&",
            SCRATCH_LABEL,
            "list scratch containers",
        )?;
        for entry in containers
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| is_leftover(entry))
        {
            ignore_gone(self.remove_container(text(entry, "Id"), true, false))?;
        }
        let volumes = self.with_label("/volumes?", SCRATCH_LABEL, "list scratch volumes")?;
        for entry in volumes["Volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| is_leftover(entry))
        {
            ignore_gone(self.remove_volume(text(entry, "Name")))?;
        }
        let images = self.with_label("/images/json?", SCRATCH_LABEL, "list scratch images")?;
        for entry in images
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| is_leftover(entry))
        {
            ignore_gone(self.remove_image(text(entry, "Id"), true))?;
        }
        Ok(())
    }
}

/// Somebody else who cleans up at the same time is no error.
pub(super) fn ignore_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is_not_found() || error.is_conflict() => {
            tracing::debug!(%error, "scratch object left alone");
            Ok(())
        }
        other => other,
    }
}

fn is_leftover(entry: &Value) -> bool {
    let owner = text(&entry["Labels"], OWNER_LABEL);
    owner.parse::<Owner>().map_or(true, |owner| !owner.lives())
}

/// Removes container, volume and image of a question, however it ended.
pub(super) struct Scratch<'e> {
    engine: &'e DockerEngine,
    pub(super) name: String,
}

impl<'e> Scratch<'e> {
    #[allow(
        clippy::disallowed_methods,
        reason = "a name; nothing rests on its quality"
    )]
    pub(super) fn new(engine: &'e DockerEngine) -> Self {
        let name = format!("lifeboat-scratch-{:032x}", rand::random::<u128>());
        Self { engine, name }
    }

    pub(super) fn labels(&self) -> Value {
        json!({SCRATCH_LABEL: "1", OWNER_LABEL: Owner::ourselves().to_string()})
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let removed = [
            self.engine.remove_container(&self.name, true, false),
            self.engine.remove_volume(&self.name),
            self.engine.remove_image(&self.name, true),
        ];
        for error in removed
            .into_iter()
            .filter_map(Result::err)
            .filter(|error| !error.is_not_found())
        {
            tracing::warn!(%error, "scratch object left behind, the next run removes it");
        }
    }
}

/// Who made a scratch object: a process, told from later ones with the same number by its start time,
/// on one boot of one machine in one process-id namespace.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    place: String,
    pid: u32,
    start: u64,
}

impl Owner {
    fn ourselves() -> Self {
        let pid = std::process::id();
        Self {
            place: Self::here(),
            pid,
            start: start_time(pid).unwrap_or(0),
        }
    }

    /// Machine, boot and process-id namespace.
    fn here() -> String {
        let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs_err::read_link("/proc/self/ns/pid").unwrap_or_default();
        let digits = |text: &str| {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
        };
        format!("{}-{}", digits(&boot), digits(&namespace.to_string_lossy()))
    }

    /// Whether the process still lives. One of another place cannot be asked; it is taken to be dead: a
    /// proof takes a second, and one that is disturbed fails and can be run again.
    fn lives(&self) -> bool {
        self.place == Self::here() && start_time(self.pid) == Some(self.start)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.place, self.pid, self.start)
    }
}

impl std::str::FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(());
        let owner = Self {
            place: next()?.to_owned(),
            pid: next()?.parse().map_err(drop)?,
            start: next()?.parse().map_err(drop)?,
        };
        Ok(owner)
    }
}

/// Start time of a process in clock ticks since boot: the 22nd field of its `stat`, counted after the
/// name, which may hold spaces and parentheses.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(") ")?.1;
    after_name.split(' ').nth(19)?.parse().ok()
}

fn nonce_tar(nonce: &str) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(nonce.len() as u64);
    header.set_mode(0o600);
    builder.append_data(&mut header, NONCE_FILE, nonce.as_bytes())?;
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_owner_is_told_from_a_dead_one() {
        let ours = Owner::ourselves();
        let read: Owner = ours.to_string().parse().unwrap();
        assert_eq!(read, ours);
        assert!(read.lives());
        assert!(
            !Owner {
                start: read.start + 1,
                ..read
            }
            .lives(),
            "same number, later process"
        );
        assert!(is_leftover(&json!({"Labels": {SCRATCH_LABEL: "1"}})));
        assert!(!is_leftover(
            &json!({"Labels": {OWNER_LABEL: Owner::ourselves().to_string()}})
        ));
    }
}
