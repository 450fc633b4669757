//! Definitions of containers that are not there any more and that nobody makes again: 30 days after one was seen last its
//! definition goes, and beyond 500 of them the oldest do. So do those of networks, volumes and images that no container's
//! definition stands on any more.
//!
//! A definition was seen last when its file was written or touched; that of a container that is there is touched at each
//! look.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_plan::supervise::Moment;

use crate::definitions::{Definitions, Kind, in_file};

/// So long one is kept after it was seen last.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// So many of those that are not there are kept.
const MOST: usize = 500;
/// But none goes for their number so soon: what the engine lost is known to be gone by then.
const SETTLED: Duration = Duration::from_secs(24 * 3600);

/// A definition of a container that is not there, and is not to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Absent {
    name: String,
    /// When it was there last.
    seen: Moment,
}

/// Takes away what is out of its time. Names of containers whose definitions went.
///
/// `here` are the containers that the engine lists, `wanted` those that are gone and are made again.
///
/// # Errors
/// The folder cannot be read or written.
pub(crate) fn tidy(
    definitions: &Definitions,
    here: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
    now: Moment,
) -> std::io::Result<Vec<String>> {
    // What is written meanwhile was seen after the engine was asked.
    let _one = definitions.one_at_a_time();
    let mut absent = Vec::new();
    for (name, seen) in definitions.files(Kind::Container)? {
        if here.contains(&name) {
            definitions.touch(Kind::Container, &name, now)?;
        } else if !wanted.contains(&name) {
            absent.push(Absent { name, seen });
        }
    }
    let due: Vec<String> = due(absent, now)
        .into_iter()
        .filter(|name| !definitions.is_kept(name))
        .collect();
    for name in &due {
        definitions.remove(Kind::Container, name)?;
    }
    let left = definitions.files(Kind::Container)?;
    let raw = |(name, _): &(String, Moment)| definitions.container(name);
    let needed: BTreeSet<(Kind, String)> = left
        .iter()
        .filter_map(raw)
        .flat_map(|raw| Definitions::stands_on(&raw))
        .collect();
    for kind in [Kind::Network, Kind::Volume, Kind::Image] {
        for (name, seen) in definitions.files(kind)? {
            let is_needed = needed.iter().any(|(k, n)| *k == kind && in_file(n) == name);
            if !is_needed && now.since(seen) >= KEPT {
                definitions.remove(kind, &name)?;
            }
        }
    }
    Ok(due)
}

/// Those whose time is over.
fn due(mut absent: Vec<Absent>, now: Moment) -> Vec<String> {
    absent.sort_by(|a, b| (b.seen, &a.name).cmp(&(a.seen, &b.name)));
    let is_due = |(number, one): &(usize, Absent)| {
        let since = now.since(one.seen);
        since >= KEPT || *number >= MOST && since >= SETTLED
    };
    let numbered = absent.into_iter().enumerate();
    numbered.filter(is_due).map(|(_, one)| one.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Moment = Moment(100 * 24 * 3600 * 1000);

    fn ago(time: Duration) -> Moment {
        Moment(NOW.0 - u64::try_from(time.as_millis()).unwrap())
    }

    fn absent(name: &str, seen: Moment) -> Absent {
        Absent {
            name: name.to_owned(),
            seen,
        }
    }

    #[test]
    fn each_has_its_time_and_beyond_so_many_the_oldest_go() {
        let hour = Duration::from_secs(3600);
        let some = vec![
            absent("over", ago(KEPT)),
            absent("nearly", ago(KEPT - hour)),
            // A clock that was set back.
            absent("to-come", NOW.plus(KEPT)),
        ];
        assert_eq!(due(some, NOW), ["over"]);
        // One more than are kept; three of the same age go by name.
        let days = |count: usize| SETTLED * u32::try_from(count / 100 + 2).unwrap();
        let many = (0..MOST).map(|n| absent(&format!("c{n:03}"), ago(days(n))));
        assert_eq!(due(many.clone().collect(), NOW), Vec::<String>::new());
        let one = absent("newer", ago(SETTLED));
        assert_eq!(due(many.clone().chain([one]).collect(), NOW), ["c499"]);
        // All were lost a moment ago: it is not known yet which of them are made again.
        let lost = (0..MOST * 2).map(|n| absent(&n.to_string(), ago(hour)));
        assert_eq!(due(lost.collect(), NOW), Vec::<String>::new());
    }

    fn container(name: &str, labels: &Value, network: &str, volume: &str, image: &str) -> Value {
        json!({
            "Name": format!("/{name}"), "Image": image, "Config": {"Labels": labels},
            "Mounts": [{"Type": "volume", "Name": volume}],
            "NetworkSettings": {"Networks": {network: {}}},
        })
    }

    #[test]
    fn what_nobody_has_goes_with_what_it_alone_stood_on() {
        let dir = tempfile::tempdir().unwrap();
        let definitions = Definitions::in_folder(dir.path());
        let none = json!({});
        for (name, labels, network, volume, image) in [
            ("here", &none, "both", "here", "sha256:1"),
            ("removed", &none, "both", "alone", "sha256:2"),
            ("removed-too", &none, "theirs", "alone", "sha256:2"),
            ("lost", &none, "lost", "lost", "sha256:3"),
            (
                "keep",
                &json!({"lifeboat.keep": "true"}),
                "keep",
                "keep",
                "sha256:4",
            ),
            ("lately", &none, "late", "late", "sha256:5"),
        ] {
            let raw = container(name, labels, network, volume, image);
            for (kind, name) in Definitions::stands_on(&raw) {
                definitions.add(kind, &name, &json!({"of": name})).unwrap();
                definitions.touch(kind, &name, ago(KEPT)).unwrap();
            }
            definitions.add(Kind::Container, name, &raw).unwrap();
            if name != "lately" {
                definitions.touch(Kind::Container, name, ago(KEPT)).unwrap();
            }
        }
        // The one before of what goes, goes too; not another container whose name looks like that.
        let [before, another] = ["removed.1", "removed-too.1"]
            .map(|name| dir.path().join("definitions/containers").join(name));
        fs_err::write(&before, r#"{"Name": "/removed"}"#).unwrap();
        fs_err::write(&another, r#"{"Name": "/removed-too.1"}"#).unwrap();
        // Fetched for a container that is made again, whose own definition comes last.
        let fetched = json!({"of": "fetched"});
        definitions.add(Kind::Network, "fetched", &fetched).unwrap();
        definitions
            .touch(Kind::Network, "fetched", ago(SETTLED))
            .unwrap();
        definitions
            .touch(Kind::Container, "lately", ago(SETTLED))
            .unwrap();
        let here = BTreeSet::from(["here".to_owned()]);
        let wanted = BTreeSet::from(["lost".to_owned()]);
        let names = |kind| -> Vec<String> {
            let all = definitions.files(kind).unwrap();
            all.into_iter().map(|(name, _)| name).collect()
        };
        let gone = tidy(&definitions, &here, &wanted, NOW).unwrap();
        assert_eq!(gone, ["removed", "removed-too"]);
        assert_eq!(
            names(Kind::Container),
            ["here", "keep", "lately", "lost", "removed-too.1"]
        );
        assert_eq!(
            names(Kind::Network),
            ["both", "fetched", "keep", "late", "lost"]
        );
        assert_eq!(names(Kind::Volume), ["here", "keep", "late", "lost"]);
        assert_eq!(
            names(Kind::Image),
            ["sha256:1", "sha256:3", "sha256:4", "sha256:5"]
        );
        assert!(!before.exists());
        // What is here was seen now: once it is removed, it has its time from now on.
        let nobody = BTreeSet::new();
        definitions
            .touch(Kind::Container, "removed-too.1", ago(SETTLED))
            .unwrap();
        assert_eq!(tidy(&definitions, &nobody, &wanted, NOW).unwrap(), [""; 0]);
        let later = NOW.plus(KEPT);
        let gone = tidy(&definitions, &nobody, &wanted, later).unwrap();
        assert_eq!(gone, ["here", "lately", "removed-too.1"]);
        assert_eq!(names(Kind::Network), ["keep", "lost"]);
        // Nothing was ever kept.
        let empty = Definitions::in_folder(&dir.path().join("empty"));
        assert_eq!(tidy(&empty, &here, &wanted, NOW).unwrap(), [""; 0]);
    }
}
