//! `restore`: the whole app, or files into a directory.

use std::path::Path;

use lifeboat_recovery::{
    files, points,
    restore::{self, RestorePlan, Restored, history::Estimate, maps::Mapped},
};

use crate::{
    args::RestoreArgs,
    command::{asides, beside, interrupted, mapped, over, part, pieces},
    exit::{Exit, Failure, Result},
    human,
    session::{Session, absolute},
    table::{Align, Table},
};

/// Brings something back.
pub fn run(session: &Session, args: &RestoreArgs) -> Result<Exit> {
    if args.undo {
        return interrupted::undo(session, args.reference.as_deref());
    }
    if let Some(which) = args.part.definition {
        return part::definition(session, args, which);
    }
    if !args.dry_run {
        asides::expire(session);
    }
    if args.go_on {
        return interrupted::go_on(session, args.reference.as_deref());
    }
    if args.part.images {
        return part::images(session, args);
    }
    if let Some(wanted) = &args.part.into {
        return part::into(session, args, wanted);
    }
    if !args.part.pieces().is_empty() {
        return pieces::run(session, args);
    }
    if let Some(target) = &args.target {
        return to_directory(session, args, &absolute(target)?);
    }
    let maps = mapped::read(&args.maps)?;
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    if let Some(name) = &args.copy {
        return beside::run(session, args, maps, &ctx, id, &snapshot, name);
    }
    if args.replace {
        let options = restore::over::Options {
            safety_point: !args.no_safety_point,
        };
        return over::run(session, &ctx, id, &snapshot, &options, args.dry_run);
    }
    if args.dry_run {
        let plan = restore::plan(&ctx, id, &snapshot, &maps);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    if !maps.is_empty() && !session.global.quiet {
        let plan = restore::plan(&ctx, id, &snapshot, &maps)?;
        let text = mapped::render(&plan.mappings, session.out.width());
        session.reporter.above(text.trim_start());
    }
    let done = restore::restore(&ctx, id, &snapshot, &maps);
    session.reporter.finish();
    show_restored(session, &done?)
}

pub(super) fn show_plan(session: &Session, plan: &RestorePlan) -> Result<Exit> {
    if session.out.is_json() {
        session.out.json(plan)?;
    } else {
        session.out.text(&render_plan(plan, session.out.width()))?;
    }
    if plan.obstacles.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!(
        "this restore would be refused: {}",
        human::plural(plan.obstacles.len() as u64, "obstacle")
    )))
}

pub(super) fn show_restored(session: &Session, done: &Restored) -> Result<Exit> {
    for sentence in done.warnings.iter().chain(&done.incomplete) {
        session.reporter.warn_once(sentence);
    }
    if session.out.is_json() {
        session.out.json(done)?;
    } else {
        session.out.text(&render_restored(done))?;
    }
    Ok(if done.incomplete.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn to_directory(session: &Session, args: &RestoreArgs, target: &Path) -> Result<Exit> {
    let ctx = session.context(None)?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    session.reporter.subject("restore");
    let done = files::restore_files(&ctx, &snapshot, target, &args.includes, args.resume);
    session.reporter.finish();
    let done = done?;
    for warning in done.warnings.iter().chain(&done.problems) {
        session.reporter.warn_once(warning);
    }
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.line(&format!(
            "{} restored from {} to {}, {} written and checked, {}",
            human::plural(done.files, "file"),
            id.short(),
            human::escape(target.as_os_str().as_encoded_bytes()),
            human::size(done.bytes),
            human::seconds(done.seconds)
        ))?;
    }
    if done.files == 0 && !args.includes.is_empty() {
        return Err(Failure::new(format!(
            "nothing in point {} matches --include; `lifeboat ls {} -r` lists its files",
            id.short(),
            id.short()
        )));
    }
    Ok(if done.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

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
    let columns = [
        ("STEP", Align::Right),
        ("KIND", Align::Left),
        ("NAME", Align::Left),
        ("SIZE", Align::Right),
        ("ACTION", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for (index, step) in plan.steps.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            step.kind.clone(),
            human::escape(step.name.as_bytes()),
            step.bytes.map(human::size).unwrap_or_default(),
            step.action.clone(),
        ]);
    }
    text.push_str(&table.render());
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

/// How long it will take; what is not known is said so.
fn render_estimate(estimate: &Estimate) -> String {
    let told = |seconds: f64| format!("about {} s", seconds.round().max(1.0));
    let parts: Vec<String> = estimate
        .parts
        .iter()
        .map(|part| match part.seconds {
            Some(0.0) => format!("{} nothing", part.name),
            Some(seconds) => format!("{} {}", part.name, told(seconds)),
            None => format!("{} not known yet", part.name),
        })
        .collect();
    match estimate.seconds {
        Some(seconds) => format!(
            "\nTakes {}, from {} here: {}\n",
            told(seconds),
            human::plural(estimate.runs() as u64, "run"),
            parts.join(", ")
        ),
        None => format!("\nHow long it takes: {}\n", parts.join(", ")),
    }
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
    text.push_str(&format!(
        "  {} written and checked\n",
        human::size(done.bytes)
    ));
    let segments: Vec<String> = done
        .segments
        .iter()
        .map(|segment| format!("{} {}", segment.name, human::seconds(segment.seconds)))
        .collect();
    text.push_str(&format!(
        "  RTO {}: {}\n",
        human::seconds(done.rto_seconds),
        segments.join(", ")
    ));
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

#[cfg(test)]
mod tests {
    use lifeboat_recovery::restore::{Segment, Step};
    use lifeboat_vault::SnapshotId;

    use super::*;

    #[test]
    fn a_plan_shows_steps_and_obstacles() {
        let step = |kind: &str, name: &str, bytes, action: &str| Step {
            kind: kind.to_owned(),
            name: name.to_owned(),
            bytes,
            action: action.to_owned(),
        };
        let plan = RestorePlan {
            app: "default/web1/shop".to_owned(),
            id: SnapshotId([0x6f; 32]),
            time: "then".to_owned(),
            steps: vec![
                step("volume", "shop_db", Some(3 << 30), "create and fill"),
                step(
                    "start",
                    "shop-db-1",
                    None,
                    "start and wait until it is healthy",
                ),
            ],
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
            estimate: None,
        };
        insta::assert_snapshot!(render_plan(&plan, None), @r"
        default/web1/shop from point 6f6f6f6f of then, continuing an interrupted restore

        STEP  KIND    NAME          SIZE  ACTION
           1  volume  shop_db    3.0 GiB  create and fill
           2  start   shop-db-1        -  start and wait until it is healthy

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
        let segment = |name: &str, seconds| Segment {
            name: name.to_owned(),
            seconds,
        };
        let done = Restored {
            app: "default/web1/shop".to_owned(),
            id: SnapshotId([0x6f; 32]),
            time: "then".to_owned(),
            age_seconds: 245.0,
            segments: vec![segment("plan", 0.01), segment("data", 2.5)],
            rto_seconds: 2.51,
            running: vec!["shop-db-1".to_owned(), "shop-web-1".to_owned()],
            stopped: vec!["shop-cron-1".to_owned()],
            bytes: 3 << 30,
            incomplete: vec!["x".to_owned()],
            warnings: Vec::new(),
            mappings: vec![Mapped {
                kind: "volume",
                of: None,
                old: "shop_db".to_owned(),
                new: "db".to_owned(),
            }],
            steps: Vec::new(),
            probes: Vec::new(),
        };
        insta::assert_snapshot!(render_restored(&done), @r"
        default/web1/shop is back from point 6f6f6f6f of then, which was 4 min 05 s old
          running: shop-db-1, shop-web-1
          stopped, as they had been: shop-cron-1
          3.0 GiB written and checked
          RTO 2.510 s: plan 0.010 s, data 2.500 s
          mapped: volume shop_db -> db
          INCOMPLETE: 1 difference
        ");
    }
}
