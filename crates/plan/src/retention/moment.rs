//! A point's time: the instant, and what the clock on the wall said where it was made. Hours, days and weeks are
//! counted by the wall.

use jiff::{Timestamp, civil::DateTime, fmt::temporal::Pieces, tz::Offset};

/// A time as a snapshot bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub instant: Timestamp,
    /// How far the clock on the wall was ahead of UTC.
    pub offset: Offset,
}

impl Moment {
    /// Of RFC 3339 text; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let instant = text.parse().ok()?;
        let offset = Pieces::parse(text).ok()?.to_numeric_offset();
        Some(Self {
            instant,
            offset: offset.unwrap_or(Offset::UTC),
        })
    }

    /// What the clock on the wall said.
    #[must_use]
    pub fn wall(&self) -> DateTime {
        self.offset.to_datetime(self.instant)
    }
}
