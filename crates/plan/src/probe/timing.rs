//! When a probe is asked, and how many answers make a verdict.

use std::time::Duration;

use super::{Origin, Valued, Which};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// A container that began less than this ago is asked soon, however long its period.
const FRESH: Duration = Duration::from_secs(10);

/// Kubernetes' five figures, with Kubernetes' defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// From one question to the next: 10 s.
    pub period: Valued<Duration>,
    /// How long an answer may take: 1 s.
    pub timeout: Valued<Duration>,
    /// So many failures one after the other are a failure: 3; of [`super::Check::Docker`] 1, since the engine has
    /// counted already.
    pub failures: Valued<u32>,
    /// So many successes one after the other are a success: 1.
    pub successes: Valued<u32>,
    /// So long after the start of the container nothing is asked: 0 s.
    pub delay: Valued<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            period: Valued::default_of(10 * SECOND),
            timeout: Valued::default_of(SECOND),
            failures: Valued::default_of(3),
            successes: Valued::default_of(1),
            delay: Valued::default_of(Duration::ZERO),
        }
    }
}

/// What the last word of a timing label may be.
pub(super) const NAMES: [&str; 5] = ["period", "timeout", "failures", "successes", "delay"];

impl Timing {
    /// When the first question is due. Of a container that has just started: at once, or after its delay; of
    /// one that runs already somewhere in its period, so that not all are asked at the same moment.
    /// `spread` is the container's own number in [0, 1).
    #[must_use]
    pub fn first(&self, started: Duration, now: Duration, spread: f64) -> Duration {
        let period = self.period.value;
        let ready = (started + self.delay.value).max(now);
        let fresh = now.saturating_sub(started) < FRESH;
        let room = if fresh { period / 20 } else { period };
        ready + room.mul_f64(spread.clamp(0.0, 1.0))
    }

    /// Each value by its name.
    pub(super) fn rows(&self) -> [(&'static str, String, &Origin); 5] {
        let time = |value: &Valued<Duration>| show_duration(value.value);
        [
            ("period", time(&self.period), &self.period.origin),
            ("timeout", time(&self.timeout), &self.timeout.origin),
            (
                "failures",
                self.failures.value.to_string(),
                &self.failures.origin,
            ),
            (
                "successes",
                self.successes.value.to_string(),
                &self.successes.origin,
            ),
            ("delay", time(&self.delay), &self.delay.origin),
        ]
    }

    /// Sets the value of one of [`NAMES`].
    pub(super) fn set(
        &mut self,
        which: Which,
        name: &str,
        text: &str,
        origin: Origin,
    ) -> Result<(), String> {
        let time = |least: Duration| {
            let value = parse_duration(text)?;
            if value < least || value > DAY {
                let (least, most) = (show_duration(least), show_duration(DAY));
                return Err(format!("{text} is not between {least} and {most}"));
            }
            Ok(value)
        };
        let count = || match text.trim().parse::<u32>() {
            Ok(value @ 1..=1000) => Ok(value),
            _ => Err(format!("{text:?} is not a number from 1 to 1000")),
        };
        match name {
            "period" => {
                self.period = Valued {
                    value: time(SECOND)?,
                    origin,
                }
            }
            "timeout" => {
                let value = time(Duration::from_millis(100))?;
                self.timeout = Valued { value, origin };
            }
            "delay" => {
                self.delay = Valued {
                    value: time(Duration::ZERO)?,
                    origin,
                }
            }
            "failures" => {
                self.failures = Valued {
                    value: count()?,
                    origin,
                }
            }
            "successes" => {
                let value = count()?;
                if value != 1 && which != Which::Readiness {
                    return Err(format!(
                        "{value} successes mean nothing to {which}: one is enough there, as in Kubernetes; only readiness counts further"
                    ));
                }
                self.successes = Valued { value, origin };
            }
            _ => return Err("no such value".to_owned()),
        }
        Ok(())
    }
}

/// `10s`, `500ms`, `1m30s`, `2h`, `1d`; a number alone is seconds.
///
/// # Errors
/// A sentence about what it is not.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is no time; write for instance 10s, 500ms or 1m30s");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = rest.split_at(digits.ok_or_else(wrong)?);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ');
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let unit = match unit {
            "us" | "µs" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            "d" => DAY,
            _ => return Err(wrong()),
        };
        let number = number.parse::<f64>().map_err(|_| wrong())?;
        let more = Duration::try_from_secs_f64(unit.as_secs_f64() * number).map_err(|_| wrong())?;
        total = total.checked_add(more).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

/// As [`parse_duration`] reads it.
#[must_use]
pub fn show_duration(value: Duration) -> String {
    use std::fmt::Write as _;
    let seconds = value.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(value.subsec_millis()), "ms"),
    ];
    let mut text = String::new();
    for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{number}{unit}");
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}
