use std::str::FromStr;

use clap::Args;
use lifeboat_vault::prune::MaxUnused;

/// Frees the space of what no recovery point needs
///
/// Backups and restores go on meanwhile. What is not needed is marked first, and deleted once every
/// run that was at work then has ended and no other program holds the vault: mostly at once, else by
/// the next prune. Where a program that takes no locks (rustic) has written, a mark is 23 hours old
/// before its data goes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lifeboat prune                        a twentieth may stay unused
  lifeboat prune --dry-run              what would be freed, and what written anew for it
  lifeboat prune --max-unused 0         all of it
  lifeboat prune --max-repack-size 5GiB --retry-lock 10m
  lifeboat prune --instant              nobody else is in the vault: wait for nothing")]
pub struct PruneArgs {
    /// How much may stay unused: `5%`, `2GiB`, `unlimited`
    #[arg(long, value_name = "LIMIT", default_value = "5%", value_parser = parse_max_unused)]
    pub max_unused: MaxUnused,

    /// Write no more than this anew
    #[arg(long, value_name = "SIZE")]
    pub max_repack_size: Option<PruneSize>,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Be alone in the vault from beginning to end, and wait for nothing
    ///
    /// Programs that take locks are kept out, ours too. One that takes none (rustic) must not run.
    #[arg(long)]
    pub instant: bool,
}

/// Bytes, with a unit or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneSize(pub u64);

impl FromStr for PruneSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size; write it like `500MiB` or `2G`");
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        // As restic has them: powers of 1024, with or without `iB`.
        let shift = match text[digits..].to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

/// `5%`, a size, or `unlimited`.
pub fn parse_max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    let Some(percent) = text.strip_suffix('%') else {
        return Ok(MaxUnused::Bytes(text.parse::<PruneSize>()?.0));
    };
    match percent.parse::<f64>() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(MaxUnused::Percent(percent)),
        _ => Err(format!("`{text}` is no share: from 0% to below 100%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        for (text, limit) in [
            ("5%", MaxUnused::Percent(5.0)),
            ("0.5%", MaxUnused::Percent(0.5)),
            ("0", MaxUnused::Bytes(0)),
            ("500M", MaxUnused::Bytes(500 << 20)),
            ("2GiB", MaxUnused::Bytes(2 << 30)),
            ("unlimited", MaxUnused::Unlimited),
        ] {
            assert_eq!(parse_max_unused(text), Ok(limit), "{text}");
        }
        for text in [
            "",
            "%",
            "100%",
            "-1%",
            "x",
            "1.5G",
            "5 %",
            "99999999999T",
            "NaN%",
        ] {
            assert!(parse_max_unused(text).is_err(), "{text}");
        }
    }
}
