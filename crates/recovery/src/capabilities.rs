//! What a store was found to be able to do when its vault was made, kept beside the state of this
//! host: the vault's own files are restic's, and have no room for it. Everything in it can be lost.

use std::path::PathBuf;

use lifeboat_store::Capabilities;
use serde::{Deserialize, Serialize};

use crate::{Places, RecoveryError, Result, setup::write_whole};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    location: String,
    exclusive_create: bool,
    append_only: bool,
    lists_at_once: bool,
}

fn path(places: &Places, vault: &str) -> PathBuf {
    places.state.join("stores").join(format!("{vault}.json"))
}

pub(crate) fn remember(
    places: &Places,
    vault: &str,
    location: &str,
    can: &Capabilities,
) -> Result<()> {
    let record = Record {
        location: location.to_owned(),
        exclusive_create: can.exclusive_create,
        append_only: can.append_only,
        lists_at_once: can.lists_at_once,
    };
    let json = serde_json::to_vec_pretty(&record)
        .map_err(|e| RecoveryError::Failed(format!("write down what the store can do: {e}")))?;
    write_whole(&path(places, vault), &json, true, 0o644)
}

/// What was found when the vault was made on this host, if it was made here.
pub fn remembered(places: &Places, vault: &str) -> Option<Capabilities> {
    let json = fs_err::read(path(places, vault)).ok()?;
    let record: Record = serde_json::from_slice(&json).ok()?;
    Some(Capabilities {
        exclusive_create: record.exclusive_create,
        append_only: record.append_only,
        lists_at_once: record.lists_at_once,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            config: dir.path().join("etc"),
            state: dir.path().join("state"),
        };
        assert_eq!(remembered(&places, "ab"), None);
        let can = Capabilities {
            exclusive_create: false,
            append_only: true,
            lists_at_once: true,
        };
        remember(&places, "ab", "rest:http://h/", &can).unwrap();
        assert_eq!(remembered(&places, "ab"), Some(can));
    }
}
