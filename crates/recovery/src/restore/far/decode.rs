//! A tar stream as engines write it, member by member. The `tar` crate takes a line feed in an extended
//! header for the end of a record; names and capabilities may hold one.

use std::io::{self, Read};

use tar::{Entries, Entry, EntryType, Header};

/// The largest extended header that is read.
const MAX_RECORDS: u64 = 4 << 20;

/// One member's head.
pub struct Member {
    /// Full name, without a `/` at its end.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Option<Vec<u8>>,
    /// Owner.
    pub uid: Option<u64>,
    /// Group.
    pub gid: Option<u64>,
    /// The rest.
    pub header: Header,
}

/// The next member with its content. `entries` are raw ones ([`Entries::raw`]).
pub fn next<'s, R: Read>(
    entries: &mut Entries<'s, R>,
) -> io::Result<Option<(Member, Entry<'s, R>)>> {
    let mut records = Vec::new();
    for entry in entries.by_ref() {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::XHeader => {
                let mut text = Vec::new();
                (&mut entry).take(MAX_RECORDS).read_to_end(&mut text)?;
                records = parse(&text)
                    .ok_or_else(|| io::Error::other("an extended header is not well formed"))?;
            }
            EntryType::XGlobalHeader => {}
            _ => return Ok(Some((member(entry.header().clone(), &records), entry))),
        }
    }
    Ok(None)
}

fn member(header: Header, records: &[(Vec<u8>, Vec<u8>)]) -> Member {
    let said = |key: &str| {
        let found = records.iter().rev().find(|(k, _)| k == key.as_bytes());
        found.map(|(_, value)| value.clone())
    };
    let number = |key: &str| String::from_utf8(said(key)?).ok()?.parse().ok();
    let mut name = said("path").unwrap_or_else(|| header.path_bytes().into_owned());
    if name.last() == Some(&b'/') {
        name.pop();
    }
    Member {
        name,
        link: said("linkpath").or_else(|| Some(header.link_name_bytes()?.into_owned())),
        uid: number("uid").or_else(|| header.uid().ok()),
        gid: number("gid").or_else(|| header.gid().ok()),
        header,
    }
}

/// Records as they are: each begins with its length.
fn parse(mut text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !text.is_empty() {
        let digits = text.iter().position(|b| *b == b' ')?;
        let length: usize = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
        let record = text.get(digits + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        text = &text[length..];
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_line_feeds_and_never_lead_astray() {
        let records = parse(b"8 a=\n\n7\n5 b=\n").unwrap();
        assert_eq!(records[0], (b"a".to_vec(), b"\n\n7".to_vec()));
        assert_eq!(records[1], (b"b".to_vec(), b"".to_vec()));
        for bad in ["9 a=b\n", "x a=b\n", "6 ab\n", "1 ", "0 a=b\n", "5 a=b"] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
