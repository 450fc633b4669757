//! `restore` of a part of a point: its compose file, its images, files into a container.

use lifeboat_recovery::{
    points,
    restore::part::{
        definition::{self, Definition, DefinitionFile, Delivered, To},
        images::{self, Images},
        into::{self, Action, Into, Wanted},
    },
};

use crate::{
    args::{RestoreArgs, Which},
    command::planned::{list, render_told, render_told_ahead},
    exit::{Exit, Failure, Result},
    human,
    session::{Session, absolute},
    table::{Align, Table},
};

/// The compose file of a point, printed or written.
pub fn definition(session: &Session, args: &RestoreArgs, which: Which) -> Result<Exit> {
    let ctx = session.context(None)?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    let which = match which {
        Which::Any => definition::Which::Any,
        Which::Own => definition::Which::AsItWas,
        Which::Made => definition::Which::Made,
    };
    let target = args.target.as_deref().map(absolute).transpose()?;
    let to = target.as_deref().map_or(To::Out, To::Place);
    if args.dry_run {
        let plan = definition::plan(&ctx, id, &snapshot, which, &to);
        session.reporter.finish();
        return planned(session, &plan?);
    }
    let done = definition::deliver(&ctx, id, &snapshot, which, &to);
    session.reporter.finish();
    let (found, done) = done?;
    for note in &found.notes {
        session.reporter.warn_once(note);
    }
    match to {
        To::Place(_) => written(session, &done)?,
        To::Out => printed(session, &found, &done)?,
    }
    Ok(Exit::Done)
}

fn planned(session: &Session, plan: &Delivered) -> Result<Exit> {
    if session.out.is_json() {
        session.out.json(plan)?;
    } else {
        let mut text = format!(
            "the definition of {} from point {} of {}\n\n",
            human::escape(plan.app.as_bytes()),
            plan.id.short(),
            human::local_time(&plan.time)
        );
        text.push_str(&render_told_ahead(&plan.told, session.out.width()));
        list(
            &mut text,
            "Will differ, or is not in the point",
            &plan.notes,
        );
        list(&mut text, "In the way", &plan.obstacles);
        session.out.text(&text)?;
    }
    unless_refused(&plan.obstacles)
}

/// Exit code 1 where the restore would be refused.
fn unless_refused(obstacles: &[String]) -> Result<Exit> {
    if obstacles.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!(
        "this restore would be refused: {}",
        human::plural(obstacles.len() as u64, "obstacle")
    )))
}

fn printed(session: &Session, found: &Definition, done: &Delivered) -> Result<()> {
    if session.out.is_json() {
        #[derive(serde::Serialize)]
        struct Printed<'a> {
            #[serde(flatten)]
            done: &'a Delivered,
            files: &'a [DefinitionFile],
            environment: &'a [DefinitionFile],
        }
        return session.out.json(&Printed {
            done,
            files: &found.files,
            environment: &found.environment,
        });
    }
    session.out.bytes(&found.text())?;
    if !found.environment.is_empty() {
        let names = found.environment.iter().map(|f| f.path.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        let note = format!("it reads {names} too; a folder as --target gets all of them");
        session.reporter.note(&note, session.global.quiet);
    }
    Ok(())
}

fn written(session: &Session, done: &Delivered) -> Result<()> {
    if session.out.is_json() {
        return session.out.json(done);
    }
    for path in &done.written {
        let path = human::escape(path.as_os_str().as_encoded_bytes());
        session.out.line(&format!(
            "{path} written, for root alone: it may hold secrets"
        ))?;
    }
    session.out.text(&render_told(&done.told))?;
    Ok(())
}

/// The images of a point.
pub fn images(session: &Session, args: &RestoreArgs) -> Result<Exit> {
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    let done = images::images(&ctx, id, &snapshot, !args.dry_run);
    session.reporter.finish();
    let done = done?;
    for sentence in done.warnings.iter().chain(&done.incomplete) {
        session.reporter.warn_once(sentence);
    }
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session
            .out
            .text(&render_images(&done, args.dry_run, session.out.width()))?;
    }
    Ok(if done.incomplete.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render_images(done: &Images, dry_run: bool, width: Option<u16>) -> String {
    if dry_run {
        return render_told_ahead(&done.told, width);
    }
    let columns = [
        ("IMAGE", Align::Left),
        ("SIZE", Align::Right),
        ("ACTION", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for image in &done.images {
        let action = match image.is_there {
            true => "was there already",
            false => "loaded",
        };
        table.row([
            human::escape(image.name.as_bytes()),
            human::size(image.size),
            action.to_owned(),
        ]);
    }
    table.render() + "\n" + &render_told(&done.told)
}

/// Files of a point into a container.
pub fn into(session: &Session, args: &RestoreArgs, wanted: &Wanted) -> Result<Exit> {
    let wanted = Wanted {
        from: args.part.from.clone(),
        includes: args.includes.clone(),
        keep: !args.part.no_backup,
        ..wanted.clone()
    };
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    session.reporter.subject("restore");
    let done = if args.dry_run {
        into::plan(&ctx, id, &snapshot, &wanted)
    } else {
        into::restore(&ctx, id, &snapshot, &wanted)
    };
    session.reporter.finish();
    let done = done?;
    for sentence in done.warnings.iter().chain(&done.problems) {
        session.reporter.warn_once(sentence);
    }
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session
            .out
            .text(&render_into(&done, args.dry_run, session.out.width()))?;
    }
    unless_refused(&done.obstacles)?;
    Ok(if done.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render_into(done: &Into, dry_run: bool, width: Option<u16>) -> String {
    let mut text = format!(
        "{} of point {} of {} into {} ({})\n\n",
        human::escape(done.from.as_bytes()),
        done.id.short(),
        human::local_time(&done.time),
        human::escape(done.container.as_bytes()),
        human::escape(done.target.as_bytes())
    );
    if dry_run {
        text.push_str(&render_told_ahead(&done.told, width));
        list(&mut text, "In the way", &done.obstacles);
        return text;
    }
    let columns = [
        ("PATH", Align::Left),
        ("SIZE", Align::Right),
        ("ACTION", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for line in &done.lines {
        let action = match line.action {
            Action::Create => "created",
            Action::Overwrite => "overwritten",
            Action::Right => "right already",
        };
        table.row([
            human::escape(line.path.as_bytes()),
            human::size(line.bytes),
            action.to_owned(),
        ]);
    }
    text.push_str(&table.render());
    text.push_str(&format!(
        "\n{} written and checked\n{}",
        human::size(done.bytes),
        render_told(&done.told)
    ));
    let overwritten = done.lines.iter().any(|l| l.action == Action::Overwrite);
    if overwritten {
        text.push_str("a program that has an overwritten file open goes on with the old one until it opens it again\n");
    }
    if let Some(kept) = &done.kept_in {
        text.push_str(&format!(
            "what was overwritten is kept in {}; delete it when nobody misses it\n",
            human::escape(kept.as_os_str().as_encoded_bytes())
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_recovery::restore::{
        Segment, Way,
        part::{into::Line, told::Told},
    };
    use lifeboat_vault::SnapshotId;

    use super::*;

    #[test]
    fn path_by_path_it_is_said_what_becomes_of_it() {
        let line = |path: &str, action, bytes| Line {
            path: path.to_owned(),
            action,
            bytes,
        };
        let done = Into {
            app: "default/web1/shop".to_owned(),
            id: SnapshotId([0x6f; 32]),
            time: "then".to_owned(),
            container: "shop-web-1".to_owned(),
            from: "volumes/shop_www/conf".to_owned(),
            target: "volume shop_www".to_owned(),
            lines: vec![
                line("/www/conf/a", Action::Overwrite, 2048),
                line("/www/conf/b", Action::Create, 0),
                line("/www/conf/c\u{1b}", Action::Right, 7),
            ],
            told: Told {
                way: Way::Into,
                steps: Vec::new(),
                estimate: None,
                expected_seconds: Some(1.4),
                segments: vec![Segment {
                    name: "files".to_owned(),
                    seconds: 1.5,
                }],
            },
            obstacles: Vec::new(),
            kept_in: Some("/var/lib/docker/lifeboat-aside/x/shop_www/old".into()),
            bytes: 2048,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        insta::assert_snapshot!(render_into(&done, false, None), @r"
        volumes/shop_www/conf of point 6f6f6f6f of then into shop-web-1 (volume shop_www)

        PATH                SIZE  ACTION
        /www/conf/a      2.0 KiB  overwritten
        /www/conf/b          0 B  created
        /www/conf/c\x1b      7 B  right already

        2.0 KiB written and checked
        took 1.500 s (about 1 s were expected): files 1.500 s
        a program that has an overwritten file open goes on with the old one until it opens it again
        what was overwritten is kept in /var/lib/docker/lifeboat-aside/x/shop_www/old; delete it when nobody misses it
        ");
    }
}
