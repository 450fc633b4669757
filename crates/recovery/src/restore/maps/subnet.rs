//! IPv4 subnets as values.

use std::{fmt, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

/// A subnet of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    base: u32,
    length: u32,
}

impl Subnet {
    /// Reads `10.1.0.0/24`; bits of a host are cut off, as engines do.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        Some(Self {
            base: u32::from(address) & mask(length),
            length,
        })
    }

    pub fn length(self) -> u32 {
        self.length
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.length) == self.base
    }

    pub fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.length.min(other.length));
        self.base & shorter == other.base & shorter
    }

    /// The same place in another subnet of the same size; for a subnet within this one too.
    pub fn moved(self, address: Ipv4Addr, to: Self) -> Option<Ipv4Addr> {
        self.contains(address)
            .then(|| Ipv4Addr::from(to.base | (u32::from(address) & !mask(self.length))))
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn overlap_is_seen_whichever_is_larger() {
        let small = subnet("10.1.2.0/24");
        for (other, overlaps) in [
            ("10.1.0.0/16", true),
            ("10.1.2.128/25", true),
            ("10.1.3.0/24", false),
            ("0.0.0.0/0", true),
            ("10.1.2.7/32", true),
        ] {
            assert_eq!(small.overlaps(subnet(other)), overlaps, "{other}");
            assert_eq!(subnet(other).overlaps(small), overlaps, "{other}");
        }
        for bad in ["10.1.2.0", "10.1.2.0/33", "10.1.2/24", "fd00::/64", "x/8"] {
            assert!(Subnet::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_address_keeps_its_place() {
        let (old, new) = (subnet("10.1.2.0/24"), subnet("172.28.9.0/24"));
        let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        assert_eq!(
            old.moved(address("10.1.2.9"), new),
            Some(address("172.28.9.9"))
        );
        assert_eq!(old.moved(address("10.1.3.9"), new), None);
        assert_eq!(subnet("10.1.2.77/24").to_string(), "10.1.2.0/24");
    }
}
