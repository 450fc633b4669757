//! Spans of the calendar, as `--keep-within 2y5m7d3h` has them.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::{Deserialize, Deserializer};

use super::Moment;

/// Years, months, days and hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

/// What is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no span of time: write it like `7d`, `1y6m` or `2y5m7d3h`")]
pub struct NoSpan(pub String);

impl Span {
    /// Whether it is no time at all.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The instant so long before a moment. The calendar runs over as restic's does: a month before 31 March is
    /// the 31st of February, and that is 3 March.
    #[must_use]
    pub fn before(&self, moment: &Moment) -> Timestamp {
        let wall = moment.wall();
        let months = i64::from(wall.year()) * 12 + i64::from(wall.month())
            - 1
            - i64::from(self.years) * 12
            - i64::from(self.months);
        let days = i64::from(wall.day()) - 1 - i64::from(self.days);
        let first = || {
            let year = i16::try_from(months.div_euclid(12)).ok()?;
            let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
            Date::new(year, month, 1).ok()
        };
        let before = || {
            let date = first()?
                .checked_add(jiff::Span::new().try_days(days).ok()?)
                .ok()?;
            let instant = moment.offset.to_timestamp(date.to_datetime(wall.time()));
            let hours = SignedDuration::from_hours(i64::from(self.hours));
            instant.ok()?.checked_sub(hours).ok()
        };
        // Before the calendar begins.
        before().unwrap_or(Timestamp::MIN)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.years, 'y'),
            (self.months, 'm'),
            (self.days, 'd'),
            (self.hours, 'h'),
        ];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let wrong = || NoSpan(text.to_owned());
        let mut span = Self::default();
        let mut rest = text;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number = rest[..digits].parse().map_err(|_| wrong())?;
            let mut behind = rest[digits..].chars();
            let field = match behind.next() {
                Some('y') => &mut span.years,
                Some('m') => &mut span.months,
                Some('d') => &mut span.days,
                Some('h') => &mut span.hours,
                _ => return Err(wrong()),
            };
            *field = number;
            rest = behind.as_str();
        }
        Ok(span)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
