//! Which packs of a vault were read and found whole, and when: what `check --read-data-rolling` goes on from.
//!
//! One file for each vault in the state directory, written whole or not at all. It can be lost: then it begins anew.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use lifeboat_vault::id::PackId;
use serde::{Deserialize, Serialize};

use crate::{Places, Result, setup::write_whole};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// Seconds since 1970.
    packs: BTreeMap<String, i64>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub struct Verified {
    /// Seconds since 1970 at which a pack was found whole.
    pub packs: HashMap<PackId, i64>,
    /// Why it begins anew, where a file was there and could not be used.
    pub problem: Option<String>,
}

impl Verified {
    /// Reads what is remembered of a vault.
    pub fn load(places: &Places, vault: &str) -> Verified {
        let path = path(places, vault);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Verified::default(),
            Err(e) => return Verified::anew(e.to_string()),
        };
        match serde_json::from_slice::<File>(&bytes) {
            Ok(file) if file.version == VERSION => {
                let packs = file.packs.iter();
                Verified {
                    packs: packs
                        .filter_map(|(id, time)| Some((id.parse().ok()?, *time)))
                        .collect(),
                    problem: None,
                }
            }
            Ok(_) => Verified::anew(format!("{} is of another version", path.display())),
            Err(e) => Verified::anew(format!("{}: {e}", path.display())),
        }
    }

    fn anew(why: String) -> Verified {
        Verified {
            packs: HashMap::new(),
            problem: Some(format!(
                "what was read when is not known any more ({why}); every pack counts as never read"
            )),
        }
    }

    /// Remembers it.
    pub fn save(places: &Places, vault: &str, packs: &HashMap<PackId, i64>) -> Result<()> {
        let file = File {
            version: VERSION,
            packs: packs
                .iter()
                .map(|(id, time)| (id.to_hex(), *time))
                .collect(),
        };
        let json = serde_json::to_vec(&file).map_err(std::io::Error::from)?;
        write_whole(&path(places, vault), &json, true, 0o644)
    }
}

/// The vault's id comes from its config, which somebody else may have written.
fn path(places: &Places, vault: &str) -> PathBuf {
    let name: String = vault
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    places.state.join("verified").join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_what_is_broken_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            config: dir.path().join("etc"),
            state: dir.path().join("state"),
        };
        assert!(Verified::load(&places, "v").packs.is_empty());
        let packs = HashMap::from([(PackId([1; 32]), 5), (PackId([2; 32]), 7)]);
        Verified::save(&places, "v", &packs).unwrap();
        let loaded = Verified::load(&places, "v");
        assert_eq!(loaded.packs, packs);
        assert!(loaded.problem.is_none());
        assert!(Verified::load(&places, "w").packs.is_empty());
        for broken in ["", "{", "{\"version\":2,\"packs\":{}}"] {
            fs_err::write(path(&places, "v"), broken).unwrap();
            let loaded = Verified::load(&places, "v");
            assert!(
                loaded.packs.is_empty() && loaded.problem.is_some(),
                "{broken}"
            );
        }
        assert!(path(&places, "../../etc/x").starts_with(&places.state));
    }
}
