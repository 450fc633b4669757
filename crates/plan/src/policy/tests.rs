use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::*;
use crate::identity::AppIdentity;
use crate::name::SiteName;

type Labels = BTreeMap<String, String>;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

struct Case {
    containers: Vec<(&'static str, Labels)>,
    file: Settings,
    api: Option<Wishes>,
}

impl Case {
    fn new(containers: &[(&'static str, &[(&str, &str)])]) -> Self {
        Self {
            containers: containers.iter().map(|(n, l)| (*n, labels(l))).collect(),
            file: Settings::new(),
            api: None,
        }
    }

    fn file(mut self, section: &str, json: &str) -> Self {
        self.file
            .insert(section.to_owned(), serde_json::from_str(json).unwrap());
        self
    }

    fn api(mut self, json: &str) -> Self {
        self.api = Some(serde_json::from_str(json).unwrap());
        self
    }

    fn policy(&self) -> Policy {
        let app = AppIdentity::new(
            SiteName::default(),
            "web1".parse().unwrap(),
            "shop".parse().unwrap(),
        );
        let labelled: Vec<Labelled<'_>> = self
            .containers
            .iter()
            .map(|(name, labels)| Labelled { name, labels })
            .collect();
        resolve(&Layers {
            app: &app,
            labelled: &labelled,
            holds_data: &|name| name.contains("db"),
            file: &self.file,
            api: self.api.as_ref(),
            zone: &TimeZone::UTC,
            now: "2026-11-29T12:00:00Z".parse().unwrap(),
        })
    }
}

fn said(policy: &Policy) -> String {
    policy
        .notes
        .iter()
        .map(|n| n.text.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn nobody_said_anything() {
    let policy = Case::new(&[("shop-db-1", &[])]).policy();
    assert!(policy.protect.value);
    assert_eq!(policy.rpo.value, DEFAULT_RPO);
    assert_eq!(policy.rpo.origin, Origin::Default);
    assert_eq!(policy.retain.value.to_string(), DEFAULT_RETAIN);
    // At an hour of its own, in the night, the same each time.
    let daily = policy.schedule.clone().unwrap().value.to_string();
    let hour: u32 = daily.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(hour < 6, "{daily}");
    assert_eq!(
        policy.schedule,
        Case::new(&[("shop-db-1", &[])]).policy().schedule
    );
    assert_eq!(said(&policy), "");
}

#[test]
fn labels_win_over_the_file_and_the_file_over_the_api() {
    let policy = Case::new(&[
        ("shop-db-1", &[("lifeboat.rpo", "15m")]),
        ("shop-web-1", &[]),
    ])
    .file("shop", r#"{"rpo": "1h", "retain": "3d"}"#)
    .file("*", r#"{"rto": "5m", "retain": "9d", "priority": "high"}"#)
    .api(r#"{"rpo": "2h", "rto": "1m", "consistency": "crash"}"#)
    .policy();
    let rows: Vec<String> = policy
        .rows()
        .into_iter()
        .map(|(name, value, origin)| format!("{name} {value}: {origin}"))
        .collect();
    assert_eq!(
        rows,
        [
            "protect true: default",
            "rpo 15m: label lifeboat.rpo on shop-db-1",
            "rto 5m: lifeboat.toml, [policy.\"*\"]",
            "retain 3d: lifeboat.toml, [policy.\"shop\"]",
            "consistency crash: API",
            "priority high: lifeboat.toml, [policy.\"*\"]",
        ]
    );
}

#[test]
fn a_change_that_is_overruled_is_refused_by_name() {
    let policy = Case::new(&[("shop-db-1", &[("lifeboat.rpo", "15m")])])
        .file("*", r#"{"retain": "9d"}"#)
        .policy();
    let change: Wishes =
        serde_json::from_str(r#"{"rpo": "1h", "rto": "5m", "retain": "1d"}"#).unwrap();
    let fields: Vec<_> = overruled(&policy, &change)
        .into_iter()
        .map(|c| c.field)
        .collect();
    assert_eq!(fields, ["rpo", "retain"]);
    let free: Wishes = serde_json::from_str(r#"{"rto": "5m", "priority": 3}"#).unwrap();
    assert!(overruled(&policy, &free).is_empty());
}

#[test]
fn typos_are_named_and_take_nothing_away() {
    let policy = Case::new(&[(
        "shop-db-1",
        &[
            ("lifeboat.rpo", "15 minuets"),
            ("lifeboat.retian", "7d"),
            ("lifeboat.consistency", "crahs"),
            ("lifeboat.liveness.period", "10s"),
            ("lifeboat.enable", "flase"),
        ],
    )])
    .policy();
    let said = said(&policy);
    assert!(said.contains("`15 minuets` is no length of time"), "{said}");
    assert!(said.contains("did you mean `lifeboat.retain`?"), "{said}");
    assert!(said.contains("did you mean `crash`?"), "{said}");
    assert!(said.contains("`flase` is neither true nor false"), "{said}");
    assert!(!said.contains("liveness"), "{said}");
    assert!(policy.protect.value);
    assert_eq!(policy.rpo.origin, Origin::Default);
}

#[test]
fn containers_that_disagree_are_protected_more() {
    let policy = Case::new(&[
        (
            "shop-a",
            &[("lifeboat.rpo", "1h"), ("lifeboat.retain", "7d")],
        ),
        (
            "shop-db",
            &[("lifeboat.rpo", "15m"), ("lifeboat.retain", "2d,4w")],
        ),
    ])
    .policy();
    assert_eq!(policy.rpo.value.to_string(), "15m");
    assert_eq!(
        policy.rpo.origin.to_string(),
        "label lifeboat.rpo on shop-db"
    );
    assert_eq!(policy.retain.value.to_string(), "7d,4w");
    assert!(said(&policy).contains("15m holds"), "{}", said(&policy));
}

#[test]
fn opting_out_has_to_be_said_by_all() {
    let out = ("lifeboat.enable", "false");
    let all = Case::new(&[("shop-a", &[out]), ("shop-db", &[out])]).policy();
    assert!(!all.protect.value);
    let some = Case::new(&[("shop-a", &[out]), ("shop-db", &[])]).policy();
    assert!(some.protect.value);
    let file = Case::new(&[("shop-db", &[])])
        .file("shop", r#"{"protect": false}"#)
        .policy();
    assert!(!file.protect.value);
    let label = Case::new(&[("shop-db", &[("lifeboat.enable", "true")])])
        .file("shop", r#"{"protect": false}"#)
        .policy();
    assert!(label.protect.value);
}

#[test]
fn other_tools_labels_are_shown_and_their_opt_outs_honoured() {
    let out = ("stack-back.volumes", "false");
    let policy = Case::new(&[("shop-web", &[]), ("shop-db", &[out])]).policy();
    assert!(!policy.protect.value, "the web container holds no data");
    assert_eq!(
        policy.protect.origin.to_string(),
        "stack-back.volumes on shop-db, another tool's label"
    );
    let two = Case::new(&[("shop-db-1", &[out]), ("shop-db-2", &[])]).policy();
    assert!(two.protect.value, "the other one's data is wanted");
    let ours = Case::new(&[("shop-db", &[out, ("lifeboat.enable", "true")])]).policy();
    assert!(ours.protect.value);
    let updater = Case::new(&[(
        "shop-db",
        &[
            ("com.centurylinklabs.watchtower.enable", "false"),
            ("autoheal", "false"),
        ],
    )])
    .policy();
    assert!(updater.protect.value);
    assert_eq!(updater.foreign.len(), 2);
    let nautical = Case::new(&[(
        "shop-db",
        &[
            ("nautical-backup.enable", "true"),
            ("nautical-backup.group.db.priority", "70"),
            ("nautical-backup.additional-folders", "x"),
        ],
    )])
    .policy();
    assert_eq!(nautical.priority.value.number(), 70);
    let honoured: Vec<bool> = nautical.foreign.iter().map(|f| f.honoured).collect();
    assert_eq!(honoured, [false, true, true]);
}

#[test]
fn contradictions_say_by_how_much() {
    let window = Case::new(&[(
        "db",
        &[("lifeboat.rpo", "1h"), ("lifeboat.window", "22:00-06:00")],
    )])
    .policy();
    let text = said(&window);
    assert!(text.contains("for 16h on end, 15h too long"), "{text}");
    let schedule = Case::new(&[(
        "db",
        &[("lifeboat.rpo", "1h"), ("lifeboat.schedule", "0 */4 * * *")],
    )])
    .policy();
    let text = said(&schedule);
    assert!(
        text.contains("leaves 4h between two captures, 3h more"),
        "{text}"
    );
    let closed = Case::new(&[(
        "db",
        &[
            ("lifeboat.schedule", "0 12 * * *"),
            ("lifeboat.window", "22:00-06:00"),
        ],
    )])
    .policy();
    let text = said(&closed);
    assert!(text.contains("waits until it opens"), "{text}");
    assert_eq!(closed.rpo.origin, Origin::Schedule);
    assert_eq!(closed.rpo.value, Period::hours(26));
    let fine = Case::new(&[(
        "db",
        &[("lifeboat.rpo", "1d"), ("lifeboat.window", "22:00-06:00")],
    )])
    .policy();
    assert_eq!(said(&fine), "");
}

#[test]
fn an_rpo_shorter_than_two_captures_cannot_be_kept() {
    // DR.md: an RPO of 15 minutes needs captures of at most seven and a half.
    let rpo: Period = "15m".parse().unwrap();
    assert_eq!(judge::too_short(rpo, Period::seconds(450)), None);
    let why = judge::too_short(rpo, Period::seconds(600)).unwrap();
    assert!(why.contains("is 5m shorter than can be kept"), "{why}");
    assert_eq!(judge::latest_start(rpo, Period::seconds(600)), 300_000);
    assert_eq!(judge::latest_start(rpo, Period::hours(1)), 0);
}

#[test]
fn unknown_fields_of_the_file_are_refused() {
    assert!(serde_json::from_str::<Wishes>(r#"{"rop": "1h"}"#).is_err());
}
