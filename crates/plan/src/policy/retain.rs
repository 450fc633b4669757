//! What is kept, as a label says it: `7d,4w,12m`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::retention::{Count, Policy};

/// So many of each period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Retain {
    /// The newest.
    pub last: u32,
    /// Hours.
    pub hours: u32,
    /// Days.
    pub days: u32,
    /// Weeks.
    pub weeks: u32,
    /// Months.
    pub months: u32,
    /// Years.
    pub years: u32,
}

/// A text that says nothing of what is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` does not say what is kept{hint}: write it like `7d,4w,12m` (days, weeks, months; `h` hours, `y` years, a plain number for the newest)"
)]
pub struct NoRetain {
    /// The text.
    pub text: String,
    /// What it may have meant.
    pub hint: &'static str,
}

impl Retain {
    /// The rules that keep so.
    #[must_use]
    pub fn policy(self) -> Policy {
        let count = |n| if n == 0 { Count::None } else { Count::Some(n) };
        Policy {
            keep_last: count(self.last),
            keep_hourly: count(self.hours),
            keep_daily: count(self.days),
            keep_weekly: count(self.weeks),
            keep_monthly: count(self.months),
            keep_yearly: count(self.years),
            ..Policy::default()
        }
    }

    /// What keeps all that either keeps.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            last: self.last.max(other.last),
            hours: self.hours.max(other.hours),
            days: self.days.max(other.days),
            weeks: self.weeks.max(other.weeks),
            months: self.months.max(other.months),
            years: self.years.max(other.years),
        }
    }
}

impl FromStr for Retain {
    type Err = NoRetain;

    fn from_str(text: &str) -> Result<Self, NoRetain> {
        let wrong = |hint| NoRetain {
            text: text.chars().take(60).collect(),
            hint,
        };
        let mut retain = Self::default();
        for part in text.split(',').map(str::trim) {
            let end = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            let number: u32 = part[..end].parse().map_err(|_| wrong(""))?;
            if number == 0 {
                return Err(wrong(", since a count of 0 keeps nothing"));
            }
            let field = match &part[end..] {
                "" => &mut retain.last,
                "h" => &mut retain.hours,
                "d" => &mut retain.days,
                "w" => &mut retain.weeks,
                "m" => &mut retain.months,
                "y" => &mut retain.years,
                "mo" | "M" => return Err(wrong(" (months are `m`)")),
                _ => return Err(wrong("")),
            };
            if *field != 0 {
                return Err(wrong(", since it names one period twice"));
            }
            *field = number;
        }
        Ok(retain)
    }
}

impl fmt::Display for Retain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.last, ""),
            (self.hours, "h"),
            (self.days, "d"),
            (self.weeks, "w"),
            (self.months, "m"),
            (self.years, "y"),
        ];
        let shown: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, unit)| format!("{number}{unit}"))
            .collect();
        f.write_str(&shown.join(","))
    }
}

impl Serialize for Retain {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Retain {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_becomes_the_rules_of_retention() {
        let retain: Retain = "7d, 4w,12m".parse().unwrap();
        let policy = retain.policy();
        assert_eq!(policy.keep_daily, Count::Some(7));
        assert_eq!(policy.keep_weekly, Count::Some(4));
        assert_eq!(policy.keep_monthly, Count::Some(12));
        assert_eq!(policy.keep_hourly, Count::None);
        assert!(!policy.is_empty());
        assert_eq!(retain.to_string(), "7d,4w,12m");
        assert_eq!(
            "3,24h,1y".parse::<Retain>().unwrap().to_string(),
            "3,24h,1y"
        );
    }

    #[test]
    fn what_keeps_nothing_or_cannot_be_read_is_refused() {
        for text in [
            "",
            "7x",
            "d",
            "0d",
            "7d,,4w",
            "7d,3d",
            "12mo",
            "-1d",
            "99999999999d",
            "7 d",
        ] {
            assert!(text.parse::<Retain>().is_err(), "{text}");
        }
        let wrong = "12mo".parse::<Retain>().unwrap_err().to_string();
        assert!(wrong.contains("months are `m`"), "{wrong}");
    }
}
