//! The weekly digest: what was protected, missed, largest, failing and unprotected, and whose objective runs out next.
//!
//! It is made of the same records as `lifeboat report`. When it was sent last stands beside them, so that an agent that
//! starts again does not send it twice, and one that was away at the time sends it when it is back. It is noted as sent
//! before it goes: whoever is killed in that moment sends none rather than two.

use jiff::{
    civil::{Time as Clock, Weekday},
    tz::TimeZone,
};
use lifeboat_notify::{Level, Message};
use lifeboat_plan::{policy::Period, schedule::Time};
use serde::{Deserialize, Deserializer};

use crate::{
    report::{AppReport, Report},
    view::AppView,
};

/// The name under which it is noted when it was sent.
pub(crate) const MARK: &str = "digest";
const DAY: u64 = 24 * 3_600_000;
/// What it tells of.
pub(crate) const PERIOD: u64 = 7 * DAY;
/// Of each list so many lines are shown.
const SHOWN: usize = 10;
const LARGEST: usize = 3;

/// `[digest]`: whether and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Digest {
    /// Whether it is sent at all.
    pub on: bool,
    /// On which day.
    #[serde(deserialize_with = "weekday")]
    pub day: Weekday,
    /// From when on that day, by this machine's time zone.
    #[serde(deserialize_with = "clock")]
    pub at: Clock,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            on: true,
            day: Weekday::Monday,
            at: Clock::constant(8, 0, 0, 0),
        }
    }
}

fn weekday<'de, D: Deserializer<'de>>(from: D) -> Result<Weekday, D::Error> {
    let text = String::deserialize(from)?;
    let names = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let wanted = text.to_ascii_lowercase();
    let mut days = names.iter().filter(|(name, _)| {
        // `Mon` as well, as windows have it.
        *name == wanted || (wanted.len() == 3 && name.starts_with(&wanted))
    });
    days.next().map(|(_, day)| *day).ok_or_else(|| {
        let near = lifeboat_plan::suggest::suggest(&wanted, names.map(|(name, _)| name));
        let near = lifeboat_plan::suggest::sentence(&near);
        serde::de::Error::custom(format!("`{text}` is no day of the week{near}"))
    })
}

fn clock<'de, D: Deserializer<'de>>(from: D) -> Result<Clock, D::Error> {
    let text = String::deserialize(from)?;
    Clock::strptime("%H:%M", &text)
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no time of day like 08:00")))
}

impl Digest {
    /// The last moment at which it was to be sent; none where it is off.
    pub(crate) fn due(&self, now: Time, zone: &TimeZone) -> Option<Time> {
        if !self.on {
            return None;
        }
        let today = now.timestamp().to_zoned(zone.clone()).date();
        let back = self.day.until(today.weekday());
        // Today's may still lie ahead: then it was a week ago.
        let days = [i64::from(back), i64::from(back) + 7];
        let mut moments = days.into_iter().filter_map(|days| {
            let date = today.checked_sub(jiff::Span::new().days(days)).ok()?;
            let at = zone.to_ambiguous_zoned(date.to_datetime(self.at));
            Some(Time::of(at.compatible().ok()?.timestamp()))
        });
        moments.find(|at| *at <= now)
    }

    /// Whether it is to be sent now, by when it was sent last; a note that lies ahead is one of a clock that was wrong.
    pub(crate) fn is_due(&self, sent: Time, now: Time, zone: &TimeZone) -> bool {
        let sent = if sent > now.plus(DAY) { now } else { sent };
        self.due(now, zone).is_some_and(|due| sent < due)
    }
}

/// In words.
#[must_use]
pub(crate) fn message<'a>(
    host: &str,
    report: &Report,
    apps: impl Iterator<Item = (&'a String, &'a AppView)>,
) -> Message {
    let mut lines = Vec::new();
    let of_policy: Vec<&AppReport> = report.apps.iter().filter(|a| a.rpo.is_some()).collect();
    let points: u64 = report.apps.iter().map(|app| app.points).sum();
    let added: u64 = report.apps.iter().map(|app| app.added).sum();
    lines.push(format!(
        "protected: {} of {} apps, {points} points, {} added to the vault",
        of_policy.iter().filter(|app| app.points > 0).count(),
        of_policy.len(),
        size(added)
    ));
    let missed = of_policy.iter().filter(|app| app.missed > 0);
    list(&mut lines, "RPO missed", missed, |app| {
        format!("{}, for {}", app.app, Period::millis(app.missed))
    });
    let without = of_policy.iter().filter(|app| app.points == 0);
    list(&mut lines, "no point this week", without, |app| {
        app.app.clone()
    });
    let mut largest: Vec<&&AppReport> = of_policy.iter().filter(|app| app.added > 0).collect();
    largest.sort_by_key(|app| std::cmp::Reverse(app.added));
    list(
        &mut lines,
        "grew most",
        largest.into_iter().take(LARGEST),
        |app| format!("{}, by {}", app.app, size(app.added)),
    );
    let (mut failing, mut next) = (Vec::new(), None::<(Time, &str)>);
    for (name, app) in apps {
        if app.failures > 0 {
            failing.push(format!("{name}, {} times in a row", app.failures));
        }
        if let Some(misses) = app.misses
            && next.is_none_or(|(at, _)| misses < at)
        {
            next = Some((misses, name));
        }
    }
    list(&mut lines, "failing now", failing.iter(), |line| {
        line.to_string()
    });
    let failed = report.work.iter().filter(|work| work.failed > 0);
    list(&mut lines, "upkeep that failed", failed, |work| {
        let why = work.last_failure.as_deref().unwrap_or("it did not say why");
        format!("{}, {} times: {why}", work.what, work.failed)
    });
    let unprotected = report.apps.iter().filter(|app| app.rpo.is_none());
    list(&mut lines, "unprotected", unprotected, |app| {
        format!("{} ({})", app.app, app.by)
    });
    if let Some((at, name)) = next {
        lines.push(format!(
            "next to run out: {name}, whose newest point is too old at {} unless another one comes",
            at.timestamp().strftime("%Y-%m-%d %H:%M UTC")
        ));
    }
    let well = report.is_well() && failing.is_empty();
    let (level, word) = match well {
        true => (Level::Info, "all objectives were kept"),
        false => (Level::Warning, "not all objectives were kept"),
    };
    Message {
        level,
        title: format!("The week of {host}: {word}"),
        body: lines.join("\n"),
    }
}

fn list<T>(
    lines: &mut Vec<String>,
    what: &str,
    of: impl Iterator<Item = T>,
    line: impl Fn(T) -> String,
) {
    let all: Vec<String> = of.map(line).collect();
    if all.is_empty() {
        return;
    }
    lines.push(format!("{what}:"));
    lines.extend(all.iter().take(SHOWN).map(|line| format!("- {line}")));
    if all.len() > SHOWN {
        lines.push(format!("- and {} more", all.len() - SHOWN));
    }
}

fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut at = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && at + 1 < units.len() {
        value /= 1024.0;
        at += 1;
    }
    match at {
        0 => format!("{bytes} {}", units[0]),
        _ => format!("{value:.1} {}", units[at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::WorkReport;

    fn at(text: &str) -> Time {
        Time::of(text.parse().unwrap())
    }

    #[test]
    fn it_is_due_once_a_week_from_its_hour_on() {
        let zone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
        let digest = Digest::default();
        // 2026-11-30 is a Monday; 8:00 in Berlin is 7:00 UTC in winter.
        let before = at("2026-11-30T06:59:00Z");
        let after = at("2026-11-30T07:00:01Z");
        let sunday = at("2026-12-06T23:00:00Z");
        let sent = at("2026-11-23T07:00:05Z");
        assert!(!digest.is_due(sent, before, &zone));
        assert!(digest.is_due(sent, after, &zone));
        assert!(!digest.is_due(after, sunday, &zone), "it was sent");
        // Away on Monday: it comes when the agent is back.
        assert!(digest.is_due(sent, sunday, &zone));
        // A note of a clock that was a year ahead keeps nothing back for a year.
        let ahead = at("2027-11-30T08:00:00Z");
        assert!(!digest.is_due(ahead, after, &zone));
        let off = Digest {
            on: false,
            ..digest
        };
        assert!(!off.is_due(sent, after, &zone));
    }

    #[test]
    fn days_are_read_and_typos_get_a_suggestion() {
        let read = |text: &str| toml::from_str::<Digest>(text);
        let digest = read("day = \"Fri\"\nat = \"17:30\"").unwrap();
        assert_eq!(digest.day, Weekday::Friday);
        assert_eq!(digest.at, Clock::constant(17, 30, 0, 0));
        let wrong = read("day = \"munday\"").unwrap_err().to_string();
        assert!(wrong.contains("did you mean `monday`"), "{wrong}");
        assert!(read("at = \"25:00\"").is_err());
    }

    #[test]
    fn it_says_what_was_missed_and_what_nobody_protects() {
        let app = |name: &str, rpo, points, missed, added| AppReport {
            app: format!("default/h/{name}"),
            rpo,
            by: "label lifeboat.enable on x".to_owned(),
            points,
            missed,
            added,
            ..AppReport::default()
        };
        let report = Report {
            apps: vec![
                app("shop", Some(60_000), 7, 120_000, 5 << 20),
                app("notes", Some(60_000), 0, 0, 0),
                app("scratch", None, 0, 0, 0),
            ],
            work: vec![WorkReport {
                what: "prune".to_owned(),
                failed: 2,
                last_failure: Some("the vault is away".to_owned()),
                ..WorkReport::default()
            }],
            ..Report::default()
        };
        let said = message("h", &report, std::iter::empty());
        assert_eq!(said.level, Level::Warning);
        assert_eq!(
            said.body,
            "protected: 1 of 2 apps, 7 points, 5.0 MiB added to the vault\nRPO missed:\n- default/h/shop, for 2m\nno point this week:\n- default/h/notes\ngrew most:\n- default/h/shop, by 5.0 MiB\nupkeep that failed:\n- prune, 2 times: the vault is away\nunprotected:\n- default/h/scratch (label lifeboat.enable on x)"
        );
    }
}
