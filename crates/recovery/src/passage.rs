//! A way through a folder of ours that is for root alone, for the root of an engine that maps ids: to the
//! kernel that is some other user, and what lies below the folder is to be mounted into its containers.
//!
//! An entry in the folder's access list lets that one user pass, and see or change nothing of the folder
//! itself. A file system without such lists gives none: then the engine says that it cannot get there.

use std::path::Path;

use lifeboat_plan::manifest::EngineRecord;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use crate::restore::ids::Ids;

const LIST: &str = "system.posix_acl_access";
const VERSION: u32 = 2;
const ENTRY: usize = 8;
const PASS: u16 = 1;
const NOBODY: u32 = u32::MAX;

/// Who an entry is about.
mod tag {
    pub const OWNER: u16 = 1;
    pub const USER: u16 = 2;
    pub const GROUP: u16 = 4;
    pub const MASK: u16 = 0x10;
    pub const OTHER: u16 = 0x20;
}

/// Who root in the engine's containers is on this host, if that is somebody else.
pub(crate) fn root_of(engine: &EngineRecord) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    match Ids::of(engine) {
        Ids::Plain => None,
        Ids::Remapped(shift) => Some(shift.root()),
        // A rootless engine is its user's, and so is its data root.
        Ids::Unknown(data_root) => {
            let owner = fs_err::metadata(data_root).ok()?.uid();
            (owner != 0).then_some(owner)
        }
    }
}

/// Lets a user pass through a folder whose mode lets root alone, beside those who may already.
pub(crate) fn open(folder: &Path, user: Option<u32>) -> std::io::Result<()> {
    let mut list = [0; 4096];
    let length = getxattr(folder, LIST, &mut list).unwrap_or(0);
    let mut users = users(&list[..length]);
    users.extend(user);
    users.sort_unstable();
    users.dedup();
    if users.is_empty() {
        return Ok(());
    }
    Ok(setxattr(
        folder,
        LIST,
        &written(&users),
        XattrFlags::empty(),
    )?)
}

/// The users whom a list names.
fn users(list: &[u8]) -> Vec<u32> {
    let entries = list.get(4..).unwrap_or_default().chunks_exact(ENTRY);
    let users = entries.filter(|e| e[..2] == tag::USER.to_le_bytes());
    users
        .map(|e| u32::from_le_bytes([e[4], e[5], e[6], e[7]]))
        .collect()
}

/// A list by which its owner may do anything, and these users may pass.
fn written(users: &[u32]) -> Vec<u8> {
    let mut list = VERSION.to_le_bytes().to_vec();
    let mut entry = |tag: u16, may: u16, who: u32| {
        list.extend(tag.to_le_bytes());
        list.extend(may.to_le_bytes());
        list.extend(who.to_le_bytes());
    };
    entry(tag::OWNER, 7, NOBODY);
    for user in users {
        entry(tag::USER, PASS, *user);
    }
    entry(tag::GROUP, 0, NOBODY);
    entry(tag::MASK, PASS, NOBODY);
    entry(tag::OTHER, 0, NOBODY);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_who_may_pass() {
        assert_eq!(users(&written(&[1, 165_536])), [1, 165_536]);
        assert_eq!(users(&[]), Vec::<u32>::new());
        assert_eq!(users(&[2, 0, 0, 0, 2, 0, 1]), Vec::<u32>::new());
    }
}
