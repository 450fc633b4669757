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

use super::http::escape;
use super::{DockerEngine, text};
use crate::{Error, Result};

/// Label on everything that we make for ourselves, with value `1`.
pub(crate) const SCRATCH_LABEL: &str = "lifeboat.scratch";
/// Label that names who made it, see [`Owner`].
const OWNER_LABEL: &str = "lifeboat.scratch.owner";
/// Where the scratch volume is mounted.
const TARGET: &str = "/lifeboat-scratch";
const NONCE_FILE: &str = "nonce";
/// How many local images are tried before one is made: some are for other machines.
const TRIED_IMAGES: usize = 3;

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
        let nonce = format!("{:032x}", rand::random::<u128>());
        let scratch = Scratch {
            engine: self,
            name: format!("lifeboat-scratch-{nonce}"),
        };
        let labels = json!({SCRATCH_LABEL: "1", OWNER_LABEL: Owner::ourselves().to_string()});
        self.create_volume(&json!({"Name": scratch.name, "Labels": labels}))?;
        self.scratch_container(&scratch.name, image, &labels)?;
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

    /// Makes the container from the first image that serves.
    fn scratch_container(&self, name: &str, image: Option<&str>, labels: &Value) -> Result<()> {
        let mut body = json!({
            "Entrypoint": ["lifeboat-scratch-is-never-started"],
            "Labels": labels,
            "NetworkDisabled": true,
            "HostConfig": {
                "NetworkMode": "none",
                "Mounts": [{"Type": "volume", "Source": name, "Target": TARGET, "VolumeOptions": {"NoCopy": true}}],
            },
        });
        let mut candidates: Vec<String> = image.map(str::to_owned).into_iter().collect();
        let list = self.get_json("/images/json", "list images")?;
        let local = list
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| text(entry, "Id").to_owned());
        candidates.extend(local.take(TRIED_IMAGES));
        for candidate in candidates {
            body["Image"] = candidate.into();
            match self.create_container(name, &body) {
                Ok(_) => return Ok(()),
                Err(error @ (Error::NotFound { .. } | Error::Refused { .. })) => {
                    tracing::debug!(%error, "image does not serve for the proof");
                }
                Err(error) => return Err(error),
            }
        }
        let mut changes = vec![format!("LABEL {SCRATCH_LABEL}=1")];
        changes.push(format!("LABEL {OWNER_LABEL}={}", text(labels, OWNER_LABEL)));
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        // Named after the scratch, so that it can be removed by name whatever its id turns out to be.
        self.import_image(&mut EMPTY_TAR.as_slice(), name, &changes)?;
        body["Image"] = name.into();
        self.create_container(name, &body).map(drop)
    }

    /// Removes what proofs left that did not come to their end.
    fn remove_leftovers(&self) -> Result<()> {
        let filter = escape(&json!({"label": [format!("{SCRATCH_LABEL}=1")]}).to_string());
        let containers = self.get_json(
            &format!("/containers/json?all=1&filters={filter}"),
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
        let volumes = self.get_json(
            &format!("/volumes?filters={filter}"),
            "list scratch volumes",
        )?;
        for entry in volumes["Volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| is_leftover(entry))
        {
            ignore_gone(self.remove_volume(text(entry, "Name")))?;
        }
        let images = self.get_json(
            &format!("/images/json?filters={filter}"),
            "list scratch images",
        )?;
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
fn ignore_gone(result: Result<()>) -> Result<()> {
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

/// Removes container, volume and image of a proof, however it ended.
struct Scratch<'e> {
    engine: &'e DockerEngine,
    name: String,
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

/// A tar stream with nothing in it: two empty blocks.
static EMPTY_TAR: [u8; 1024] = [0; 1024];

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
