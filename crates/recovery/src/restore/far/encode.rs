//! One entry's head in a tar stream, as engines read it: ustar with an extended (PAX) header before it,
//! which carries what ustar cannot: nanoseconds, long names and names that are no text, large numbers,
//! extended attributes (`SCHILY.xattr.`, with access control lists and capabilities among them).

use lifeboat_vault::node::{Metadata, Timestamp};
use tar::{EntryType, Header};

use crate::restore::ids::Shift;

/// A block of a tar stream.
pub const BLOCK: usize = 512;
/// The largest number in an eight byte field.
const MAX_ID: u32 = 0o7_777_777;
/// The largest number in a twelve byte field.
const MAX_LONG: u64 = 0o77_777_777_777;

/// One entry.
pub struct Head<'a> {
    /// Full name in the stream.
    pub name: &'a [u8],
    /// Kind.
    pub kind: EntryType,
    /// Metadata; `None` for a folder that is ours alone until everything in it is there.
    pub meta: Option<&'a Metadata>,
    /// Bytes that follow.
    pub size: u64,
    /// Target of a link.
    pub link: Option<&'a [u8]>,
    /// Device number.
    pub device: u64,
}

/// Appends the head of an entry. Returns extended attributes that cannot be said.
pub fn head(out: &mut Vec<u8>, head: &Head<'_>, shift: Shift) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut unsaid = Vec::new();
    let mut header = Header::new_ustar();
    header.set_entry_type(head.kind);
    let name = &mut header.as_old_mut().name;
    if !fits(head.name, name) {
        record(&mut records, b"path", head.name);
    }
    if let Some(link) = head.link
        && !fits(link, &mut header.as_old_mut().linkname)
    {
        record(&mut records, b"linkpath", link);
    }
    let (mode, uid, gid) = match head.meta {
        Some(meta) => (meta.mode & 0o7777, shift.uid(meta.uid), shift.gid(meta.gid)),
        None => (0o700, 0, 0),
    };
    header.set_mode(mode);
    header.set_uid(u64::from(small(&mut records, b"uid", uid)));
    header.set_gid(u64::from(small(&mut records, b"gid", gid)));
    if head.size > MAX_LONG {
        record(&mut records, b"size", head.size.to_string().as_bytes());
    }
    header.set_size(if head.size > MAX_LONG { 0 } else { head.size });
    header.set_mtime(0);
    if let Some(meta) = head.meta {
        let seconds = u64::try_from(meta.mtime.secs).unwrap_or(0);
        header.set_mtime(seconds.min(MAX_LONG));
        record(&mut records, b"mtime", time(meta.mtime).as_bytes());
        record(&mut records, b"atime", time(meta.atime).as_bytes());
        for xattr in &meta.xattrs {
            // Engines take a record without a value for one that is not there.
            if xattr.value.is_empty() || xattr.name.iter().any(|b| matches!(b, b'=' | 0)) {
                unsaid.push(xattr.name.clone());
                continue;
            }
            let key = [b"SCHILY.xattr.".as_slice(), &xattr.name].concat();
            record(&mut records, &key, &xattr.value);
        }
    }
    if head.device != 0 {
        // Neither can fail on a ustar header.
        let _ = header.set_device_major(rustix::fs::major(head.device));
        let _ = header.set_device_minor(rustix::fs::minor(head.device));
    }
    if !records.is_empty() {
        extended(out, &records);
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    unsaid
}

/// Fills up to a whole block.
pub fn pad(out: &mut Vec<u8>, written: u64) {
    let over = (written % BLOCK as u64) as usize;
    if over > 0 {
        out.resize(out.len() + BLOCK - over, 0);
    }
}

/// Puts as much of a name into a field as fits, as plain letters; `true` if that is the whole name.
fn fits(name: &[u8], field: &mut [u8; 100]) -> bool {
    let plain = |b: u8| {
        if b.is_ascii_graphic() || b == b' ' {
            b
        } else {
            b'_'
        }
    };
    for (to, from) in field.iter_mut().zip(name) {
        *to = plain(*from);
    }
    name.len() <= field.len() && name.iter().all(|b| plain(*b) == *b)
}

fn small(records: &mut Vec<u8>, key: &[u8], id: u32) -> u32 {
    if id <= MAX_ID {
        return id;
    }
    record(records, key, id.to_string().as_bytes());
    0
}

/// The extended header and its records.
fn extended(out: &mut Vec<u8>, records: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    let name = b"PaxHeaders.0/x";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(records.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(records);
    pad(out, records.len() as u64);
}

/// `LENGTH key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with nine digits behind the point; before 1970 both parts count backwards.
fn time(at: Timestamp) -> String {
    if at.secs >= 0 || at.nanos == 0 {
        return format!("{}.{:09}", at.secs, at.nanos);
    }
    format!("-{}.{:09}", -(at.secs + 1), 1_000_000_000 - at.nanos)
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::node::Xattr;

    use super::*;
    use crate::restore::far::decode;

    fn read_back(bytes: &[u8]) -> decode::Member {
        let mut archive = tar::Archive::new(bytes);
        let mut entries = archive.entries().unwrap().raw(true);
        decode::next(&mut entries).unwrap().unwrap().0
    }

    #[test]
    fn long_names_that_are_no_text_and_attributes_are_said() {
        let name = [b"d/".as_slice(), &[0xff; 120], b"\n"].concat();
        let meta = Metadata {
            mode: 0o104_755,
            uid: 4_000_000_000,
            gid: 7,
            mtime: Timestamp {
                secs: -2,
                nanos: 500_000_000,
            },
            xattrs: vec![
                Xattr {
                    name: b"security.capability".to_vec(),
                    value: vec![0, 1, b'\n', 0xff],
                },
                Xattr {
                    name: b"user.a=b".to_vec(),
                    value: vec![1],
                },
            ],
            ..Metadata::default()
        };
        let mut out = Vec::new();
        let unsaid = head(
            &mut out,
            &Head {
                name: &name,
                kind: EntryType::Regular,
                meta: Some(&meta),
                size: 0,
                link: None,
                device: 0,
            },
            Shift::default(),
        );
        assert_eq!(unsaid, [b"user.a=b".to_vec()]);
        out.extend_from_slice(&[0; 2 * BLOCK]);
        assert_eq!(out.len() % BLOCK, 0);
        let back = read_back(&out);
        assert_eq!(back.name, name);
        assert_eq!((back.uid, back.gid), (Some(4_000_000_000), Some(7)));
        assert_eq!(back.header.mode().unwrap(), 0o4755);
        let holds = |record: &[u8]| out.windows(record.len()).any(|w| w == record);
        assert!(holds(b" mtime=-1.500000000\n"));
        assert!(holds(b" SCHILY.xattr.security.capability=\x00\x01\n\xff\n"));
    }

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 5, 90, 91, 92, 93, 94, 988, 989, 990, 991, 992] {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; length]);
            let text = String::from_utf8(out.clone()).unwrap();
            let said: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, out.len());
        }
    }
}
