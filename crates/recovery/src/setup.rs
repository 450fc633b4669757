//! `init`: a vault, its key, and the recovery sheet.
//!
//! Order, so that an interrupted run can be run again: key (exclusively, durable), vault, settings.
//! A key without a vault is used by the next run; a vault is never made twice at one place.

use std::{
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use lifeboat_store::{Access, Capabilities, LockPolicy, ObjectName, Place, Store, StoreError};
use lifeboat_vault::{Environment, Vault};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use zeroize::Zeroizing;

use crate::{Places, RecoveryError, Result, Settings, capabilities};

/// What to make.
#[derive(Clone, Default)]
pub struct InitOptions {
    /// Location of the vault; `None` is the default place.
    pub vault: Option<String>,
    /// The password, if a person gave one; `None` generates a key in the default place.
    pub password: Option<Vec<u8>>,
    /// File that the password came from, remembered in the settings.
    pub password_file: Option<PathBuf>,
    /// What is needed to reach a vault that is not in a directory.
    pub access: Access,
    /// How the store is to lock the vault's points.
    pub object_lock: Option<LockPolicy>,
    /// Name of the site to remember.
    pub site: Option<String>,
    /// Name of this host to remember.
    pub host: Option<String>,
}

/// What was made.
pub struct Initialised {
    /// Vault id.
    pub vault_id: String,
    /// Its location.
    pub location: String,
    /// File with the generated key, if one was generated.
    pub key_file: Option<PathBuf>,
    /// What to keep in a safe place. Holds the key: for a terminal or a private file only.
    pub sheet: RecoverySheet,
    /// What the store can do, where that was found out by trying.
    pub capabilities: Option<Capabilities>,
    /// How its points are locked.
    pub object_lock: Option<LockPolicy>,
    /// Sentences that a person should read (e.g. that the vault lies on the same disk as the data).
    pub warnings: Vec<String>,
}

/// Place, key, id and the commands for an empty machine, with and without Lifeboat. Secret.
pub struct RecoverySheet(Zeroizing<String>);

impl RecoverySheet {
    /// The text. Secret: show it on a terminal or write it to a private file, nowhere else.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Writes it to a new file with mode 0600; an existing file is refused.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_private(path, self.0.as_bytes(), false)
    }
}

/// Makes a vault, its key where none is given, the settings, and the recovery sheet.
pub fn init(places: &Places, env: Environment, options: InitOptions) -> Result<Initialised> {
    let given = options
        .vault
        .unwrap_or_else(|| places.vault().display().to_string());
    let place = absolute(Place::parse(&given).map_err(failed)?)?;
    // Without a password, and so what is shown, remembered and put on the sheet.
    let location = place.to_string();
    let store = match place.directory() {
        Some(_) => lifeboat_store::open(&location, &options.access),
        None => lifeboat_store::open(&given, &options.access),
    };
    let store = store.map_err(failed)?;
    let mut key_file = None;
    let password = match options.password {
        Some(password) => Zeroizing::new(password),
        None => {
            let path = places.key();
            if let Some(directory) = place.directory() {
                refuse_key_in_vault(&path, directory)?;
            }
            let key = existing_or_new_key(&path, &env, store.as_ref(), &location)?;
            key_file = Some(path);
            key
        }
    };
    let capabilities = probe(&*store, options.object_lock)?;
    let vault = Vault::create_locked(Arc::clone(&store), &password, env, options.object_lock)?;
    let before = Settings::load(&places.settings())?;
    if let Some(capabilities) = &capabilities {
        capabilities::remember(places, vault.id(), &location, capabilities)?;
    }
    let settings = Settings {
        retention: before.retention.clone(),
        vault: Some(location.clone()),
        password_file: key_file.clone().or(options.password_file),
        site: options.site,
        host: options.host,
        sheet_saved: Some(false),
    };
    let mut warnings = warnings(&place, capabilities.as_ref());
    match before.vault.filter(|other| *other != location) {
        // A second vault, to copy to. What commands do without --vault does not change behind anybody's back.
        Some(other) => warnings.push(format!(
            "commands without --vault go on with the vault at {other}; {} says so",
            places.settings().display()
        )),
        None => settings.save(&places.settings())?,
    }
    let shown_key = key_file
        .as_ref()
        .map(|_| String::from_utf8_lossy(&password).into_owned());
    Ok(Initialised {
        vault_id: vault.id().to_owned(),
        warnings,
        capabilities,
        object_lock: options.object_lock,
        sheet: sheet(
            vault.id(),
            &location,
            shown_key.as_deref(),
            key_file.as_deref(),
        ),
        location,
        key_file,
    })
}

fn failed(error: StoreError) -> RecoveryError {
    RecoveryError::Failed(error.to_string())
}

/// A plain path is made absolute, so that the settings mean the same from every folder.
fn absolute(place: Place) -> Result<Place> {
    Ok(match place {
        Place::Local(path) => Place::Local(std::path::absolute(path)?),
        other => other,
    })
}

/// Tries out a store that is reached over a network, if there is no vault yet.
fn probe(store: &dyn Store, lock: Option<LockPolicy>) -> Result<Option<Capabilities>> {
    if !store.is_remote() {
        return Ok(None);
    }
    match store.size(&ObjectName::config()) {
        Err(StoreError::NotFound(_)) => {}
        // Making the vault says so.
        Ok(_) => return Ok(None),
        Err(e) => return Err(failed(e)),
    }
    store.create().map_err(failed)?;
    if let (Some(policy), Some(lock)) = (lock, store.object_lock()) {
        // So that the trial leaves no versions.
        lock.possible().map_err(failed)?;
        lock.keep(policy);
    }
    store.probe().map(Some).map_err(failed)
}

fn warnings(place: &Place, capabilities: Option<&Capabilities>) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(place.directory().and_then(same_disk_warning));
    if capabilities.is_some_and(|can| !can.exclusive_create) {
        warnings.push(format!(
            "{place} replaces what is there when it is written again (it knows no conditional writes): two `lifeboat init` at once can be noticed there, not prevented"
        ));
    }
    if let Place::Rest {
        password: Some(_), ..
    } = place
    {
        warnings.push(
            "the password in the URL is remembered nowhere; set RESTIC_REST_PASSWORD for the commands that follow"
                .to_owned(),
        );
    }
    warnings
}

fn refuse_key_in_vault(key: &Path, vault: &Path) -> Result<()> {
    if key.starts_with(vault) {
        return Err(RecoveryError::Refused(format!(
            "the key {} would lie inside the vault {}, where whoever steals the vault finds it; name another vault or another --config-dir",
            key.display(),
            vault.display()
        )));
    }
    Ok(())
}

/// The key of an interrupted `init`, or a new one, durable before the vault is made.
fn existing_or_new_key(
    path: &Path,
    env: &Environment,
    store: &dyn Store,
    location: &str,
) -> Result<Zeroizing<Vec<u8>>> {
    if path.exists() {
        if store.size(&ObjectName::config()).is_ok() {
            return Err(RecoveryError::Refused(format!(
                "there is a vault at {location} already, and its key is {}; use it, or name another place with --vault and a password with --password-file",
                path.display()
            )));
        }
        let text = Zeroizing::new(fs_err::read(path)?);
        let key = Zeroizing::new(text.trim_ascii_end().to_vec());
        if key.is_empty() {
            return Err(RecoveryError::Refused(format!(
                "the key file {} is empty; delete it and run `lifeboat init` again",
                path.display()
            )));
        }
        return Ok(key);
    }
    let key = generate_key(env)?;
    let mut line = Zeroizing::new(key.to_vec());
    line.push(b'\n');
    write_private(path, &line, false)?;
    Ok(key)
}

/// Puts a new password into a key file in place of the old one, whole or not at all.
pub fn replace_key(path: &Path, password: &[u8]) -> Result<()> {
    let mut line = Zeroizing::new(password.to_vec());
    line.push(b'\n');
    write_private(path, &line, true)
}

/// The recovery sheet of a vault that is there. `password` is written on it; `None` where it is a person's own.
pub fn recovery_sheet(
    vault: &Vault,
    location: &str,
    password: Option<&[u8]>,
    key_file: Option<&Path>,
) -> RecoverySheet {
    let password = password.map(|p| Zeroizing::new(String::from_utf8_lossy(p).into_owned()));
    sheet(
        vault.id(),
        location,
        password.as_ref().map(|p| p.as_str()),
        key_file,
    )
}

/// 200 random bits in eight groups of five characters, without those that people mix up.
pub fn generate_key(env: &Environment) -> Result<Zeroizing<Vec<u8>>> {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut random = Zeroizing::new([0u8; 40]);
    env.random.fill(random.as_mut())?;
    let mut key = Zeroizing::new(Vec::with_capacity(47));
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            key.push(b'-');
        }
        key.push(ALPHABET[usize::from(byte & 31)]);
    }
    Ok(key)
}

/// A vault on the disk that it protects is lost with it: say so.
fn same_disk_warning(directory: &Path) -> Option<String> {
    let vault = fs_err::metadata(directory).ok()?;
    let data = ["/var/lib/docker/volumes", "/var/lib/docker", "/"]
        .iter()
        .find_map(|path| fs_err::metadata(path).ok())?;
    (vault.dev() == data.dev()).then(|| {
        format!(
            "{} lies on the same disk as the data of this host: that is a copy, not a backup; put a vault on another disk or machine as well",
            directory.display()
        )
    })
}

fn sheet(id: &str, location: &str, key: Option<&str>, key_file: Option<&Path>) -> RecoverySheet {
    let secret = match (key, key_file) {
        (Some(key), Some(file)) => format!(
            "{key}\n             (on this machine in {})",
            file.display()
        ),
        _ => "the password that you chose (it is written nowhere)".to_owned(),
    };
    RecoverySheet(Zeroizing::new(format!(
        "\
LIFEBOAT RECOVERY SHEET - keep it away from this machine, with the vault's place and nobody else's eyes

  Vault      {location}
  Vault id   {id}
  Key        {secret}

On an empty machine with Docker and Lifeboat (write the key into a file, here key.txt):
  1. lifeboat --vault {location} --password-file key.txt points
  2. lifeboat --vault {location} --password-file key.txt restore APP --dry-run
  3. lifeboat --vault {location} --password-file key.txt restore APP

On an empty machine without Lifeboat (the vault is a restic repository, version 2):
  1. restic -r {location} --password-file key.txt snapshots
  2. restic -r {location} --password-file key.txt restore ID --target DIR
     DIR then holds volumes/, binds/, project/ (plain files) and images/
     (tar -C DIR/images -c . | docker load)

Without the key nobody can read the vault, and nobody can help.
"
    )))
}

/// Writes a file with mode 0600, durable, whole or not at all. With `replace` false an existing
/// file is refused.
pub(crate) fn write_private(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    write_whole(path, bytes, replace, 0o600)
}

/// The same with a mode of its own.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], replace: bool, mode: u32) -> Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs_err::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = dir.join(format!(".{name}.{}", std::process::id()));
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(&fresh)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| {
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        renameat_with(CWD, &fresh, CWD, path, flags)
            .map_err(|e| std::io::Error::new(e.kind(), format!("write {}: {e}", path.display())))
    });
    if let Err(e) = placed {
        let _ = fs_err::remove_file(&fresh);
        return Err(e.into());
    }
    fs_err::File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(dir: &Path) -> Places {
        Places {
            config: dir.join("etc"),
            state: dir.join("state"),
        }
    }

    #[test]
    fn init_makes_vault_key_settings_and_sheet() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let env = Environment::system("test");
        let made = init(&places, env.clone(), InitOptions::default()).unwrap();
        let mode = fs_err::metadata(places.key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let key = fs_err::read_to_string(places.key()).unwrap();
        assert_eq!(key.trim().len(), 47);
        for part in [key.trim(), &made.vault_id, &made.location] {
            assert!(made.sheet.text().contains(part), "{part}");
        }
        let settings = Settings::load(&places.settings()).unwrap();
        assert_eq!(settings.vault.as_deref(), Some(made.location.as_str()));
        assert_eq!(settings.password_file, Some(places.key()));
        let store = lifeboat_store::open(&made.location, &Access::default()).unwrap();
        assert!(Vault::open(store, key.trim().as_bytes(), env.clone()).is_ok());
        let again = init(&places, env, InitOptions::default()).err().unwrap();
        assert!(again.to_string().contains("already"), "{again}");
        assert_eq!(fs_err::read_to_string(places.key()).unwrap(), key);
    }

    #[test]
    fn an_interrupted_init_is_run_again_with_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        write_private(&places.key(), b"abc-def\n", false).unwrap();
        init(&places, Environment::system("test"), InitOptions::default()).unwrap();
        assert_eq!(fs_err::read_to_string(places.key()).unwrap(), "abc-def\n");
    }

    #[test]
    fn a_private_file_is_never_overwritten_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sheet");
        write_private(&path, b"one", false).unwrap();
        assert!(write_private(&path, b"two", false).is_err());
        assert_eq!(fs_err::read(&path).unwrap(), b"one");
        write_private(&path, b"three", true).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"three");
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }
}
