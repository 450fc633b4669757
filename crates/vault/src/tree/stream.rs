//! Large trees, decoded as they are decompressed: what is in memory is the nodes and a window of JSON, not all of both.
//!
//! An entry that is written as usual is read by the quick parser, any other one by the general one. Where the frame around
//! the entries is another one than every program writes, the caller decodes the whole.

use std::io::Read;

use super::{
    decode::{self, RawNode},
    usual,
};
use crate::{
    error::{Result, VaultError},
    gojson::scan::Scan,
    node::{Node, Tree},
};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// An entry that is longer than this is no work for a window.
const LONGEST_ENTRY: usize = 64 << 20;

/// What came of the beginning of some bytes.
#[allow(clippy::large_enum_variant, reason = "one at a time, moved on at once")]
enum Taken {
    /// An entry and how many bytes it has.
    Entry(Node, usize),
    /// It is not whole.
    More,
    /// It is nothing that is known here.
    Unknown,
}

/// Reads a tree of `length` bytes. `None` where its frame is unusual: nothing is said about it then. An error of
/// `bytes` counts as that too; whoever gave them knows of it.
pub(crate) fn decode_from(bytes: &mut dyn Read, length: usize) -> Result<Option<Tree>> {
    decode::allow(length);
    let mut nodes = Vec::new();
    let mut window: Vec<u8> = Vec::with_capacity(2 * PIECE);
    let mut at = 0;
    let mut over = false;
    let mut wanted = PIECE;
    // `{"nodes":[` was read, and the next is an entry.
    let (mut begun, mut separated) = (false, false);
    loop {
        if !over && window.len() - at < wanted {
            window.drain(..at);
            at = 0;
            let more = (wanted - window.len()).max(PIECE) as u64;
            match (&mut *bytes).take(more).read_to_end(&mut window) {
                Ok(0) => over = true,
                Ok(_) => {}
                Err(_) => return Ok(None),
            }
            continue;
        }
        let rest = &window[at..];
        if !begun {
            let Some(rest) = rest.strip_prefix(b"{\"nodes\":[") else {
                return Ok(None);
            };
            separated = rest.first() != Some(&b']');
            at = window.len() - rest.len();
            begun = true;
            continue;
        }
        if !separated {
            match rest.first() {
                Some(b',') => {
                    at += 1;
                    separated = true;
                }
                // All that is left is looked at together.
                _ if !over => wanted = rest.len() + 1,
                _ => return end(rest, nodes),
            }
            continue;
        }
        match entry(rest)? {
            Taken::Entry(node, length) => {
                decode::afford(&node)?;
                nodes.push(node);
                at += length;
                separated = false;
                // Always more than the separator and the end.
                wanted = 64;
            }
            Taken::More if !over && rest.len() < LONGEST_ENTRY => wanted = 2 * rest.len() + 1,
            Taken::More | Taken::Unknown => return Ok(None),
        }
    }
}

fn end(rest: &[u8], nodes: Vec<Node>) -> Result<Option<Tree>> {
    let blank = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t');
    match rest.strip_prefix(b"]}") {
        Some(rest) if rest.iter().all(blank) => decode::in_order(nodes).map(Some),
        _ => Ok(None),
    }
}

fn entry(rest: &[u8]) -> Result<Taken> {
    let mut scan = Scan::new(rest);
    if let Some(node) = usual::node(&mut scan) {
        return Ok(Taken::Entry(node, rest.len() - scan.left()));
    }
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<RawNode<'_>>();
    match values.next() {
        Some(Ok(raw)) => {
            let node = decode::node(raw)?;
            Ok(Taken::Entry(node, values.byte_offset()))
        }
        Some(Err(error)) if error.is_eof() => Ok(Taken::More),
        None => Ok(Taken::More),
        Some(Err(error)) if error.is_data() => Err(VaultError::damaged(
            "a tree",
            format!("it is no directory listing ({error})"),
        )),
        Some(Err(_)) => Ok(Taken::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BlobId, Metadata, NodeKind,
        tree::{decode, encode},
    };

    /// Gives a few bytes at a time.
    struct Drops<'b>(&'b [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn tree(count: usize) -> Tree {
        let node = |n: usize| {
            let kind = match n % 5 {
                0 => NodeKind::Fifo,
                1 => NodeKind::Symlink {
                    target: b"\xff\"x".to_vec(),
                },
                2 => NodeKind::Dir {
                    subtree: BlobId([7; 32]),
                },
                3 if n == 2003 => NodeKind::File {
                    size: 5,
                    content: vec![BlobId([9; 32]); 20_000],
                },
                _ => NodeKind::File {
                    size: 5,
                    content: vec![BlobId([n as u8; 32])],
                },
            };
            let name = if n.is_multiple_of(7) {
                format!("f{n:08}\u{e4}\"")
            } else {
                format!("f{n:08}")
            };
            Node {
                name: name.into_bytes(),
                kind,
                meta: Metadata {
                    inode: n as u64,
                    user: "root".to_owned(),
                    ..Metadata::default()
                },
            }
        };
        Tree {
            nodes: (0..count).map(node).collect(),
        }
    }

    fn streamed(bytes: &[u8], drops: usize) -> Result<Option<Tree>> {
        decode_from(&mut Drops(bytes, drops), bytes.len())
    }

    #[test]
    fn reads_what_the_other_decoder_reads_however_it_arrives() {
        for count in [0, 1, 2, 6000] {
            let tree = tree(count);
            let bytes = encode(&tree).unwrap();
            for drops in [PIECE, 1000, 64] {
                assert!(
                    streamed(&bytes, drops).unwrap().as_ref() == Some(&tree),
                    "{count} {drops}"
                );
            }
        }
    }

    #[test]
    fn what_it_takes_the_other_decoder_understands_the_same() {
        let bytes = encode(&tree(6)).unwrap();
        let mut taken = 0;
        for at in 0..bytes.len() {
            for byte in *b"09afz\"\\ ,:{}[]\x00\xff" {
                let mut other = bytes.clone();
                other[at] = byte;
                match (streamed(&other, 100), decode(&other)) {
                    (Ok(Some(tree)), Ok(same)) => {
                        taken += 1;
                        assert!(tree == same);
                    }
                    (Ok(None), _) | (Err(_), Err(_)) => {}
                    (one, two) => panic!("{at} {byte}: {one:?}, {two:?}"),
                }
            }
            // Nobody misses the newline at the end.
            if at + 1 < bytes.len() {
                assert!(!matches!(streamed(&bytes[..at], 100), Ok(Some(_))), "{at}");
            }
        }
        assert!(taken > 1000, "{taken}");
    }

    #[test]
    fn names_twice_and_names_that_are_none_are_damage() {
        for names in [["a", "a"], ["b", "."]] {
            let node =
                |name: &str| format!("{{\"name\":\"{name}\",\"type\":\"fifo\",\"content\":null}}");
            let json = format!("{{\"nodes\":[{},{}]}}", node(names[0]), node(names[1]));
            streamed(json.as_bytes(), 7).unwrap_err();
        }
    }
}
