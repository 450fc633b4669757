//! Figures, times and names as people read them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// Bytes in binary units, three to four digits: `512 B`, `1.2 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A number with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub fn plural(number: u64, noun: &str) -> String {
    let number_shown = count(number);
    match noun.strip_suffix("ry") {
        _ if number == 1 => format!("{number_shown} {noun}"),
        Some(stem) => format!("{number_shown} {stem}ries"),
        None => format!("{number_shown} {noun}s"),
    }
}

/// Seconds in the two largest units that matter: `0.214 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    if seconds < 9.9995 {
        return format!("{seconds:.3} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    if days > 0 {
        format!("{days} d {hours:02} h")
    } else if hours > 0 {
        format!("{hours} h {minutes:02} min")
    } else {
        format!("{minutes} min {:02} s", whole % 60)
    }
}

/// A length of time that a person chose, in the largest unit that it is whole in.
pub fn period(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let whole = units
        .iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => plural(seconds / unit, name),
        None => plural(seconds, "second"),
    }
}

/// An RFC 3339 time in the machine's time zone, to the second. What cannot be read stays as it is.
pub fn local_time(rfc3339: &str) -> String {
    time_in(rfc3339, TimeZone::system())
}

fn time_in(rfc3339: &str, zone: TimeZone) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => time
            .to_zoned(zone)
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => escape(rfc3339.as_bytes()),
    }
}

/// A moment since 1970 in the machine's time zone, to the second.
pub fn local_seconds(secs: i64) -> String {
    match Timestamp::from_second(secs) {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => format!("{secs} s"),
    }
}

/// Reads `30s`, `5m`, `1h30m`, `500ms`; a bare number is refused, as nobody can tell its unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it like `30s`, `5m` or `1h30m`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let millis = match &after[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number
            .checked_mul(millis)
            .map(Duration::from_millis)
            .ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &after[letters..];
    }
    Ok(total)
}

/// Reads a moment in this machine's time zone, `2026-10-01`, `2026-10-01 14:30[:05]`, or RFC 3339; seconds
/// since 1970.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no time; write it like `2026-10-01` or `2026-10-01 14:30`");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let civil = text.parse::<jiff::civil::DateTime>().map_err(|_| wrong())?;
    let zoned = civil.to_zoned(TimeZone::system()).map_err(|_| wrong())?;
    Ok(zoned.timestamp().as_second())
}

/// A file name for a terminal: whatever is not a printable character is written as `\n` or `\xNN`,
/// and a backslash is doubled, so that what is read is never ambiguous and never moves the cursor.
pub fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() || is_invisible(c) => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Characters that change what the others look like: direction marks and their kind.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_whole() {
        for (seconds, text) in [
            (30 * 86_400, "30 days"),
            (86_400, "1 day"),
            (36 * 3600, "36 hours"),
            (90, "90 seconds"),
            (120, "2 minutes"),
        ] {
            assert_eq!(period(seconds), text);
        }
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 * 1024 * 1024 * 1024, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn counts() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(plural(1, "file"), "1 file");
        assert_eq!(plural(2000, "file"), "2,000 files");
    }

    #[test]
    fn durations() {
        for (value, text) in [
            (0.0, "0.000 s"),
            (0.2136, "0.214 s"),
            (9.9999, "10.0 s"),
            (59.96, "1 min 00 s"),
            (245.2, "4 min 05 s"),
            (7400.0, "2 h 03 min"),
            (90_000.0, "1 d 01 h"),
            (f64::NAN, "-"),
            (-1.0, "-"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("0", 0),
            ("2d", 172_800_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 s",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(
            time_in("2026-11-22T21:44:45.5Z", zone.clone()),
            "2026-11-22 23:44:45"
        );
        assert_eq!(
            time_in("2026-11-22T21:44:45.123456789+01:00", zone.clone()),
            "2026-11-22 22:44:45"
        );
        assert_eq!(time_in("yesterday\u{7}", zone), "yesterday\\x07");
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(parse_time("1970-01-02T00:00:00Z"), Ok(86_400));
        let day = parse_time("2026-10-01").unwrap();
        assert_eq!(parse_time("2026-10-01 00:01").unwrap(), day + 60);
        for text in ["", "yesterday", "2026", "2026-13-01", "12:00"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("zoë/日本".as_bytes()), "zoë/日本");
        assert_eq!(escape(b"a\nb\xff\x1b[31m\\"), "a\\nb\\xff\\x1b[31m\\\\");
        assert_eq!(
            escape("a\u{202e}b\u{85}".as_bytes()),
            "a\\xe2\\x80\\xaeb\\xc2\\x85"
        );
    }
}
