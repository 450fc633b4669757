//! Fixed times as cron has them: five fields, names of days and months, `*/15`, `@daily`.
//!
//! As cron does it: where both the day of the month and the day of the week are restricted, either suffices. A time that
//! a change of the clock skips comes at the next moment that there is; one that comes twice is taken once.

use std::fmt;
use std::str::FromStr;

use jiff::{Timestamp, ToSpan as _, civil::Date, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Monday is 0.
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no schedule ({why}): write it as cron has it, like `30 3 * * *`, or `@daily`")]
pub struct NoCron {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// 29 February on a given day of the week comes at least once in so many years.
const YEARS: i32 = 29;

/// Monday is 0.
pub(super) fn day_number(day: Weekday) -> u32 {
    u32::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

impl Cron {
    /// Each day at this minute of the day.
    #[must_use]
    pub fn daily(minute: u32) -> Self {
        let (hour, minute) = (minute / 60 % 24, minute % 60);
        Self {
            text: format!("{minute} {hour} * * *"),
            minutes: 1 << minute,
            hours: 1 << hour,
            days: !1,
            months: !1,
            weekdays: 0x7f,
            any_day: true,
            any_weekday: true,
        }
    }

    /// The next time after `at`; `None` if it never comes.
    #[must_use]
    pub fn next(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(at).date();
        let last = i32::from(date.year()) + YEARS;
        while i32::from(date.year()) <= last {
            if self.months & (1 << date.month()) == 0 {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                continue;
            }
            if self.is_day(date)
                && let Some(time) = self.on(date, at, zone)
            {
                return Some(time);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The longest time between two runs in the year after `at`, in milliseconds.
    #[must_use]
    pub fn longest_gap(&self, at: Timestamp, zone: &TimeZone) -> Option<u64> {
        let mut before = self.next(at, zone)?;
        let end = before.as_millisecond().saturating_add(366 * 86_400_000);
        let mut longest = 0;
        // Every minute of a year would be half a million steps; the first runs tell all that hours and minutes can.
        for _ in 0..2000 {
            let next = self.next(before, zone)?;
            let gap = next
                .as_millisecond()
                .saturating_sub(before.as_millisecond());
            longest = longest.max(u64::try_from(gap).unwrap_or(0));
            before = next;
            if before.as_millisecond() > end {
                break;
            }
        }
        Some(longest)
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days & (1 << date.day()) != 0;
        let weekday = self.weekdays & (1 << day_number(date.weekday())) != 0;
        match (self.any_day, self.any_weekday) {
            (false, false) => day || weekday,
            _ => day && weekday,
        }
    }

    fn on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        for hour in (0..24).filter(|hour| self.hours & (1 << hour) != 0) {
            for minute in (0..60).filter(|minute| self.minutes & (1 << minute) != 0) {
                let time = zone.to_timestamp(date.at(hour, minute, 0, 0)).ok()?;
                if time > after {
                    return Some(time);
                }
            }
        }
        None
    }
}

impl FromStr for Cron {
    type Err = NoCron;

    fn from_str(text: &str) -> Result<Self, NoCron> {
        let wrong = |why| NoCron {
            text: text.chars().take(60).collect(),
            why,
        };
        let text = text.trim();
        let fields = match text {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            _ if text.starts_with('@') => {
                return Err(wrong(
                    "there are @hourly, @daily, @weekly, @monthly and @yearly",
                ));
            }
            _ => text,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(wrong(
                "it needs five fields: minute, hour, day, month, day of the week",
            ));
        };
        let sundays = field(weekday, 0, 7, DAYS, 0).map_err(wrong)?;
        // Cron's 0 and 7 are Sunday; ours begins with Monday.
        let weekdays = (sundays >> 1 & 0x3f) | (((sundays & 1) | (sundays >> 7 & 1)) << 6);
        let cron = Self {
            text: text.to_owned(),
            minutes: field(minute, 0, 59, &[], 0).map_err(wrong)?,
            hours: field(hour, 0, 23, &[], 0).map_err(wrong)?,
            days: field(day, 1, 31, &[], 0).map_err(wrong)?,
            months: field(month, 1, 12, MONTHS, 1).map_err(wrong)?,
            weekdays,
            any_day: day.starts_with('*'),
            any_weekday: weekday.starts_with('*'),
        };
        let some_time = Timestamp::UNIX_EPOCH;
        match cron.next(some_time, &TimeZone::UTC) {
            Some(_) => Ok(cron),
            None => Err(wrong("that day never comes")),
        }
    }
}

fn field(text: &str, low: u32, high: u32, names: &[&str], first: u32) -> Result<u64, &'static str> {
    let value = |word: &str| -> Result<u32, &'static str> {
        let named = names.iter().position(|n| word.eq_ignore_ascii_case(n));
        let number = match named {
            Some(at) => u32::try_from(at).unwrap_or(0) + first,
            None => word.parse().map_err(|_| "a field is no number")?,
        };
        match (low..=high).contains(&number) {
            true => Ok(number),
            false => Err("a number is out of range"),
        }
    };
    let mut bits = 0u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().map_err(|_| "a step is no number")?),
            None => (part, 1u32),
        };
        if step == 0 || step > 60 {
            return Err("a step is out of range");
        }
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (value(from)?, value(to)?),
            None if part.contains('/') => (value(range)?, high),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return Err("a range runs backwards");
        }
        let mut at = from;
        while at <= to {
            bits |= 1 << at;
            at += step;
        }
    }
    Ok(bits)
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(cron: &str, from: &str, zone: &TimeZone, n: usize) -> Vec<String> {
        let cron: Cron = cron.parse().unwrap();
        let mut at: Timestamp = from.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..n {
            at = cron.next(at, zone).unwrap();
            found.push(at.to_string());
        }
        found
    }

    #[test]
    fn times_come_as_cron_has_them() {
        let utc = TimeZone::UTC;
        assert_eq!(
            runs("*/20 3 * * *", "2026-11-29T03:20:00Z", &utc, 2),
            ["2026-11-29T03:40:00Z", "2026-11-30T03:00:00Z"]
        );
        assert_eq!(
            runs("0 0 * * sun", "2026-11-29T00:00:00Z", &utc, 1),
            ["2026-12-06T00:00:00Z"]
        );
        assert_eq!(
            runs("0 0 * * 1-5", "2026-11-28T00:00:00Z", &utc, 1),
            ["2026-11-30T00:00:00Z"]
        );
        // Either day suffices where both are restricted.
        assert_eq!(
            runs("0 0 13 * fri", "2026-11-06T00:00:00Z", &utc, 3),
            [
                "2026-11-13T00:00:00Z",
                "2026-11-20T00:00:00Z",
                "2026-11-27T00:00:00Z"
            ]
        );
        assert_eq!(
            runs("0 12 29 feb *", "2026-11-06T00:00:00Z", &utc, 1),
            ["2028-02-29T12:00:00Z"]
        );
    }

    #[test]
    fn a_skipped_hour_is_not_a_skipped_day() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 29 March 2026, 02:30 does not exist; 25 October 02:30 exists twice.
        assert_eq!(
            runs("30 2 * * *", "2026-03-28T12:00:00Z", &zone, 2),
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            runs("30 2 * * *", "2026-10-24T12:00:00Z", &zone, 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn gaps() {
        let at = "2026-11-29T00:00:00Z".parse().unwrap();
        let gap = |text: &str| {
            let cron: Cron = text.parse().unwrap();
            cron.longest_gap(at, &TimeZone::UTC).unwrap() / 60_000
        };
        assert_eq!(gap("0 3 * * *"), 24 * 60);
        assert_eq!(gap("0 8-18 * * *"), 14 * 60);
        assert_eq!(gap("@monthly"), 31 * 24 * 60);
        assert_eq!(gap("0 0 * * 1-5"), 3 * 24 * 60);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "3 * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "x * * * *",
            "*/0 * * * *",
            "@reboot",
            "0 0 30 2 *",
            "5-1 * * * *",
        ] {
            assert!(text.parse::<Cron>().is_err(), "{text}");
        }
    }
}
