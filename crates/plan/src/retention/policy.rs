//! restic's rules, one group at a time: `--keep-last`, `-hourly`, …, `-within-…` and `-tag`.
//!
//! From the newest to the oldest point, each rule of a period keeps the newest point of a period that it has not kept
//! yet, as long as its count lasts; a rule *within* a span goes by the span, measured from the newest point that does not
//! lie in the future. A point stays if any rule keeps it. Since 0.16 restic also keeps the oldest point where a count has
//! not run out ([`Policy::without_oldest`]).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::{Moment, Span};

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Count {
    /// The rule is not in force.
    #[default]
    None,
    /// So many.
    Some(u32),
    /// All.
    Unlimited,
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            "0" => Ok(Self::None),
            _ => match text.parse() {
                Ok(number) => Ok(Self::Some(number)),
                Err(_) => Err(format!("`{text}` is no number, and not `unlimited`")),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u32),
            Word(String),
        }
        match Form::deserialize(d)? {
            Form::Number(0) => Ok(Self::None),
            Form::Number(number) => Ok(Self::Some(number)),
            Form::Word(word) => word.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Each point.
    Last,
    /// Hours.
    Hourly,
    /// Days.
    Daily,
    /// Weeks, from Monday.
    Weekly,
    /// Months.
    Monthly,
    /// Years.
    Yearly,
}

impl Period {
    fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// The same number for points of the same period.
    fn number(self, moment: &Moment, place: usize) -> i64 {
        let wall = moment.wall();
        let year = i64::from(wall.year());
        let month = year * 100 + i64::from(wall.month());
        let day = month * 100 + i64::from(wall.day());
        match self {
            Self::Last => i64::try_from(place).unwrap_or(i64::MAX),
            Self::Hourly => day * 100 + i64::from(wall.hour()),
            Self::Daily => day,
            Self::Weekly => {
                let week = wall.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }
            Self::Monthly => month,
            Self::Yearly => year,
        }
    }
}

/// What is to be kept. The names are those of the settings file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// The newest.
    pub keep_last: Count,
    /// The newest of so many hours.
    pub keep_hourly: Count,
    /// Of days.
    pub keep_daily: Count,
    /// Of weeks.
    pub keep_weekly: Count,
    /// Of months.
    pub keep_monthly: Count,
    /// Of years.
    pub keep_yearly: Count,
    /// All within this span.
    pub keep_within: Span,
    /// The newest of each hour within.
    pub keep_within_hourly: Span,
    /// Of each day.
    pub keep_within_daily: Span,
    /// Of each week.
    pub keep_within_weekly: Span,
    /// Of each month.
    pub keep_within_monthly: Span,
    /// Of each year.
    pub keep_within_yearly: Span,
    /// Those with all tags of one of these lists; an empty tag stands for no tags at all.
    pub keep_tag: Vec<TagList>,
    /// Do not keep the oldest point where a count has not run out, as restic before 0.16.
    #[serde(skip)]
    pub without_oldest: bool,
}

impl Policy {
    /// What is kept of the snapshots of an app's definition: one is made with each change, so there are few; and they are
    /// small, for what they have in common is stored once.
    #[must_use]
    pub fn of_definitions() -> Self {
        Self {
            keep_last: Count::Some(20),
            keep_daily: Count::Some(30),
            keep_monthly: Count::Some(12),
            without_oldest: true,
            ..Self::default()
        }
    }
}

/// Tags that a point must have all of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList(pub Vec<String>);

impl TagList {
    /// Whether a point with these tags is meant.
    #[must_use]
    pub fn matches(&self, tags: &[String]) -> bool {
        match self.0.as_slice() {
            [empty] if empty.is_empty() => tags.is_empty(),
            wanted => wanted.iter().all(|tag| tags.contains(tag)),
        }
    }
}

impl FromStr for TagList {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').map(|t| t.trim().to_owned()).collect()))
    }
}

impl<'de> Deserialize<'de> for TagList {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e| match e {})
    }
}

impl fmt::Display for TagList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// A rule that kept a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// One of so many.
    Counted(Period),
    /// The oldest, where the count had not run out.
    Oldest(Period),
    /// Within a span.
    Within(Span),
    /// One of a period within a span.
    CountedWithin(Period, Span),
    /// The oldest within a span.
    OldestWithin(Period, Span),
    /// By its tags.
    Tags(TagList),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted(period) => f.write_str(period.word()),
            Self::Oldest(period) => write!(f, "oldest {}", period.word()),
            Self::Within(span) => write!(f, "within {span}"),
            Self::CountedWithin(period, span) => write!(f, "{} within {span}", period.word()),
            Self::OldestWithin(period, span) => {
                write!(f, "oldest {} within {span}", period.word())
            }
            Self::Tags(tags) => write!(f, "tag {tags}"),
        }
    }
}

/// What a policy looks at.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// When.
    pub moment: Moment,
    /// Tags.
    pub tags: &'a [String],
}

impl Policy {
    fn counted(&self) -> [(Period, Count); 6] {
        [
            (Period::Last, self.keep_last),
            (Period::Hourly, self.keep_hourly),
            (Period::Daily, self.keep_daily),
            (Period::Weekly, self.keep_weekly),
            (Period::Monthly, self.keep_monthly),
            (Period::Yearly, self.keep_yearly),
        ]
    }

    fn within(&self) -> [(Period, Span); 5] {
        [
            (Period::Hourly, self.keep_within_hourly),
            (Period::Daily, self.keep_within_daily),
            (Period::Weekly, self.keep_within_weekly),
            (Period::Monthly, self.keep_within_monthly),
            (Period::Yearly, self.keep_within_yearly),
        ]
    }

    /// Whether no rule is in force: then nothing may be forgotten by it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted().iter().all(|(_, c)| *c == Count::None)
            && self.within().iter().all(|(_, span)| span.is_zero())
            && self.keep_within.is_zero()
            && self.keep_tag.is_empty()
    }
}

/// For each point of a group, newest first, the rules that keep it; none: it may go. An empty policy keeps nothing, so
/// ask [`Policy::is_empty`] first.
#[must_use]
pub fn apply(policy: &Policy, points: &[Kept<'_>], now: Timestamp) -> Vec<Vec<Rule>> {
    let mut counted = policy
        .counted()
        .map(|(period, count)| (period, count, None));
    let mut within = policy.within().map(|(period, span)| (period, span, None));
    let past = points.iter().filter(|point| point.moment.instant < now);
    let newest = past.map(|p| p.moment).max_by_key(|m| m.instant);
    let inside = |span: &Span, moment: &Moment| {
        // Without a point that has been, everything lies in the future.
        !span.is_zero() && newest.is_none_or(|n| moment.instant > span.before(&n))
    };
    let mut all = Vec::with_capacity(points.len());
    for (place, point) in points.iter().enumerate() {
        let moment = &point.moment;
        let oldest = place + 1 == points.len() && !policy.without_oldest;
        let mut rules = Vec::new();
        let tags = policy.keep_tag.iter().filter(|t| t.matches(point.tags));
        rules.extend(tags.cloned().map(Rule::Tags));
        if inside(&policy.keep_within, moment) {
            rules.push(Rule::Within(policy.keep_within));
        }
        for (period, count, last) in &mut counted {
            let number = Some(period.number(moment, place));
            if *count == Count::None || (*last == number && !oldest) {
                continue;
            }
            rules.push(match *last == number {
                true => Rule::Oldest(*period),
                false => Rule::Counted(*period),
            });
            *last = number;
            *count = match *count {
                Count::Some(left) if left > 1 => Count::Some(left - 1),
                Count::Unlimited => Count::Unlimited,
                _ => Count::None,
            };
        }
        for (period, span, last) in &mut within {
            let number = Some(period.number(moment, place));
            if !inside(span, moment) || (*last == number && !oldest) {
                continue;
            }
            rules.push(match *last == number {
                true => Rule::OldestWithin(*period, *span),
                false => Rule::CountedWithin(*period, *span),
            });
            *last = number;
        }
        all.push(rules);
    }
    all
}
