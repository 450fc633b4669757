//! The config file: format version, id and chunker polynomial.
//!
//! The polynomial is restic's: irreducible over GF(2), of degree 53. We never cut with it, but every
//! reader checks it when it opens the vault, and restic cuts with it when it writes beside us.

use lifeboat_store::LockPolicy;
use serde::{Deserialize, Serialize};

use crate::{
    env::Random,
    error::{Result, VaultError},
};

/// Degree of the polynomial.
const DEGREE: u32 = 53;

/// The content of the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Format version: 1 or 2.
    pub version: u32,
    /// Random id, 64 hex digits.
    pub id: String,
    /// Polynomial of restic's chunker.
    pub chunker_polynomial: u64,
    /// How its points are locked.
    pub object_lock: Option<LockPolicy>,
}

/// What is ours; other programs pass over it.
#[derive(Serialize, Deserialize)]
struct OursJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object_lock: Option<LockPolicy>,
}

#[derive(Serialize, Deserialize)]
struct ConfigJson {
    version: u32,
    id: String,
    chunker_polynomial: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifeboat: Option<OursJson>,
}

impl Config {
    /// A new vault's config, version 2.
    pub fn generate(random: &dyn Random) -> Result<Config> {
        let mut id = [0; 32];
        random.fill(&mut id)?;
        let mut chunker_polynomial = 0;
        while !is_irreducible(chunker_polynomial) {
            let mut bytes = [0; 8];
            random.fill(&mut bytes)?;
            let below = (1 << DEGREE) - 1;
            chunker_polynomial = u64::from_le_bytes(bytes) & below | 1 << DEGREE | 1;
        }
        Ok(Config {
            version: 2,
            id: hex::encode(id),
            chunker_polynomial,
            object_lock: None,
        })
    }

    /// Reads the JSON. Versions other than 1 and 2 are refused.
    pub fn parse(json: &[u8]) -> Result<Config> {
        let damaged = |why: String| VaultError::damaged("config", why);
        let json: ConfigJson = serde_json::from_slice(json)
            .map_err(|e| damaged(format!("its JSON does not parse: {e}")))?;
        if !(1..=2).contains(&json.version) {
            return Err(VaultError::Unsupported(format!(
                "the vault has format version {}, this program knows 1 (to read) and 2; use a newer lifeboat",
                json.version
            )));
        }
        let polynomial = u64::from_str_radix(&json.chunker_polynomial, 16)
            .ok()
            .filter(|p| is_irreducible(*p))
            .ok_or_else(|| damaged("its chunker polynomial is not irreducible".to_owned()))?;
        if json.id.is_empty() || json.id.len() > 64 {
            return Err(damaged("it has no id".to_owned()));
        }
        Ok(Config {
            version: json.version,
            id: json.id,
            chunker_polynomial: polynomial,
            object_lock: json.lifeboat.and_then(|ours| ours.object_lock),
        })
    }

    /// Writes the JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = ConfigJson {
            version: self.version,
            id: self.id.clone(),
            chunker_polynomial: format!("{:x}", self.chunker_polynomial),
            lifeboat: self.object_lock.map(|lock| OursJson {
                object_lock: Some(lock),
            }),
        };
        serde_json::to_vec(&json).map_err(|e| VaultError::Invalid(format!("write the config: {e}")))
    }
}

/// Ben-Or's test: `f` of degree n is irreducible when it has no factor in common with
/// `x^(2^i) - x` for any i up to n/2.
fn is_irreducible(f: u64) -> bool {
    if f < 2 || degree(f) != DEGREE {
        return false;
    }
    let x = 2;
    let mut power = x;
    (1..=DEGREE / 2).all(|_| {
        power = multiply(power, power, f);
        gcd(f, power ^ x) == 1
    })
}

fn degree(f: u64) -> u32 {
    63 - f.leading_zeros().min(63)
}

/// `a * b mod f`, with `a` and `b` below `f`.
fn multiply(mut a: u64, mut b: u64, f: u64) -> u64 {
    let top = 1 << degree(f);
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a & top != 0 {
            a ^= f;
        }
    }
    product
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        while a != 0 && degree(a) >= degree(b) {
            a ^= b << (degree(a) - degree(b));
        }
        std::mem::swap(&mut a, &mut b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemRandom;

    #[test]
    fn known_polynomials() {
        // From restic's own tests and documents.
        for f in [0x25b468838dcb75, 0x3DA3358B4DC173, 0x2482734cacca49] {
            assert!(is_irreducible(f), "{f:x}");
        }
        for f in [
            0,
            1,
            2,
            0x25b468838dcb74,
            0x3DA3358B4DC172,
            1 << 53,
            (1 << 53) | 1,
            0b111,
        ] {
            assert!(!is_irreducible(f), "{f:x}");
        }
    }

    #[test]
    fn a_generated_config_comes_back() {
        let config = Config::generate(&SystemRandom).unwrap();
        assert_eq!(config.version, 2);
        assert_eq!(Config::parse(&config.to_json().unwrap()).unwrap(), config);
        let text = String::from_utf8(config.to_json().unwrap()).unwrap();
        assert!(!text.contains("lifeboat"), "{text}");
        let locked = Config {
            object_lock: Some(LockPolicy {
                mode: lifeboat_store::LockMode::Compliance,
                seconds: 86_400,
            }),
            ..config
        };
        assert_eq!(Config::parse(&locked.to_json().unwrap()).unwrap(), locked);
    }

    #[test]
    fn other_versions_and_polynomials_are_refused() {
        let text = |v: u32, p: &str| {
            format!(
                r#"{{"version":{v},"id":"{}","chunker_polynomial":"{p}"}}"#,
                "ab".repeat(32)
            )
        };
        let parse = |text: String| Config::parse(text.as_bytes());
        assert_eq!(parse(text(1, "25b468838dcb75")).unwrap().version, 1);
        let newer = parse(text(3, "25b468838dcb75")).unwrap_err();
        assert!(matches!(newer, VaultError::Unsupported(_)));
        assert_eq!(
            newer.to_string(),
            "the vault has format version 3, this program knows 1 (to read) and 2; use a newer lifeboat"
        );
        assert!(matches!(
            parse(text(2, "25b468838dcb74")),
            Err(VaultError::Damaged { .. })
        ));
        assert!(matches!(
            parse(text(2, "zz")),
            Err(VaultError::Damaged { .. })
        ));
        assert!(matches!(
            parse("{}".to_owned()),
            Err(VaultError::Damaged { .. })
        ));
    }
}
