//! The bytes of SFTP, version 3 (draft-ietf-secsh-filexfer-02), as far as a vault needs them. Pure.

pub(super) const INIT: u8 = 1;
pub(super) const VERSION: u8 = 2;
pub(super) const OPEN: u8 = 3;
pub(super) const CLOSE: u8 = 4;
pub(super) const READ: u8 = 5;
pub(super) const WRITE: u8 = 6;
pub(super) const OPENDIR: u8 = 11;
pub(super) const READDIR: u8 = 12;
pub(super) const REMOVE: u8 = 13;
pub(super) const MKDIR: u8 = 14;
pub(super) const STAT: u8 = 17;
pub(super) const RENAME: u8 = 18;
pub(super) const STATUS: u8 = 101;
pub(super) const HANDLE: u8 = 102;
pub(super) const DATA: u8 = 103;
pub(super) const NAME: u8 = 104;
pub(super) const ATTRS: u8 = 105;
pub(super) const EXTENDED: u8 = 200;
pub(super) const EXTENDED_REPLY: u8 = 201;

/// Flags of [`OPEN`].
pub(super) const FOR_READING: u32 = 1;
/// For writing, to be created, and not there before.
pub(super) const NEW: u32 = 0x2 | 0x8 | 0x20;

/// What a status means.
pub(super) const OK: u32 = 0;
pub(super) const END: u32 = 1;
pub(super) const NO_SUCH_FILE: u32 = 2;
pub(super) const PERMISSION_DENIED: u32 = 3;

const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_MODE: u32 = 4;
const HAS_TIMES: u32 = 8;
const HAS_MORE: u32 = 0x8000_0000;

/// The body of a packet, being written.
#[derive(Default)]
pub(super) struct Body(pub Vec<u8>);

impl Body {
    pub fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    pub fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut this = self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        this.0.extend_from_slice(bytes);
        this
    }

    /// Attributes that hold a mode and nothing else.
    pub fn mode(self, mode: u32) -> Self {
        self.u32(HAS_MODE).u32(mode)
    }
}

/// The body of a packet, being read. Everything is `None` once it is too short.
pub(super) struct Fields<'a>(pub &'a [u8]);

/// What a server says of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub size: Option<u64>,
    pub mode: Option<u32>,
    pub modified: Option<u32>,
}

impl Attributes {
    pub fn is_dir(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == 0o040_000)
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub fn attributes(&mut self) -> Option<Attributes> {
        let flags = self.u32()?;
        let mut found = Attributes::default();
        if flags & HAS_SIZE != 0 {
            found.size = Some(self.u64()?);
        }
        if flags & HAS_OWNER != 0 {
            self.take(8)?;
        }
        if flags & HAS_MODE != 0 {
            found.mode = Some(self.u32()?);
        }
        if flags & HAS_TIMES != 0 {
            self.u32()?;
            found.modified = Some(self.u32()?);
        }
        if flags & HAS_MORE != 0 {
            for _ in 0..self.u32()? {
                self.bytes()?;
                self.bytes()?;
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let body = Body::default().u32(7).bytes(b"name").u64(1 << 40);
        let mut fields = Fields(&body.0);
        assert_eq!(fields.u32(), Some(7));
        assert_eq!(fields.bytes(), Some(&b"name"[..]));
        assert_eq!(fields.u64(), Some(1 << 40));
        assert_eq!(fields.u32(), None);
    }

    #[test]
    fn attributes_in_any_combination() {
        let all = Body::default()
            .u32(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES | HAS_MORE)
            .u64(5)
            .u32(1)
            .u32(2)
            .u32(0o040_700)
            .u32(3)
            .u32(4)
            .u32(1)
            .bytes(b"x")
            .bytes(b"y")
            .u32(99);
        let mut fields = Fields(&all.0);
        let found = fields.attributes().unwrap();
        assert_eq!((found.size, found.modified), (Some(5), Some(4)));
        assert!(found.is_dir());
        // And not one byte more.
        assert_eq!(fields.u32(), Some(99));
        assert_eq!(
            Fields(&Body::default().u32(0).0).attributes(),
            Some(Attributes::default())
        );
    }

    #[test]
    fn lengths_that_lie_are_no_panic() {
        for cut in [&[255, 255, 255, 255, 1][..], &[0, 0], &[]] {
            assert_eq!(Fields(cut).bytes(), None);
            assert_eq!(Fields(cut).attributes(), None);
        }
    }
}
