//! Moments as the format writes them: RFC 3339 with nanoseconds, trailing zeros cut, in UTC.

use crate::node::Timestamp;

const NANOS: i128 = 1_000_000_000;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what the format can say (Go refuses the rest).
const MIN_SECS: i64 = -62_167_219_200;
const MAX_SECS: i64 = 253_402_300_799;

impl Timestamp {
    /// Nanoseconds since 1970-01-01 UTC.
    pub fn as_nanos(self) -> i128 {
        i128::from(self.secs) * NANOS + i128::from(self.nanos)
    }

    /// From nanoseconds since 1970-01-01 UTC, clamped to what seconds can hold.
    pub fn from_nanos(nanos: i128) -> Timestamp {
        let secs = nanos
            .div_euclid(NANOS)
            .clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Timestamp {
            secs: i64::try_from(secs).unwrap_or(0),
            nanos: u32::try_from(nanos.rem_euclid(NANOS)).unwrap_or(0),
        }
    }

    /// `2026-11-22T21:38:02.5Z`. Years outside 0 to 9999 become the nearest that can be written,
    /// as restic does it.
    pub fn to_rfc3339(self) -> String {
        let (secs, nanos) = match self.secs {
            s if s < MIN_SECS => (MIN_SECS, 0),
            s if s > MAX_SECS => (MAX_SECS, 0),
            s => (s, self.nanos.min(999_999_999)),
        };
        let days = secs.div_euclid(86_400);
        let rest = secs.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        let mut out = format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        );
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            out.push('.');
            out.push_str(digits.trim_end_matches('0'));
        }
        out.push('Z');
        out
    }

    /// Reads RFC 3339 with any offset and any number of fractional digits (those beyond nine are
    /// dropped). `None` for anything else.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let b = text.as_bytes();
        if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' {
            return None;
        }
        if !matches!(b[10], b'T' | b't' | b' ') {
            return None;
        }
        let (year, month, day) = (number(&b[0..4])?, number(&b[5..7])?, number(&b[8..10])?);
        let (hour, minute, second) = (
            number(&b[11..13])?,
            number(&b[14..16])?,
            number(&b[17..19])?,
        );
        if !(1..=12).contains(&month)
            || day < 1
            || day > days_in_month(year, month)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let mut rest = &b[19..];
        let mut nanos = 0u32;
        if let Some((b'.' | b',', digits)) = rest.split_first() {
            let end = digits
                .iter()
                .position(|c| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            if end == 0 {
                return None;
            }
            let given = digits[..end].iter().chain(std::iter::repeat(&b'0'));
            nanos = given
                .take(9)
                .fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
            rest = &digits[end..];
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let hours = number(&[*h1, *h2])?;
                let minutes = number(&[*m1, *m2])?;
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let offset = hours * 3600 + minutes * 60;
                if *sign == b'-' { -offset } else { offset }
            }
            _ => return None,
        };
        let days = days_from_civil(year, month, day);
        let secs = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Some(Timestamp { secs, nanos })
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |n, c| {
        c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0'))
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years that
/// begin on 1 March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = (month_index + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(text: &str, secs: i64, nanos: u32) {
        let t = Timestamp { secs, nanos };
        assert_eq!(t.to_rfc3339(), text);
        assert_eq!(Timestamp::parse_rfc3339(text), Some(t));
    }

    #[test]
    fn known_moments() {
        roundtrip("1970-01-01T00:00:00Z", 0, 0);
        roundtrip("2000-02-29T23:59:59.5Z", 951_868_799, 500_000_000);
        roundtrip("2026-11-22T21:38:02.000000001Z", 1_795_383_482, 1);
        roundtrip("1969-12-31T23:59:59.999999999Z", -1, 999_999_999);
        roundtrip("0000-01-01T00:00:00Z", MIN_SECS, 0);
        roundtrip("9999-12-31T23:59:59Z", MAX_SECS, 0);
    }

    #[test]
    fn offsets_and_long_fractions() {
        assert_eq!(
            Timestamp::parse_rfc3339("1970-01-01T02:00:00.1234567899+02:00"),
            Some(Timestamp {
                secs: 0,
                nanos: 123_456_789
            })
        );
        for bad in [
            "",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T24:00:00Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for days in -150_000..150_000 {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
    }

    #[test]
    fn beyond_the_calendar_is_clamped() {
        assert_eq!(
            Timestamp {
                secs: i64::MAX,
                nanos: 5
            }
            .to_rfc3339(),
            "9999-12-31T23:59:59Z"
        );
        assert_eq!(
            Timestamp {
                secs: i64::MIN,
                nanos: 5
            }
            .to_rfc3339(),
            "0000-01-01T00:00:00Z"
        );
    }

    #[test]
    fn nanoseconds_both_ways() {
        for n in [0, -1, 1, -1_000_000_000, 1_999_999_999] {
            assert_eq!(Timestamp::from_nanos(n).as_nanos(), n);
        }
    }
}
