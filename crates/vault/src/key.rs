//! Key files: the master key, sealed with a key that scrypt makes of a password.
//!
//! A vault can have several; each holds the same master key. N, r and p come from the file, so they
//! are bounded before any memory is taken: a hostile key file must not eat the machine.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use lifeboat_store::{Area, Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    env::Environment,
    error::{Result, VaultError},
    id::KeyId,
    seal::{KeyMaterial, SealKey},
    unpacked::object_name,
};

/// restic knows this length only.
const SALT_LEN: usize = 64;
/// 128 * N * r bytes are what scrypt takes.
const MAX_MEMORY: u64 = 1 << 30;
/// N * r * p is the time it takes; this is about 20 s.
const MAX_WORK: u64 = 1 << 25;
/// A key file is some 500 bytes.
const MAX_KEY_FILE: u64 = 64 << 10;

/// What scrypt costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Binary logarithm of N.
    pub log_n: u8,
    /// Block size.
    pub r: u32,
    /// Parallelism.
    pub p: u32,
}

impl Cost {
    /// restic's default: 32 MiB and about 0.1 s.
    pub const DEFAULT: Cost = Cost {
        log_n: 15,
        r: 8,
        p: 1,
    };

    /// From the fields of a key file. `None` for what is no cost or too high a one.
    fn checked(n: u64, r: u64, p: u64) -> Option<Cost> {
        let memory = n.checked_mul(r)?.checked_mul(128)?;
        let work = n.checked_mul(r)?.checked_mul(p)?;
        let fine = n.is_power_of_two()
            && n > 1
            && (1..=1 << 16).contains(&r)
            && (1..=1 << 10).contains(&p)
            && memory <= MAX_MEMORY
            && work <= MAX_WORK;
        let log_n = u8::try_from(n.trailing_zeros()).ok()?;
        fine.then_some(Cost {
            log_n,
            r: u32::try_from(r).ok()?,
            p: u32::try_from(p).ok()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    // Only for people; rustic leaves all three out.
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
    salt: String,
    data: String,
}

#[derive(Serialize, Deserialize)]
struct MasterJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: String,
    r: String,
}

impl Drop for MasterJson {
    fn drop(&mut self) {
        self.mac.k.zeroize();
        self.mac.r.zeroize();
        self.encrypt.zeroize();
    }
}

fn stretch(password: &[u8], salt: &[u8], cost: Cost) -> Result<SealKey> {
    let invalid = || VaultError::Invalid("scrypt refused its parameters".to_owned());
    let params = scrypt::Params::new(cost.log_n, cost.r, cost.p).map_err(|_| invalid())?;
    let mut bytes = Zeroizing::new([0; 64]);
    scrypt::scrypt(password, salt, &params, bytes.as_mut_slice()).map_err(|_| invalid())?;
    SealKey::new(&KeyMaterial::from_bytes(&bytes))
}

/// Adds a key file that opens with a password. Durable when this returns.
pub fn add(
    store: &dyn Store,
    password: &[u8],
    master: &KeyMaterial,
    env: &Environment,
    cost: Cost,
) -> Result<KeyId> {
    let mut salt = [0; SALT_LEN];
    env.random.fill(&mut salt)?;
    let failed = |e| VaultError::Invalid(format!("write a key: {e}"));
    let json = MasterJson {
        mac: MacJson {
            k: BASE64.encode(master.mac_k),
            r: BASE64.encode(master.mac_r),
        },
        encrypt: BASE64.encode(master.encrypt),
    };
    let plain = Zeroizing::new(serde_json::to_vec(&json).map_err(failed)?);
    let data = stretch(password, &salt, cost)?.seal(&*env.random, &plain)?;
    let file = KeyFile {
        created: Some(env.clock.now().to_rfc3339()),
        username: Some(env.username.clone()),
        hostname: Some(env.hostname.clone()),
        kdf: "scrypt".to_owned(),
        n: 1 << cost.log_n,
        r: u64::from(cost.r),
        p: u64::from(cost.p),
        salt: BASE64.encode(salt),
        data: BASE64.encode(data),
    };
    let bytes = serde_json::to_vec(&file).map_err(failed)?;
    let id = KeyId(Sha256::digest(&bytes).into());
    store
        .put(&object_name(Area::Keys, &id.0)?, &bytes)
        .map_err(VaultError::store("write a key"))?;
    Ok(id)
}

/// What a key file says of itself. Nothing of it is secret, and nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub id: KeyId,
    /// When it was made, RFC 3339, if it says so.
    pub created: Option<String>,
    /// Who made it, if it says so.
    pub username: Option<String>,
    /// Where it was made, if it says so.
    pub hostname: Option<String>,
    /// Why it is no key any more, where it is damaged.
    pub damage: Option<String>,
}

/// Reads what a key file says of itself; `None` where it is not there.
pub fn info(store: &dyn Store, id: KeyId) -> Result<Option<KeyInfo>> {
    let Some(bytes) = read(store, id)? else {
        return Ok(None);
    };
    let mut info = KeyInfo {
        id,
        created: None,
        username: None,
        hostname: None,
        damage: None,
    };
    if Sha256::digest(&bytes).as_slice() != id.0 {
        info.damage = Some("its bytes do not match its name".to_owned());
    } else if let Ok(file) = serde_json::from_slice::<KeyFile>(&bytes) {
        info.created = file.created;
        info.username = file.username;
        info.hostname = file.hostname;
    } else {
        info.damage = Some("its JSON does not parse".to_owned());
    }
    Ok(Some(info))
}

/// The master key in one key file, if it is there, whole, and this password opens it.
pub fn open_one(store: &dyn Store, id: KeyId, password: &[u8]) -> Result<Option<KeyMaterial>> {
    let Some(bytes) = read(store, id)? else {
        return Ok(None);
    };
    match try_file(&bytes, &id.0, password, &format!("keys/{id}"))? {
        Tried::Opened(master) => Ok(Some(master)),
        Tried::Other | Tried::Damaged(_) => Ok(None),
    }
}

/// The bytes of a key file; what is too large to be one is cut.
fn read(store: &dyn Store, id: KeyId) -> Result<Option<Vec<u8>>> {
    let name = object_name(Area::Keys, &id.0)?;
    let read = store.size(&name).and_then(|size| {
        // More than this is no key; its hash will not match.
        let length = usize::try_from(size.min(MAX_KEY_FILE)).unwrap_or(0);
        store.get_range(&name, 0, length)
    });
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(e) => Err(VaultError::store(format!("read {name}"))(e)),
    }
}

enum Tried {
    Opened(KeyMaterial),
    /// Whole, but made with another password.
    Other,
    Damaged(VaultError),
}

/// Tries a password on every key file until one opens and `accept` takes its master key. What
/// `accept` says of the others counts only if none is taken.
///
/// A wrong password and damage are told apart: a key file carries no sum but its name. One that matches
/// its name and does not open was made with another password; one that does not match is damaged.
pub fn unlock<T>(
    store: &dyn Store,
    password: &[u8],
    mut accept: impl FnMut(&KeyMaterial) -> Result<T>,
) -> Result<(KeyId, T)> {
    let mut objects = store
        .list(Area::Keys)
        .map_err(VaultError::store("list the keys"))?;
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    let mut whole = 0;
    let mut damaged = None;
    let mut refused = None;
    for object in objects {
        let mut id = [0; 32];
        if hex::decode_to_slice(object.name.id(), &mut id).is_err() {
            continue;
        }
        if object.size > MAX_KEY_FILE {
            damaged = Some(VaultError::damaged(
                object.name.to_string(),
                "it is too large",
            ));
            continue;
        }
        let bytes = match store.get(&object.name) {
            Ok(bytes) => bytes,
            // Removed between listing and reading.
            Err(StoreError::NotFound(_)) => continue,
            Err(e) => return Err(VaultError::store(format!("read {}", object.name))(e)),
        };
        match try_file(&bytes, &id, password, &object.name.to_string())? {
            Tried::Opened(master) => match accept(&master) {
                Ok(accepted) => return Ok((KeyId(id), accepted)),
                Err(e) => refused = Some(e),
            },
            Tried::Other => whole += 1,
            Tried::Damaged(e) => damaged = Some(e),
        }
    }
    match refused.or(damaged) {
        Some(VaultError::Damaged { what, why }) if whole > 0 && what != "config" => {
            Err(VaultError::Damaged {
                what,
                why: format!("{why}, and the password opens none of the other {whole} key(s)"),
            })
        }
        Some(e) => Err(e),
        None if whole == 0 => Err(VaultError::damaged(
            "keys",
            "there is no key file in the vault",
        )),
        None => Err(VaultError::WrongPassword {
            location: store.location(),
            keys: whole,
        }),
    }
}

fn try_file(bytes: &[u8], id: &[u8; 32], password: &[u8], what: &str) -> Result<Tried> {
    let damaged = |why: &str| Ok(Tried::Damaged(VaultError::damaged(what, why)));
    if Sha256::digest(bytes).as_slice() != id {
        return damaged("its bytes do not match its name");
    }
    let Ok(file) = serde_json::from_slice::<KeyFile>(bytes) else {
        return damaged("its JSON does not parse");
    };
    if file.kdf != "scrypt" {
        return damaged("it names a key derivation other than scrypt");
    }
    let Some(cost) = Cost::checked(file.n, file.r, file.p) else {
        return damaged("its scrypt parameters are out of bounds");
    };
    let (Ok(salt), Ok(mut data)) = (BASE64.decode(&file.salt), BASE64.decode(&file.data)) else {
        return damaged("its base64 does not decode");
    };
    if salt.len() != SALT_LEN {
        return damaged("its salt has not 64 bytes");
    }
    let key = stretch(password, &salt, cost)?;
    let Ok(plain) = key.open_in_place(&mut data) else {
        return Ok(Tried::Other);
    };
    let master = parse_master(plain);
    data.zeroize();
    match master {
        Some(master) => Ok(Tried::Opened(master)),
        None => damaged("the master key in it does not parse"),
    }
}

fn parse_master(plain: &[u8]) -> Option<KeyMaterial> {
    let json: MasterJson = serde_json::from_slice(plain).ok()?;
    let mut master = KeyMaterial {
        encrypt: [0; 32],
        mac_k: [0; 16],
        mac_r: [0; 16],
    };
    let decode = |text: &str, out: &mut [u8]| {
        let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
        (bytes.len() == out.len()).then(|| out.copy_from_slice(&bytes))
    };
    decode(&json.encrypt, &mut master.encrypt)?;
    decode(&json.mac.k, &mut master.mac_k)?;
    decode(&json.mac.r, &mut master.mac_r)?;
    let zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
    (!zero(&master.encrypt) && !zero(&master.mac_k) && !zero(&master.mac_r)).then_some(master)
}

#[cfg(test)]
mod tests {
    use lifeboat_store::{MemoryStore, ObjectName};

    use super::*;
    use crate::error::ErrorKind;

    const CHEAP: Cost = Cost {
        log_n: 4,
        r: 8,
        p: 1,
    };

    fn vault_with(passwords: &[&[u8]]) -> (MemoryStore, Vec<KeyId>, KeyMaterial) {
        let store = MemoryStore::new();
        let env = Environment::system("test");
        let master = KeyMaterial::random(&*env.random).unwrap();
        let ids = passwords
            .iter()
            .map(|p| add(&store, p, &master, &env, CHEAP).unwrap());
        let ids = ids.collect();
        (store, ids, master)
    }

    fn name(id: KeyId) -> ObjectName {
        object_name(Area::Keys, &id.0).unwrap()
    }

    #[test]
    fn each_password_opens_its_key() {
        let (store, ids, master) = vault_with(&[b"one", b"two"]);
        for (password, id) in [&b"one"[..], b"two"].iter().zip(&ids) {
            let (found, opened) = unlock(&store, password, |m| Ok(m.clone())).unwrap();
            assert_eq!(found, *id);
            assert_eq!(opened.encrypt, master.encrypt);
            assert_eq!((opened.mac_k, opened.mac_r), (master.mac_k, master.mac_r));
        }
        let error = unlock(&store, b"three", |_| Ok(())).unwrap_err();
        assert!(matches!(error, VaultError::WrongPassword { keys: 2, .. }));
    }

    #[test]
    fn damage_is_not_a_wrong_password() {
        let (store, ids, _) = vault_with(&[b"one"]);
        store.tamper(&name(ids[0]), |bytes| bytes[200] ^= 1);
        let error = unlock(&store, b"one", |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        store.delete(&name(ids[0])).unwrap();
        assert_eq!(
            unlock(&store, b"one", |_| Ok(())).unwrap_err().kind(),
            ErrorKind::Damaged
        );
    }

    #[test]
    fn one_damaged_key_does_not_keep_the_other_from_opening() {
        let (store, ids, _) = vault_with(&[b"one", b"two"]);
        store.tamper(&name(ids[0]), |bytes| bytes.truncate(10));
        assert_eq!(unlock(&store, b"two", |_| Ok(())).unwrap().0, ids[1]);
    }

    #[test]
    fn hostile_costs_are_refused() {
        assert_eq!(Cost::checked(1 << 15, 8, 1), Some(Cost::DEFAULT));
        assert!(Cost::checked(1 << 20, 8, 1).is_some());
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (3, 8, 1),
            (1 << 15, 0, 1),
            (1 << 15, 8, 0),
            (1 << 30, 8, 1),
            (1 << 15, 1 << 30, 1),
            (2, 8, u64::MAX),
            (1 << 63, u64::MAX, 1),
        ] {
            assert_eq!(Cost::checked(n, r, p), None, "{n} {r} {p}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let material = KeyMaterial {
            encrypt: [0xab; 32],
            mac_k: [0xcd; 16],
            mac_r: [0xef; 16],
        };
        let shown = format!("{material:?} {:?}", SealKey::new(&material).unwrap());
        assert_eq!(shown, "KeyMaterial(…) SealKey(…)");
    }
}
