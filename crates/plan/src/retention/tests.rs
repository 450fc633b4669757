//! By hand where a person can see the answer, by chance where it is a law.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use policy::TagList;

fn at(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

fn point(n: usize, path: &str, time: &str) -> Point {
    Point {
        id: format!("{n:064x}"),
        moment: Some(at(time)),
        stored: None,
        host: "h".to_owned(),
        paths: vec![path.to_owned()],
        tags: Vec::new(),
        partial: false,
        protected: None,
    }
}

const SHOP: &str = "/lifeboat/default/h/app/shop";
const BLOG: &str = "/lifeboat/default/h/app/blog";

fn options() -> Options {
    Options {
        group_by: GroupBy::default(),
        now: "2026-12-01T00:00:00Z".parse().unwrap(),
        trust_times: false,
        gone_too: false,
    }
}

fn daily(count: u32) -> Policy {
    Policy {
        keep_daily: Count::Some(count),
        without_oldest: true,
        ..Policy::default()
    }
}

/// Which stay.
fn stays(points: &[Point], policy: &Policy, options: &Options) -> Vec<bool> {
    let judged = judge(points, |_| Some(policy), options);
    judged.verdicts.iter().map(Verdict::stays).collect()
}

fn days(path: &str, days: std::ops::RangeInclusive<u32>) -> Vec<Point> {
    days.map(|d| point(d as usize, path, &format!("2026-11-{d:02}T03:00:00Z")))
        .collect()
}

#[test]
fn spans_are_read_and_run_over_the_calendar() {
    let span: Span = "2y5m7d3h".parse().unwrap();
    assert_eq!(span.to_string(), "2y5m7d3h");
    for (text, moment, before) in [
        ("1m", "2026-03-31T10:00:00Z", "2026-03-03T10:00:00Z"),
        ("1y", "2024-02-29T10:00:00Z", "2023-03-01T10:00:00Z"),
        ("1d", "2026-01-01T00:30:00+02:00", "2025-12-30T22:30:00Z"),
        ("36h", "2026-01-02T12:00:00Z", "2026-01-01T00:00:00Z"),
        ("13m", "2026-01-15T00:00:00Z", "2024-12-15T00:00:00Z"),
        ("99999y", "2026-01-15T00:00:00Z", "-009999-01-02T01:59:59Z"),
    ] {
        let span: Span = text.parse().unwrap();
        assert_eq!(
            span.before(&at(moment)),
            before.parse::<Timestamp>().unwrap(),
            "{text}"
        );
    }
    for bad in ["", "7", "d", "1w", "-1d", "1d ", "99999999999d"] {
        assert!(bad.parse::<Span>().is_err(), "{bad}");
    }
}

#[test]
fn counts_tags_and_groups_are_read() {
    assert_eq!("0".parse(), Ok(Count::None));
    assert_eq!("7".parse(), Ok(Count::Some(7)));
    assert_eq!("unlimited".parse(), Ok(Count::Unlimited));
    assert!("-1".parse::<Count>().is_err());
    let tags = |text: &str| text.parse::<TagList>().unwrap();
    let has = |list: &str, of: &[&str]| {
        tags(list).matches(&of.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
    };
    assert!(has("a,b", &["b", "x", "a"]) && !has("a,b", &["a"]));
    assert!(has("", &[]) && !has("", &["a"]));
    assert!(
        "host,paths"
            .parse::<GroupBy>()
            .is_ok_and(|g| g.host && g.paths && !g.app)
    );
    assert!("colour".parse::<GroupBy>().is_err());
}

#[test]
fn settings_say_what_flags_say() {
    let policy: Policy = serde_json::from_str(
        r#"{"keep-daily":7,"keep-yearly":"unlimited","keep-within":"1m","keep-tag":["a,b"]}"#,
    )
    .unwrap();
    assert_eq!(policy.keep_daily, Count::Some(7));
    assert_eq!(policy.keep_yearly, Count::Unlimited);
    assert!(!policy.is_empty() && Policy::default().is_empty());
    assert!(serde_json::from_str::<Policy>(r#"{"keep-dayly":7}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"keep-within":"1w"}"#).is_err());
}

#[test]
fn the_wall_where_a_point_was_made_says_which_day_it_was() {
    let points = [
        point(1, SHOP, "2026-11-01T23:30:00Z"),
        point(2, SHOP, "2026-11-02T00:30:00+01:00"),
    ];
    assert_eq!(stays(&points, &daily(9), &options()), [true, true]);
    let points = [
        point(1, SHOP, "2026-11-02T00:30:00+02:00"),
        point(2, SHOP, "2026-11-02T05:00:00+02:00"),
    ];
    assert_eq!(stays(&points, &daily(9), &options()), [false, true]);
}

#[test]
fn an_incomplete_point_takes_nobodys_place() {
    let mut points = days(SHOP, 1..=4);
    points[3].partial = true;
    points[2].partial = true;
    let policy = Policy {
        keep_last: Count::Some(2),
        without_oldest: true,
        ..Policy::default()
    };
    // By restic's rule the last two would have pushed out both that are whole.
    assert_eq!(stays(&points, &policy, &options()), [true; 4]);
    points.push(point(5, SHOP, "2026-11-05T03:00:00Z"));
    points.push(point(6, SHOP, "2026-11-06T03:00:00Z"));
    assert_eq!(
        stays(&points, &policy, &options()),
        [false, false, false, false, true, true]
    );
}

#[test]
fn the_newest_complete_point_stays_by_whatever_rule() {
    let mut points = days(SHOP, 1..=3);
    points[2].partial = true;
    let policy = Policy {
        keep_tag: vec![TagList(vec!["none".to_owned()])],
        ..Policy::default()
    };
    assert_eq!(stays(&points, &policy, &options()), [false, true, false]);
}

#[test]
fn what_is_protected_stays() {
    let mut points = days(SHOP, 1..=5);
    points[1].protected = Some("it is pinned".to_owned());
    assert_eq!(
        stays(&points, &daily(1), &options()),
        [false, true, false, false, true]
    );
}

#[test]
fn an_app_that_is_gone_keeps_all() {
    let mut points = days(SHOP, 1..=5);
    points.extend(days(BLOG, 1..=8));
    // Three days later it may only be late.
    assert!(!stays(&points, &daily(1), &options())[0]);
    points.extend(days(BLOG, 9..=12));
    let policy = daily(1);
    let judged = judge(&points, |_| Some(&policy), &options());
    assert!(judged.verdicts[..5].iter().all(Verdict::stays));
    assert_eq!(judged.verdicts[5..].iter().filter(|v| v.stays()).count(), 1);
    assert!(judged.verdicts[0].reasons[0].to_string().contains("gone"));
    let too = Options {
        gone_too: true,
        ..options()
    };
    let kept = stays(&points, &daily(1), &too);
    assert_eq!(kept.iter().filter(|stays| **stays).count(), 2);
}

#[test]
fn an_app_that_is_saved_weekly_is_not_gone_after_eight_days() {
    let mut points: Vec<Point> = ["10-10", "10-17", "10-24", "10-31"]
        .iter()
        .enumerate()
        .map(|(n, day)| point(n, SHOP, &format!("2026-{day}T03:00:00Z")))
        .collect();
    points.extend(days(BLOG, 1..=8));
    assert_eq!(
        stays(&points, &daily(1), &options())[..4],
        [false, false, false, true]
    );
}

#[test]
fn a_wrong_clock_pushes_nobody_out() {
    let stored = |mut point: Point, time: &str| {
        point.stored = Some(time.parse().unwrap());
        point
    };
    let honest: Vec<Point> = days(SHOP, 1..=6)
        .into_iter()
        .map(|p| {
            let time = p.moment.unwrap().instant.to_string();
            stored(p, &time)
        })
        .collect();
    let policy = daily(3);
    let alone = stays(&honest, &policy, &options());
    assert_eq!(alone, [false, false, false, true, true, true]);
    // From the future, and dated back into the days of the others: all of them came on the seventh.
    for fakes in [
        [
            "2027-01-01T00:00:00Z",
            "2027-01-02T00:00:00Z",
            "2027-01-03T00:00:00Z",
        ],
        [
            "2026-11-04T23:59:59Z",
            "2026-11-05T23:59:59Z",
            "2026-11-05T23:59:58Z",
        ],
    ] {
        let mut points = honest.clone();
        for (n, time) in fakes.iter().enumerate() {
            points.push(stored(point(100 + n, SHOP, time), "2026-11-07T03:00:00Z"));
        }
        assert_eq!(stays(&points, &policy, &options())[..6], alone, "{fakes:?}");
        let trusting = Options {
            trust_times: true,
            ..options()
        };
        assert_ne!(stays(&points, &policy, &trusting)[..6], alone, "{fakes:?}");
    }
    // Where no store tells, the future is told by our own clock.
    let mut points = days(SHOP, 1..=6);
    points.push(point(100, SHOP, "2031-01-01T00:00:00Z"));
    let kept = stays(&points, &policy, &options());
    assert_eq!((&kept[..6], kept[6]), (&alone[..], true));
}

#[test]
fn nothing_is_forgotten_without_a_policy() {
    let points = days(SHOP, 1..=3);
    assert_eq!(stays(&points, &Policy::default(), &options()), [true; 3]);
    let judged = judge(&points, |_| None, &options());
    assert!(judged.verdicts.iter().all(Verdict::stays));
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let count = || {
        prop_oneof![
            3 => Just(Count::None),
            3 => (1u32..6).prop_map(Count::Some),
            1 => Just(Count::Unlimited)
        ]
    };
    let span = || {
        prop_oneof![
            3 => Just(Span::default()),
            1 => (0u32..2, 0u32..3, 0u32..20, 0u32..30)
                .prop_map(|(years, months, days, hours)| Span { years, months, days, hours })
        ]
    };
    let counts = (count(), count(), count(), count(), count(), count());
    let spans = (span(), span(), span(), span(), span(), span());
    (counts, spans, any::<bool>()).prop_map(|(c, s, without_oldest)| Policy {
        keep_last: c.0,
        keep_hourly: c.1,
        keep_daily: c.2,
        keep_weekly: c.3,
        keep_monthly: c.4,
        keep_yearly: c.5,
        keep_within: s.0,
        keep_within_hourly: s.1,
        keep_within_daily: s.2,
        keep_within_weekly: s.3,
        keep_within_monthly: s.4,
        keep_within_yearly: s.5,
        keep_tag: Vec::new(),
        without_oldest,
    })
}

fn any_points() -> impl Strategy<Value = Vec<Point>> {
    let one = (0..2usize, 0i64..4_000, any::<bool>(), 0u8..6);
    prop::collection::vec(one, 0..40).prop_map(|points| {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let make = |(n, (app, hours, partial, protected)): (usize, (usize, i64, bool, u8))| {
            let time = begin + SignedDuration::from_hours(hours);
            Point {
                partial,
                protected: (protected == 0).then(|| "pinned".to_owned()),
                ..point(n, [SHOP, BLOG][app], &time.to_string())
            }
        };
        points.into_iter().enumerate().map(make).collect()
    })
}

proptest! {
    #[test]
    fn what_never_goes(points in any_points(), policy in any_policy()) {
        let kept = stays(&points, &policy, &options());
        for (point, stays) in points.iter().zip(&kept) {
            prop_assert!(*stays || point.protected.is_none());
        }
        for path in [SHOP, BLOG] {
            let complete = points.iter().zip(&kept).filter(|(p, _)| p.paths[0] == path && !p.partial);
            let newest = complete.max_by(|a, b| a.0.moment.unwrap().instant.cmp(&b.0.moment.unwrap().instant).then(a.0.id.cmp(&b.0.id)));
            prop_assert!(newest.is_none_or(|(_, stays)| *stays));
        }
    }

    #[test]
    fn what_stays_stays_when_it_is_judged_again(points in any_points(), policy in any_policy()) {
        let kept = stays(&points, &policy, &options());
        let left: Vec<Point> = points.into_iter().zip(kept).filter(|(_, stays)| *stays).map(|(p, _)| p).collect();
        prop_assert!(stays(&left, &policy, &options()).into_iter().all(|stays| stays));
    }

    #[test]
    fn time_alone_forgets_nothing(points in any_points(), policy in any_policy(), years in 1i64..30) {
        let kept = stays(&points, &policy, &options());
        let later = Options { now: options().now + SignedDuration::from_hours(years * 8766), ..options() };
        prop_assert_eq!(stays(&points, &policy, &later), kept);
    }

    #[test]
    fn incomplete_points_push_no_complete_one_out(points in any_points(), policy in any_policy()) {
        let whole: Vec<Point> = points.iter().filter(|p| !p.partial).cloned().collect();
        // Whether an app is gone may hang on an incomplete point; that is another rule.
        let options = Options { gone_too: true, ..options() };
        let alone = stays(&whole, &policy, &options);
        let among = stays(&points, &policy, &options);
        let among: Vec<bool> = points.iter().zip(among).filter(|(p, _)| !p.partial).map(|(_, s)| s).collect();
        for (alone, among) in alone.into_iter().zip(among) {
            prop_assert!(among || !alone);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,30}") {
        let _ = (text.parse::<Span>(), Moment::parse(&text), text.parse::<GroupBy>());
    }
}

#[test]
fn definitions_compete_with_each_other_alone_and_are_bounded() {
    let definition = "/lifeboat/default/h/definition/shop";
    let mut points = days(SHOP, 1..=28);
    // A hundred changes on one day.
    points.extend((100..200).map(|n| {
        let time = format!("2026-11-20T{:02}:{:02}:00Z", n / 60, n % 60);
        point(n, definition, &time)
    }));
    let own = Policy::of_definitions();
    let apps = daily(3);
    let by_host = Options {
        group_by: "host".parse().unwrap(),
        ..options()
    };
    for options in [options(), by_host] {
        let policy_of = |p: &Point| Some(if p.is_definition() { &own } else { &apps });
        let judged = judge(&points, policy_of, &options).verdicts;
        let (of_app, of_definition) = judged.split_at(28);
        let staying = |all: &[Verdict]| all.iter().filter(|v| v.stays()).count();
        assert_eq!((staying(of_app), staying(of_definition)), (3, 20));
        assert!(of_definition[99].reasons.contains(&Reason::NewestComplete));
    }
}
