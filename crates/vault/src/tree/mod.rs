//! Directories as bytes: `{"nodes":[…]}` and a newline, exactly as restic writes them.
//!
//! - [`encode()`] is byte-exact with current restic (field order, what is left out, Go's quoting and
//!   escaping), because a tree's id is the hash of these bytes and because restic's `rewrite`
//!   refuses what it cannot encode again.
//! - [`decode()`] reads what any restic or rustic wrote and refuses what would harm a restore: names that
//!   are no names, names twice, directories without a tree.
//! - [`Encoder`] and `decode_from` do the same entry by entry, so that a directory of a million files is not in memory as
//!   bytes and as nodes at once.
//!
//! What the format cannot say: extended attribute names, user and group names that are not UTF-8 (they
//! arrive with U+FFFD), and times outside the years 0 to 9999 (the nearest is written).

mod decode;
mod encode;
mod stream;
mod usual;

pub use decode::decode;
pub use encode::{Encoder, encode};
pub(crate) use stream::decode_from;

use crate::{
    error::{Result, VaultError},
    node::{Node, Tree},
};

impl Tree {
    /// The entry of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Node> {
        let at = self
            .nodes
            .binary_search_by(|node| node.name.as_slice().cmp(name))
            .ok()?;
        self.nodes.get(at)
    }
}

/// Whether these bytes can name an entry of a directory: not empty, not `.` or `..`, without `/` and
/// NUL.
pub fn is_valid_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|&b| b == b'/' || b == 0)
}

fn check_name(name: &[u8]) -> Result<()> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(VaultError::damaged(
        "a tree",
        format!("`{}` cannot be the name of a file", shown(name)),
    ))
}

/// A name for people.
fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    crate::gojson::quote(&mut text, name);
    text
}

#[cfg(test)]
mod tests;
