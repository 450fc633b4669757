//! When a capture may begin: `22:00-06:00`, `Mon-Fri 20:00-05:00, Sat-Sun`, by the clock on the wall.

use std::fmt;
use std::str::FromStr;

use jiff::{Timestamp, ToSpan as _, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cron::day_number;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u32 = 24 * 60;

/// One stretch of the day, on some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Window {
    /// One bit a day, Monday the lowest: the days on which it begins.
    days: u8,
    /// Minute of the day at which it begins.
    from: u32,
    /// Minutes that it lasts, at most a day.
    minutes: u32,
}

/// Stretches of time that come again each week. Never none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Windows(Vec<Window>);

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no window: write it like `22:00-06:00` or `Mon-Fri 20:00-05:00, Sat-Sun`")]
pub struct NoWindow(pub String);

impl Windows {
    /// Whether a capture may begin now.
    #[must_use]
    pub fn open(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let wall = zone.to_datetime(at);
        let minute =
            u32::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).unwrap_or(0);
        let today = day_number(wall.weekday());
        self.0.iter().any(|w| {
            let on = |day: u32| w.days & (1 << day) != 0;
            (on(today) && minute >= w.from && minute < w.from + w.minutes)
                || (on((today + 6) % 7) && minute + DAY < w.from + w.minutes)
        })
    }

    /// The first moment from `at` on at which a capture may begin, to the minute.
    #[must_use]
    pub fn next_open(&self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        if self.open(at, zone) {
            return at;
        }
        let date = zone.to_datetime(at).date();
        let mut best: Option<Timestamp> = None;
        for ahead in 0..=8 {
            let Ok(day) = date.checked_add(i64::from(ahead).days()) else {
                break;
            };
            for w in self
                .0
                .iter()
                .filter(|w| w.days & (1 << day_number(day.weekday())) != 0)
            {
                let Some(start) = moment(day, w.from, zone) else {
                    continue;
                };
                if start >= at && best.is_none_or(|b| start < b) {
                    best = Some(start);
                }
            }
            if best.is_some() {
                break;
            }
        }
        best.unwrap_or(at)
    }

    /// The longest time in a week, in minutes, for which no capture may begin.
    #[must_use]
    pub fn longest_closed(&self) -> u32 {
        let week = 7 * DAY;
        let mut open = vec![false; week as usize];
        for w in &self.0 {
            for day in (0..7).filter(|day| w.days & (1 << day) != 0) {
                for minute in 0..w.minutes {
                    open[((day * DAY + w.from + minute) % week) as usize] = true;
                }
            }
        }
        let (mut longest, mut run) = (0, 0);
        // Twice round, so that a stretch over the end of the week is seen whole.
        for minute in 0..2 * week {
            run = if open[(minute % week) as usize] {
                0
            } else {
                run + 1
            };
            longest = longest.max(run.min(week));
        }
        longest
    }
}

fn moment(day: jiff::civil::Date, minute: u32, zone: &TimeZone) -> Option<Timestamp> {
    let hour = i8::try_from(minute / 60).ok()?;
    let minute = i8::try_from(minute % 60).ok()?;
    zone.to_timestamp(day.at(hour, minute, 0, 0)).ok()
}

impl FromStr for Windows {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let wrong = || NoWindow(text.chars().take(60).collect());
        let mut windows = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (mut days, mut times) = (None, None);
            for word in part.split_whitespace() {
                let begins = word.chars().next().is_some_and(|c| c.is_ascii_digit());
                match (begins, days, times) {
                    (true, _, None) => times = Some(read_times(word).ok_or_else(wrong)?),
                    (false, None, None) => days = Some(read_days(word).ok_or_else(wrong)?),
                    _ => return Err(wrong()),
                }
            }
            if days.is_none() && times.is_none() {
                return Err(wrong());
            }
            let (from, minutes) = times.unwrap_or((0, DAY));
            windows.push(Window {
                days: days.unwrap_or(0x7f),
                from,
                minutes,
            });
        }
        Ok(Self(windows))
    }
}

fn read_times(word: &str) -> Option<(u32, u32)> {
    let (from, to) = word.split_once('-')?;
    let (from, to) = (read_time(from)?, read_time(to)?);
    let minutes = (to + DAY - from) % DAY;
    // `00:00-24:00` is the whole day; `08:00-08:00` says nothing.
    match (from < DAY, minutes) {
        (false, _) => None,
        (true, 0) if to == DAY => Some((from, DAY)),
        (true, 0) => None,
        (true, minutes) => Some((from, minutes)),
    }
}

fn read_time(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':').unwrap_or((text, "0"));
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= DAY && hour <= 24).then_some(hour * 60 + minute)
}

fn read_days(word: &str) -> Option<u8> {
    let day = |text: &str| {
        let text = text.get(..3)?.to_ascii_lowercase();
        DAYS.iter().position(|d| d.to_ascii_lowercase() == text)
    };
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    let (from, to) = (day(from)?, day(to)?);
    let mut days = 0;
    let mut at = from;
    loop {
        days |= 1 << at;
        if at == to {
            return Some(days);
        }
        at = (at + 1) % 7;
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, w) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            let mut words = Vec::new();
            if w.days != 0x7f {
                words.push(days_text(w.days));
            }
            if w.minutes != DAY || w.days == 0x7f {
                let to = match w.from + w.minutes {
                    DAY => DAY,
                    to => to % DAY,
                };
                let time = |m: u32| format!("{:02}:{:02}", m / 60, m % 60);
                words.push(format!("{}-{}", time(w.from), time(to)));
            }
            f.write_str(&words.join(" "))?;
        }
        Ok(())
    }
}

/// Days are always one stretch, since that is all that can be written.
fn days_text(days: u8) -> String {
    let on = |day: usize| days & (1 << (day % 7)) != 0;
    let first = (0..7).find(|day| on(*day) && !on(day + 6)).unwrap_or(0);
    let last = (first..first + 7).take_while(|day| on(*day)).last();
    let last = last.unwrap_or(first) % 7;
    match first == last {
        true => DAYS[first].to_owned(),
        false => format!("{}-{}", DAYS[first], DAYS[last]),
    }
}

/// Which day of the week, for tests and the schedule.
#[must_use]
pub fn weekday_name(day: Weekday) -> &'static str {
    DAYS[day_number(day) as usize % 7]
}

impl Serialize for Windows {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Windows {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_reaches_into_the_next_day() {
        let night: Windows = "Mon-Fri 22:00-06:00".parse().unwrap();
        let utc = TimeZone::UTC;
        // 2026-11-27 is a Friday.
        assert!(night.open(at("2026-11-27T22:00:00Z"), &utc));
        assert!(night.open(at("2026-11-28T05:59:59Z"), &utc));
        assert!(!night.open(at("2026-11-28T06:00:00Z"), &utc));
        assert!(!night.open(at("2026-11-28T23:00:00Z"), &utc));
        assert_eq!(
            night.next_open(at("2026-11-28T06:00:30Z"), &utc),
            at("2026-11-30T22:00:00Z")
        );
        assert_eq!(night.longest_closed(), 16 * 60 + 2 * 24 * 60);
        assert_eq!(night.to_string(), "Mon-Fri 22:00-06:00");
    }

    #[test]
    fn days_alone_are_whole_days() {
        let days: Windows = "sat-sun, Wednesday 1-2:30".parse().unwrap();
        assert_eq!(days.to_string(), "Sat-Sun, Wed 01:00-02:30");
        assert!(days.open(at("2026-11-29T23:59:00Z"), &TimeZone::UTC));
        assert!(!days.open(at("2026-11-30T00:00:00Z"), &TimeZone::UTC));
        let always: Windows = "00:00-24:00".parse().unwrap();
        assert_eq!(always.longest_closed(), 0);
        assert_eq!(always.to_string(), "00:00-24:00");
    }

    #[test]
    fn the_clock_on_the_wall_counts() {
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        let noon: Windows = "12:00-13:00".parse().unwrap();
        assert!(noon.open(at("2026-11-27T07:30:00Z"), &zone));
        assert_eq!(
            noon.next_open(at("2026-11-27T08:00:00Z"), &zone),
            at("2026-11-28T07:00:00Z")
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "22:00",
            "25:00-26:00",
            "Mon-",
            "Foo 1-2",
            "8:00-8:00",
            "22:00-06:00,",
            "1-2 Mon",
        ] {
            assert!(text.parse::<Windows>().is_err(), "{text}");
        }
    }
}
