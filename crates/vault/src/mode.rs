//! Unix `st_mode` to and from the bits of Go's `os.FileMode`, which the format uses.

const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_NAMED_PIPE: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_CHAR_DEVICE: u32 = 1 << 21;
const GO_STICKY: u32 = 1 << 20;
const GO_IRREGULAR: u32 = 1 << 19;

const S_IFMT: u32 = 0o170_000;

/// File types of `st_mode` with the bits that Go has for them.
const TYPES: [(u32, u32); 7] = [
    (0o100_000, 0),
    (0o040_000, GO_DIR),
    (0o120_000, GO_SYMLINK),
    (0o060_000, GO_DEVICE),
    (0o020_000, GO_DEVICE | GO_CHAR_DEVICE),
    (0o010_000, GO_NAMED_PIPE),
    (0o140_000, GO_SOCKET),
];

/// Setuid, setgid and sticky, likewise.
const SPECIAL: [(u32, u32); 3] = [
    (0o4000, GO_SETUID),
    (0o2000, GO_SETGID),
    (0o1000, GO_STICKY),
];

/// `st_mode` (type and permission bits) as Go has it. An unknown type becomes an irregular file.
pub fn to_go(st_mode: u32) -> u32 {
    let file_type = TYPES
        .iter()
        .find(|(unix, _)| *unix == st_mode & S_IFMT)
        .map_or(GO_IRREGULAR, |(_, go)| *go);
    file_type | permissions_to_go(st_mode)
}

/// Go's bits as `st_mode`; the type is 0 for what Linux has not.
pub fn from_go(mode: u32) -> u32 {
    let all_types =
        GO_DIR | GO_SYMLINK | GO_DEVICE | GO_NAMED_PIPE | GO_SOCKET | GO_CHAR_DEVICE | GO_IRREGULAR;
    let file_type = TYPES
        .iter()
        .find(|(_, go)| *go == mode & all_types)
        .map_or(0, |(unix, _)| *unix);
    file_type | permissions_from_go(mode)
}

/// The permission bits, setuid, setgid and sticky alone, as Go has them.
pub fn permissions_to_go(mode: u32) -> u32 {
    SPECIAL
        .iter()
        .filter(|(unix, _)| mode & unix != 0)
        .fold(mode & 0o777, |bits, (_, go)| bits | go)
}

/// Reverses [`permissions_to_go`].
pub fn permissions_from_go(mode: u32) -> u32 {
    SPECIAL
        .iter()
        .filter(|(_, go)| mode & go != 0)
        .fold(mode & 0o777, |bits, (unix, _)| bits | unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_has_it() {
        assert_eq!(to_go(0o120_777), 134_218_239);
        assert_eq!(to_go(0o100_644), 420);
        assert_eq!(to_go(0o041_777), GO_DIR | GO_STICKY | 0o777);
        assert_eq!(to_go(0o104_755), GO_SETUID | 0o755);
        assert_eq!(to_go(0o020_600), GO_DEVICE | GO_CHAR_DEVICE | 0o600);
        assert_eq!(to_go(0o000_600), GO_IRREGULAR | 0o600);
    }

    #[test]
    fn every_mode_comes_back() {
        for (unix, _) in TYPES {
            for permissions in 0..0o10_000 {
                assert_eq!(from_go(to_go(unix | permissions)), unix | permissions);
            }
        }
    }
}
