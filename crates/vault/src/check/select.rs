//! Which packs are read, where not all are.

use std::{collections::HashMap, fmt, str::FromStr};

use crate::{env::Environment, error::Result, id::PackId};

/// How much of the packs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// Percent of the packs' bytes.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
    /// One part of so many.
    Part(u64),
}

impl Share {
    fn of(self, all: u64) -> u64 {
        match self {
            Share::Percent(percent) => (all as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64,
            Share::Bytes(bytes) => bytes,
            Share::Part(parts) => all.div_ceil(parts.max(1)),
        }
    }
}

/// Which packs are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Subset {
    /// Those of bucket `number` (from 1) of so many, by their ids: each pack is in one of them, always the same.
    Bucket {
        /// Which.
        number: u8,
        /// Of so many.
        of: u8,
    },
    /// A share, by lot.
    Random(Share),
    /// A share: those that were read the longest time ago, before them those that never were.
    Oldest(Share),
}

impl FromStr for Subset {
    type Err = String;

    /// `5%`, `2.5%`, `1/10`, `500M`, `10G`, as restic has it.
    fn from_str(text: &str) -> Result<Subset, String> {
        if let Some((number, of)) = text.split_once('/') {
            let bucket = number.parse().ok().zip(of.parse().ok());
            return match bucket {
                Some((number, of)) if number >= 1 && number <= of => {
                    Ok(Subset::Bucket { number, of })
                }
                _ => Err(format!(
                    "`{text}` is no part: write `1/10` for the first of ten, at most of 255"
                )),
            };
        }
        share(text).map(Subset::Random)
    }
}

/// As it is read again: by [`Subset::oldest`] where it is of that kind, else by [`FromStr`].
impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { number, of } => write!(f, "{number}/{of}"),
            Self::Random(share) | Self::Oldest(share) => match share {
                Share::Percent(percent) => write!(f, "{percent}%"),
                // Nobody can say less.
                Share::Bytes(bytes) => write!(f, "{}K", bytes.div_ceil(1 << 10)),
                Share::Part(parts) => write!(f, "1/{parts}"),
            },
        }
    }
}

impl Subset {
    /// A share of what was read the longest time ago: `1/30`, `5%`, `10G`.
    pub fn oldest(text: &str) -> Result<Subset, String> {
        let share = match text.strip_prefix("1/") {
            Some(parts) => match parts.parse() {
                Ok(parts) if parts > 0 => Share::Part(parts),
                _ => return Err(format!("`{text}` is no share: write it like `1/30`")),
            },
            None => share(text)?,
        };
        Ok(Subset::Oldest(share))
    }
}

fn share(text: &str) -> Result<Share, String> {
    let wrong = || format!("`{text}` is no share: write it like `5%`, `1/10`, `500M` or `10G`");
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Share::Percent(percent)),
            _ => Err(format!(
                "`{text}` is no share: percent lie above 0 and at most at 100"
            )),
        };
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match number.checked_mul(unit) {
        Some(bytes) if bytes > 0 => Ok(Share::Bytes(bytes)),
        _ => Err(wrong()),
    }
}

/// The packs to read, of those that are there. Of a vault that has any, at least one.
pub(super) fn select(
    mut packs: Vec<(PackId, u64)>,
    subset: Subset,
    verified: &HashMap<PackId, i64>,
    env: &Environment,
) -> Result<Vec<(PackId, u64)>> {
    let share = match subset {
        Subset::Bucket { number, of } => {
            packs.retain(|(pack, _)| pack.0[0] % of == number - 1);
            return Ok(packs);
        }
        Subset::Random(share) => {
            let mut lots = Vec::with_capacity(packs.len());
            for pack in packs {
                let mut lot = [0; 8];
                env.random.fill(&mut lot)?;
                lots.push((lot, pack));
            }
            lots.sort_unstable();
            packs = lots.into_iter().map(|(_, pack)| pack).collect();
            share
        }
        Subset::Oldest(share) => {
            packs.sort_unstable_by_key(|(pack, _)| (verified.get(pack).copied(), *pack));
            share
        }
    };
    let all = packs.iter().map(|(_, size)| size).sum();
    let wanted = share.of(all);
    let mut sum = 0_u64;
    let count = packs.iter().position(|(_, size)| {
        let enough = sum >= wanted;
        sum = sum.saturating_add(*size);
        enough
    });
    packs.truncate(count.unwrap_or(packs.len()).max(1));
    Ok(packs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs() -> Vec<(PackId, u64)> {
        (0..=255).map(|n| (PackId([n; 32]), 100)).collect()
    }

    fn chosen(subset: Subset, verified: &HashMap<PackId, i64>) -> Vec<u8> {
        let env = Environment::system("test");
        let packs = select(packs(), subset, verified, &env).unwrap();
        packs.iter().map(|(pack, _)| pack.0[0]).collect()
    }

    #[test]
    fn shares_are_read_as_restic_reads_them() {
        for (text, subset) in [
            ("1/10", Subset::Bucket { number: 1, of: 10 }),
            (
                "255/255",
                Subset::Bucket {
                    number: 255,
                    of: 255,
                },
            ),
            ("5%", Subset::Random(Share::Percent(5.0))),
            ("2.5%", Subset::Random(Share::Percent(2.5))),
            ("500M", Subset::Random(Share::Bytes(500 << 20))),
            ("10G", Subset::Random(Share::Bytes(10 << 30))),
        ] {
            assert_eq!(text.parse::<Subset>().unwrap(), subset, "{text}");
            assert_eq!(subset.to_string().parse(), Ok(subset), "{text}");
        }
        for text in ["1/30", "5%", "10G"] {
            let oldest = Subset::oldest(text).unwrap();
            assert_eq!(Subset::oldest(&oldest.to_string()), Ok(oldest), "{text}");
        }
        for text in [
            "",
            "0/10",
            "11/10",
            "1/256",
            "a/b",
            "0%",
            "101%",
            "NaN%",
            "5",
            "M",
            "0M",
            "5x",
            "99999999T",
        ] {
            assert!(text.parse::<Subset>().is_err(), "{text}");
        }
        assert_eq!(
            Subset::oldest("1/30").unwrap(),
            Subset::Oldest(Share::Part(30))
        );
        assert_eq!(
            Subset::oldest("5%").unwrap(),
            Subset::Oldest(Share::Percent(5.0))
        );
        assert!(Subset::oldest("1/0").is_err() && Subset::oldest("2/30").is_err());
    }

    #[test]
    fn buckets_are_apart_and_together_all() {
        let none = HashMap::new();
        let mut all: Vec<u8> = (1..=7)
            .flat_map(|number| chosen(Subset::Bucket { number, of: 7 }, &none))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn a_share_by_lot_has_its_size() {
        let none = HashMap::new();
        assert_eq!(
            chosen(Subset::Random(Share::Percent(10.0)), &none).len(),
            26
        );
        assert_eq!(chosen(Subset::Random(Share::Bytes(1)), &none).len(), 1);
        assert_eq!(
            chosen(Subset::Random(Share::Percent(100.0)), &none).len(),
            256
        );
        let (a, b) = (
            Subset::Random(Share::Bytes(1000)),
            Subset::Random(Share::Bytes(1000)),
        );
        assert_ne!(chosen(a, &none), chosen(b, &none));
    }

    #[test]
    fn what_was_never_read_comes_first_then_the_oldest() {
        let verified = (10..=255).map(|n| (PackId([n; 32]), 1000 - i64::from(n)));
        let verified = verified.collect();
        let oldest = chosen(Subset::Oldest(Share::Bytes(1200)), &verified);
        assert_eq!(oldest, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 254]);
        // Thirty runs of a thirtieth read everything.
        let mut verified = HashMap::new();
        for run in 0..30 {
            for n in chosen(Subset::Oldest(Share::Part(30)), &verified) {
                verified.insert(PackId([n; 32]), run);
            }
        }
        assert_eq!(verified.len(), 256);
    }
}
