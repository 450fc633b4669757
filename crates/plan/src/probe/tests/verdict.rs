//! The verdict is what Kubernetes' rules say, for any answers; and other things that hold for all values.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::of;
use crate::probe::*;

/// One answer: whose, and what.
fn answers() -> impl Strategy<Value = Vec<(Which, u8)>> {
    let which = prop_oneof![
        Just(Which::Startup),
        Just(Which::Liveness),
        Just(Which::Readiness)
    ];
    prop::collection::vec((which, 0_u8..8), 0..120)
}

fn outcome(kind: u8) -> Outcome {
    match kind {
        0..=3 => Outcome::Failure("no".to_owned()),
        4..=6 => Outcome::Success,
        _ => Outcome::Unknown("who knows".to_owned()),
    }
}

/// What a history of good (true) and bad answers comes to: the last time that there were enough equal ones in a row.
fn judged(history: &[bool], before: bool, failures: usize, successes: usize) -> bool {
    let turned = |length: usize, to: bool| {
        let mut ends = history
            .windows(length)
            .enumerate()
            .filter(|(_, w)| w.iter().all(|good| *good == to));
        ends.next_back().map(|(at, _)| at + length)
    };
    match (turned(failures, false), turned(successes, true)) {
        (None, None) => before,
        (bad, good) => good > bad,
    }
}

proptest! {
    /// Against a model that keeps whole histories and looks through them each time.
    #[test]
    fn verdicts_are_those_of_the_rules(
        given in answers(), startup in any::<bool>(), readiness in any::<bool>(),
        failures in 1_u32..5, successes in 1_u32..4,
    ) {
        let mut labels = vec![("liveness", "tcp://:1".to_owned()), ("liveness.failures", failures.to_string())];
        if startup {
            labels.push(("startup", "tcp://:1".to_owned()));
            labels.push(("startup.failures", failures.to_string()));
        }
        if readiness {
            labels.push(("readiness", "tcp://:1".to_owned()));
            labels.push(("readiness.failures", failures.to_string()));
            labels.push(("readiness.successes", successes.to_string()));
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let probes = of(&labels);
        prop_assert!(probes.findings.is_empty());
        let (failures, successes) = (failures as usize, successes as usize);
        let mut health = Health::new(&probes, Duration::ZERO);
        let mut histories: BTreeMap<Which, Vec<bool>> = BTreeMap::new();
        let mut started = !startup;
        for (at, (which, kind)) in given.into_iter().enumerate() {
            let outcome = outcome(kind);
            let counts = probes.get(which).is_some() && (which == Which::Startup) != started;
            if counts && kind < 7 {
                histories.entry(which).or_default().push(outcome == Outcome::Success);
                started |= which == Which::Startup && outcome == Outcome::Success;
            }
            let before = health.verdict();
            let (next, changes) = health.step(&probes, which, outcome, Duration::from_secs(at as u64));
            health = next;
            let verdict = health.verdict();
            let of = |which| histories.get(&which).map_or(&[][..], Vec::as_slice);
            let slow = !started && !judged(of(Which::Startup), true, failures, 1);
            let alive = judged(of(Which::Liveness), true, failures, 1) && !slow;
            let ready = started && (!readiness || judged(of(Which::Readiness), false, failures, successes));
            prop_assert_eq!(verdict, Verdict { started, alive, ready });
            // What changed is said, and nothing else is.
            prop_assert_eq!(before != verdict, !changes.is_empty(), "{:?} {:?} {:?}", before, verdict, changes);
            prop_assert_eq!(changes.contains(&Change::Ready), verdict.ready && !before.ready);
        }
    }

    #[test]
    fn no_label_breaks_anything(key in "(startup|liveness|readiness|livenes|x)(\\.[a-z.-]{0,12})?", text in "\\PC{0,60}", kind in 0_usize..6) {
        let prefix = ["", "http://:80/", "exec:", "sql:postgres://", "amqp://", "[1,"][kind];
        let text = format!("{prefix}{text}");
        let probes = of(&[(&key, &text), ("liveness.json", &text), ("liveness.status", &text), ("readiness.period", &text)]);
        for (_, value, _) in probes.rows() {
            prop_assert!(!value.contains('\0'));
        }
        for finding in &probes.findings {
            prop_assert!(!finding.what.is_empty());
        }
    }

    #[test]
    fn durations_come_back(millis in 0_u64..1_000_000_000) {
        let value = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&show_duration(value)).unwrap(), value);
    }

    /// All of them within a period, none before its delay.
    #[test]
    fn first_questions_are_spread(started in 0_u64..100, more in 0_u64..100, delay in 0_u64..50, spread in 0.0_f64..1.0) {
        let mut timing = Timing::default();
        timing.delay.value = Duration::from_secs(delay);
        let (started, now) = (Duration::from_secs(started), Duration::from_secs(started + more));
        let first = timing.first(started, now, spread);
        prop_assert!(first >= now && first >= started + timing.delay.value);
        prop_assert!(first <= now.max(started + timing.delay.value) + timing.period.value);
        if more < 10 && delay == 0 {
            prop_assert!(first < now + Duration::from_secs(1));
        }
    }
}
