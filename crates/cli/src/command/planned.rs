//! A plan and a report of a restore, as people read them.

use lifeboat_recovery::restore::{
    RestorePlan, Restored, Step, StepState, Work, history::Estimate, maps::Mapped, part::told::Told,
};

use crate::{
    command::mapped,
    human,
    table::{Align, Table},
};

pub(super) fn list(text: &mut String, title: &str, sentences: &[String]) {
    if !sentences.is_empty() {
        text.push_str(&format!("\n{title}:\n"));
        for sentence in sentences {
            text.push_str(&format!("  {sentence}\n"));
        }
    }
}

pub(super) fn render_plan(plan: &RestorePlan, width: Option<u16>) -> String {
    let mut text = format!(
        "{} from point {} of {}{}\n\n",
        human::escape(plan.app.as_bytes()),
        plan.id.short(),
        human::local_time(&plan.time),
        if plan.continues {
            ", continuing an interrupted restore"
        } else {
            ""
        }
    );
    text.push_str(&render_steps_ahead(&plan.steps, width));
    if let Some(estimate) = &plan.estimate {
        text.push_str(&render_estimate(estimate));
    }
    text.push_str(&mapped::render(&plan.mappings, width));
    list(
        &mut text,
        "Will differ, or is not in the point",
        &plan.warnings,
    );
    list(&mut text, "In the way", &plan.obstacles);
    text
}

/// Each step with its size, and how long it will take where that is known.
fn render_steps_ahead(steps: &[Step], width: Option<u16>) -> String {
    let columns = [
        ("STEP", Align::Right),
        ("KIND", Align::Left),
        ("NAME", Align::Left),
        ("SIZE", Align::Right),
        ("TIME", Align::Right),
        ("ACTION", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for (index, step) in steps.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            step.kind.to_string(),
            human::escape(step.name.as_bytes()),
            step.bytes.map(human::size).unwrap_or_default(),
            step.expected_seconds.map(about).unwrap_or_default(),
            step.action.clone(),
        ]);
    }
    table.render()
}

/// The steps of a form that has a report of its own, and how long they will take.
pub(super) fn render_told_ahead(told: &Told, width: Option<u16>) -> String {
    let mut text = render_steps_ahead(&told.steps, width);
    if let Some(estimate) = &told.estimate {
        text.push_str(&render_estimate(estimate));
    }
    text
}

/// How long it took, part by part, and how long it was to take.
pub(super) fn render_told(told: &Told) -> String {
    if told.segments.is_empty() {
        return String::new();
    }
    let parts = told.segments.iter();
    let parts: Vec<String> = parts
        .map(|s| format!("{} {}", s.name, human::seconds(s.seconds)))
        .collect();
    let all = told.segments.iter().map(|s| s.seconds).sum();
    let expected = told.expected_seconds.map(about);
    format!(
        "took {}{}: {}\n",
        human::seconds(all),
        expected.map_or_else(String::new, |told| format!(" (about {told} were expected)")),
        parts.join(", ")
    )
}

/// No more exact than it is known.
fn about(seconds: f64) -> String {
    format!("{} s", seconds.round().max(1.0))
}

/// How long it will take; what is not known is said so.
fn render_estimate(estimate: &Estimate) -> String {
    let told = |seconds: f64| format!("about {}", about(seconds));
    let parts: Vec<String> = estimate
        .parts
        .iter()
        .map(|part| match part.seconds {
            Some(0.0) => format!("{} nothing", part.name),
            Some(seconds) => format!("{} {}", part.name, told(seconds)),
            None => format!("{} not known yet", part.name),
        })
        .collect();
    let mut text = match estimate.seconds {
        Some(seconds) => format!(
            "\nTakes {}, from {} here: {}\n",
            told(seconds),
            human::plural(estimate.runs() as u64, "run"),
            parts.join(", ")
        ),
        None => format!("\nHow long it takes: {}\n", parts.join(", ")),
    };
    if let Some(seconds) = estimate.downtime_seconds {
        text.push_str(&format!("The app is down for {} of it\n", told(seconds)));
    }
    text
}

/// What was done, kind by kind: `2 images (1 there already), 1 volume, 3 started`.
fn render_steps(steps: &[Step]) -> String {
    let mut kinds: Vec<Work> = Vec::new();
    for step in steps {
        if !kinds.contains(&step.kind) {
            kinds.push(step.kind);
        }
    }
    let told = kinds.into_iter().filter_map(|kind| {
        let count = |state| {
            let same = steps.iter().filter(|s| s.kind == kind && s.state == state);
            same.count() as u64
        };
        let (done, before) = (count(StepState::Done), count(StepState::Before));
        let there = count(StepState::There);
        let notes: Vec<String> = [
            (before, "before the interruption"),
            (there, "there already"),
        ]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
        if done + before + there == 0 {
            return None;
        }
        let all = done + before + there;
        let mut text = match kind {
            Work::Stop => format!("{all} stopped"),
            Work::Exchange => format!("{all} changed places"),
            Work::Start => format!("{all} started"),
            Work::Probe => format!("{all} probed"),
            Work::Around => format!("{all} restarted"),
            Work::Remove => format!("{all} removed"),
            Work::Keep => "old data kept".to_owned(),
            Work::Project => human::plural(all, "project folder"),
            Work::SafetyPoint if done + before == 0 => return None,
            thing => human::plural(all, thing.word()),
        };
        if !notes.is_empty() {
            text.push_str(&format!(" ({})", notes.join(", ")));
        }
        Some(text)
    });
    told.collect::<Vec<_>>().join(", ")
}

pub(super) fn render_restored(done: &Restored) -> String {
    let mut text = format!(
        "{} is back from point {} of {}, which was {} old\n",
        human::escape(done.app.as_bytes()),
        done.id.short(),
        human::local_time(&done.time),
        human::seconds(done.age_seconds)
    );
    let mut line = |label: &str, names: &[String]| {
        if !names.is_empty() {
            text.push_str(&format!("  {label}: {}\n", names.join(", ")));
        }
    };
    line("running", &done.running);
    line("stopped, as they had been", &done.stopped);
    let steps = render_steps(&done.steps);
    if !steps.is_empty() {
        text.push_str(&format!("  done: {steps}\n"));
    }
    text.push_str(&format!(
        "  {} written and checked\n",
        human::size(done.bytes)
    ));
    let segments: Vec<String> = done
        .segments
        .iter()
        .map(|segment| format!("{} {}", segment.name, human::seconds(segment.seconds)))
        .collect();
    let expected = done.expected_seconds.map(about);
    text.push_str(&format!(
        "  RTO {}{}: {}\n",
        human::seconds(done.rto_seconds),
        expected.map_or_else(String::new, |told| format!(" (about {told} were expected)")),
        segments.join(", ")
    ));
    let probes: Vec<String> = done
        .probes
        .iter()
        .map(|probe| {
            let after = human::seconds(probe.seconds);
            match probe.passed {
                true => format!("{} up after {after}", probe.container),
                false => format!("{} NOT UP after {after}", probe.container),
            }
        })
        .collect();
    if !probes.is_empty() {
        text.push_str(&format!("  probes: {}\n", probes.join(", ")));
    }
    for Mapped { kind, of, old, new } in &done.mappings {
        let of = of.as_ref().map(|of| format!(" of {of}"));
        text.push_str(&format!(
            "  mapped: {kind}{} {} -> {}\n",
            of.unwrap_or_default(),
            human::escape(old.as_bytes()),
            human::escape(new.as_bytes())
        ));
    }
    if !done.incomplete.is_empty() {
        text.push_str(&format!(
            "  INCOMPLETE: {}\n",
            human::plural(done.incomplete.len() as u64, "difference")
        ));
    }
    text
}

/// What differs from the original or is not in the point; nothing where nothing does.
pub(super) fn differences(done: &Restored) -> String {
    let mut text = String::new();
    list(
        &mut text,
        "Differs from the original, or is not in the point",
        &done.warnings,
    );
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_recovery::restore::{Probe, Segment, Way, history::Part};
    use lifeboat_vault::SnapshotId;

    use super::*;

    #[test]
    fn a_plan_shows_steps_and_obstacles() {
        let mut fill = Step::new(Work::Volume, "shop_db", "create and fill").bytes(3 << 30);
        fill.expected_seconds = Some(7.4);
        let part = |name, seconds| Part {
            name,
            seconds: Some(seconds),
            bytes: 0,
            runs: 3,
        };
        let plan = RestorePlan {
            app: "default/web1/shop".to_owned(),
            way: Way::Replace,
            id: SnapshotId([0x6f; 32]),
            time: "then".to_owned(),
            steps: vec![fill, Step::new(Work::Start, "shop-db-1", "start")],
            obstacles: vec![
                "a volume shop_db is there already; remove it, or restore elsewhere".to_owned(),
            ],
            warnings: vec!["bind mount /srv/films is not in the point".to_owned()],
            mappings: vec![Mapped {
                kind: "port",
                of: Some("shop-web-1".to_owned()),
                old: "8080".to_owned(),
                new: "8081".to_owned(),
            }],
            continues: true,
            estimate: Some(Estimate {
                seconds: Some(9.4),
                downtime_seconds: Some(2.0),
                parts: vec![part("data", 7.4), part("start", 2.0)],
            }),
        };
        insta::assert_snapshot!(render_plan(&plan, None), @r"
        default/web1/shop from point 6f6f6f6f of then, continuing an interrupted restore

        STEP  KIND    NAME          SIZE  TIME  ACTION
           1  volume  shop_db    3.0 GiB   7 s  create and fill
           2  start   shop-db-1        -     -  start

        Takes about 9 s, from 3 runs here: data about 7 s, start about 2 s
        The app is down for about 2 s of it

        MAPPED  OF          AT THE POINT  HERE
        port    shop-web-1  8080          8081

        Will differ, or is not in the point:
          bind mount /srv/films is not in the point

        In the way:
          a volume shop_db is there already; remove it, or restore elsewhere
        ");
    }

    #[test]
    fn a_recovery_is_reported_by_segment() {
        let step = |kind, name: &str, state| Step {
            state,
            ..Step::new(kind, name, "")
        };
        let segment = |name: &str, seconds| Segment {
            name: name.to_owned(),
            seconds,
        };
        let done = Restored {
            app: "default/web1/shop".to_owned(),
            way: Way::New,
            id: SnapshotId([0x6f; 32]),
            time: "then".to_owned(),
            began: "now".to_owned(),
            expected_seconds: Some(2.0),
            age_seconds: 245.0,
            segments: vec![segment("plan", 0.01), segment("data", 2.5)],
            rto_seconds: 2.51,
            running: vec!["shop-db-1".to_owned(), "shop-web-1".to_owned()],
            stopped: vec!["shop-cron-1".to_owned()],
            bytes: 3 << 30,
            incomplete: vec!["x".to_owned()],
            warnings: vec!["the clock of the host is another one".to_owned()],
            mappings: vec![Mapped {
                kind: "volume",
                of: None,
                old: "shop_db".to_owned(),
                new: "db".to_owned(),
            }],
            steps: vec![
                step(Work::Image, "db", StepState::Done),
                step(Work::Image, "web", StepState::There),
                step(Work::Volume, "shop_db", StepState::Before),
                step(Work::Start, "shop-db-1", StepState::Done),
                step(Work::Exchange, "/srv", StepState::NotTaken),
            ],
            probes: vec![Probe {
                container: "shop-db-1".to_owned(),
                passed: true,
                seconds: 1.5,
            }],
        };
        insta::assert_snapshot!(render_restored(&done) + &differences(&done), @r"
        default/web1/shop is back from point 6f6f6f6f of then, which was 4 min 05 s old
          running: shop-db-1, shop-web-1
          stopped, as they had been: shop-cron-1
          done: 2 images (1 there already), 1 volume (1 before the interruption), 1 started
          3.0 GiB written and checked
          RTO 2.510 s (about 2 s were expected): plan 0.010 s, data 2.500 s
          probes: shop-db-1 up after 1.500 s
          mapped: volume shop_db -> db
          INCOMPLETE: 1 difference

        Differs from the original, or is not in the point:
          the clock of the host is another one
        ");
    }
}
