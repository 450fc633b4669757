//! `apps`: needs no vault.

use lifeboat_capture::Cancel;
use lifeboat_engine::Engine;
use lifeboat_plan::suggest;
use lifeboat_recovery::{
    survey::{self, AppReport, Survey},
    whereabouts::{Whereabouts, whereabouts},
};

use crate::{
    args::AppsArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    signals,
    table::{Align, Table},
};

/// Shows what runs here.
pub fn run(session: &Session, args: &AppsArgs) -> Result<Exit> {
    let engine = session.connect()?;
    if args.images {
        return images(session, args, engine.as_ref());
    }
    let mut survey = survey::survey(&engine, session.vault_free_space(), &session.skip_set())?;
    session.reporter.finish();
    choose(&mut survey, &args.apps)?;
    if session.out.is_json() {
        session.out.json(&survey)?;
    } else {
        let detailed = session.global.verbose > 0 || !args.apps.is_empty();
        session
            .out
            .text(&render(&survey, detailed, session.out.width()))?;
    }
    Ok(Exit::Done)
}

/// Shows where the images of apps are.
fn images(session: &Session, args: &AppsArgs, engine: &dyn Engine) -> Result<Exit> {
    // A vault that is not there yet holds nothing; one that is there and does not open is no such answer.
    let vault = match session.open_vault() {
        Ok(vault) => Some(vault),
        Err(failure) if failure.exit == Exit::NoVault => None,
        Err(failure) => return Err(failure),
    };
    let registries = super::registry::of_images();
    let cancel = Cancel::new();
    let on_signal = cancel.clone();
    signals::on_first(move || on_signal.cancel())?;
    let mut images = whereabouts(engine, &registries, vault.as_ref(), &cancel)?;
    if !args.apps.is_empty() {
        images.retain(|image| image.apps.iter().any(|app| args.apps.contains(app)));
    }
    if session.out.is_json() {
        session.out.json(&serde_json::json!({ "images": images }))?;
    } else {
        session
            .out
            .text(&where_they_are(&images, session.out.width()))?;
    }
    Ok(Exit::Done)
}

fn where_they_are(images: &[Whereabouts], width: Option<u16>) -> String {
    let columns = [
        ("IMAGE", Align::Left),
        ("APPS", Align::Left),
        ("SIZE", Align::Right),
        ("POINT", Align::Left),
        ("REGISTRY", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for image in images {
        let registry = match (&image.registry, &image.unanswered) {
            (Some(_), _) => "has it",
            (None, Some(_)) => "does not answer",
            (None, None) => "none has it",
        };
        table.row([
            human::escape(image.image.as_bytes()),
            human::escape(image.apps.join(", ").as_bytes()),
            human::size(image.bytes),
            image.point.clone().unwrap_or_default(),
            registry.to_owned(),
        ]);
    }
    let mut text = table.render();
    let alone: Vec<&Whereabouts> = images.iter().filter(|image| image.only_here).collect();
    if !alone.is_empty() {
        text.push_str("\nOne disk away from being lost, since this engine alone has them:\n");
    }
    for image in alone {
        let why = image.unanswered.iter().map(|why| format!(" ({why})"));
        let line = format!("  {}{}", image.image, why.collect::<String>());
        text.push_str(&human::escape(line.as_bytes()));
        text.push('\n');
    }
    text
}

/// Keeps the apps that were named.
fn choose(survey: &mut Survey, names: &[String]) -> Result<()> {
    for name in names {
        if !survey.apps.iter().any(|app| app.name == *name) {
            let near = suggest::suggest(name, survey.apps.iter().map(|app| app.name.as_str()));
            return Err(Failure::new(format!(
                "there is no app `{name}` on this engine{}; `lifeboat apps` lists what there is",
                suggest::sentence(&near)
            )));
        }
    }
    if !names.is_empty() {
        survey.apps.retain(|app| names.contains(&app.name));
    }
    Ok(())
}

fn render(survey: &Survey, detailed: bool, width: Option<u16>) -> String {
    if survey.apps.is_empty() {
        return format!(
            "no containers and no volumes on {} ({})\n",
            survey.hostname, survey.engine
        );
    }
    let columns = [
        ("APP", Align::Left),
        ("KIND", Align::Left),
        ("CONTAINERS", Align::Left),
        ("SIZE", Align::Right),
        ("CONSISTENCY", Align::Left),
        ("NOT COVERED", Align::Right),
    ];
    let mut table = Table::new(&columns, width);
    for app in &survey.apps {
        table.row([
            human::escape(app.name.as_bytes()),
            app.kind.clone(),
            containers(app),
            human::size(app.bytes),
            app.level.clone(),
            if app.uncovered.is_empty() {
                String::new()
            } else {
                app.uncovered.len().to_string()
            },
        ]);
    }
    let mut text = table.render();
    if detailed {
        for app in &survey.apps {
            details(&mut text, app, width);
        }
    } else {
        sentences(
            &mut text,
            "Not covered",
            survey.apps.iter().map(|app| (app, &app.uncovered)),
        );
        sentences(
            &mut text,
            "Notes",
            survey.apps.iter().map(|app| (app, &app.notes)),
        );
    }
    for note in &survey.notes {
        text.push_str(&format!("\nOf the engine: {note}\n"));
    }
    text
}

fn sentences<'a>(
    text: &mut String,
    title: &str,
    of: impl Iterator<Item = (&'a AppReport, &'a Vec<String>)>,
) {
    let mut first = true;
    for (app, lines) in of {
        for line in lines {
            if std::mem::take(&mut first) {
                text.push_str(&format!("\n{title}:\n"));
            }
            text.push_str(&format!(
                "  {}: {line}\n",
                human::escape(app.name.as_bytes())
            ));
        }
    }
}

fn details(text: &mut String, app: &AppReport, width: Option<u16>) {
    text.push_str(&format!(
        "\n{} ({})\n",
        human::escape(app.name.as_bytes()),
        app.kind
    ));
    let mut line = |label: &str, value: &str| text.push_str(&format!("  {label}: {value}\n"));
    for (name, state) in &app.containers {
        line("container", &format!("{name}, {state}"));
    }
    for database in &app.databases {
        line("database", database);
    }
    match &app.level_reason {
        Some(reason) => line("consistency", &format!("{}, because {reason}", app.level)),
        None => line("consistency", &app.level),
    }
    for sentence in &app.uncovered {
        line("not covered", sentence);
    }
    for sentence in &app.notes {
        line("note", sentence);
    }
    for sentence in &app.limits {
        line("limit", sentence);
    }
    if app.places.is_empty() {
        return;
    }
    let columns = [
        ("PLACE", Align::Left),
        ("NAME", Align::Left),
        ("SIZE", Align::Right),
        ("FILES", Align::Right),
        ("DECISION", Align::Left),
        ("PATH", Align::Left),
    ];
    let mut table = Table::new(&columns, width.map(|width| width.saturating_sub(2)));
    for place in &app.places {
        table.row([
            place.kind.clone(),
            human::escape(place.name.as_bytes()),
            place.bytes.map_or_else(|| "?".to_owned(), human::size),
            place.files.map_or_else(|| "?".to_owned(), human::count),
            match &place.reason {
                Some(reason) => format!("{}: {reason}", place.decision),
                None => place.decision.clone(),
            },
            place
                .path
                .as_deref()
                .map(|path| human::escape(path.as_bytes()))
                .unwrap_or_default(),
        ]);
    }
    for row in table.render().lines() {
        text.push_str(&format!("  {row}\n"));
    }
}

/// `3 running`, `2 of 3 running`.
fn containers(app: &AppReport) -> String {
    let all = app.containers.len();
    let running = app
        .containers
        .iter()
        .filter(|(_, state)| state == "running")
        .count();
    match (running, all) {
        (_, 0) => String::new(),
        (running, all) if running == all => format!("{all} running"),
        (running, all) => format!("{running} of {all} running"),
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_recovery::survey::Place;

    use super::*;

    fn survey() -> Survey {
        let app = |name: &str, kind: &str| AppReport {
            name: name.to_owned(),
            kind: kind.to_owned(),
            containers: Vec::new(),
            places: Vec::new(),
            databases: Vec::new(),
            level: "crash".to_owned(),
            level_reason: None,
            uncovered: Vec::new(),
            notes: Vec::new(),
            limits: Vec::new(),
            bytes: 0,
        };
        let place =
            |kind: &str, name: &str, bytes: Option<u64>, decision: &str, reason: Option<&str>| {
                Place {
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    path: Some(format!("/host/{name}")),
                    bytes,
                    files: bytes.map(|_| 1203),
                    decision: decision.to_owned(),
                    reason: reason.map(str::to_owned),
                }
            };
        let shop = AppReport {
            containers: vec![
                ("shop-db-1".to_owned(), "running".to_owned()),
                ("shop-cron-1".to_owned(), "exited".to_owned()),
            ],
            places: vec![
                place("volume", "shop_db", Some(3 << 30), "captured", None),
                place(
                    "bind",
                    "films",
                    None,
                    "left out",
                    Some("larger than 10 GiB"),
                ),
            ],
            databases: vec!["postgres in shop-db-1".to_owned()],
            level: "live".to_owned(),
            level_reason: Some("the vault runs through shop-db-1".to_owned()),
            uncovered: vec!["bind mount /host/films (41.0 GiB) is left out".to_owned()],
            notes: vec!["autoheal restarts paused containers".to_owned()],
            limits: vec!["writable layers are captured up to a bound".to_owned()],
            bytes: 3 << 30,
            ..app("shop", "compose")
        };
        Survey {
            engine: "docker 20.10.24".to_owned(),
            hostname: "web1".to_owned(),
            apps: vec![
                shop,
                AppReport {
                    bytes: 512,
                    ..app("volume:old", "volume")
                },
            ],
            notes: vec!["its data root is on one disk with the vault".to_owned()],
        }
    }

    #[test]
    fn a_table_and_what_is_missed() {
        insta::assert_snapshot!(render(&survey(), false, None), @r"
        APP         KIND     CONTAINERS         SIZE  CONSISTENCY  NOT COVERED
        shop        compose  1 of 2 running  3.0 GiB  live                   1
        volume:old  volume   -                 512 B  crash                  -

        Not covered:
          shop: bind mount /host/films (41.0 GiB) is left out

        Notes:
          shop: autoheal restarts paused containers

        Of the engine: its data root is on one disk with the vault
        ");
    }

    #[test]
    fn one_app_place_by_place() {
        let mut survey = survey();
        choose(&mut survey, &["shop".to_owned()]).unwrap();
        insta::assert_snapshot!(render(&survey, true, None), @r"
        APP   KIND     CONTAINERS         SIZE  CONSISTENCY  NOT COVERED
        shop  compose  1 of 2 running  3.0 GiB  live                   1

        shop (compose)
          container: shop-db-1, running
          container: shop-cron-1, exited
          database: postgres in shop-db-1
          consistency: live, because the vault runs through shop-db-1
          not covered: bind mount /host/films (41.0 GiB) is left out
          note: autoheal restarts paused containers
          limit: writable layers are captured up to a bound
          PLACE   NAME        SIZE  FILES  DECISION                      PATH
          volume  shop_db  3.0 GiB  1,203  captured                      /host/shop_db
          bind    films          ?      ?  left out: larger than 10 GiB  /host/films

        Of the engine: its data root is on one disk with the vault
        ");
    }

    #[test]
    fn an_unknown_app_is_refused_with_what_was_meant() {
        let error = choose(&mut survey(), &["shpo".to_owned()]).unwrap_err();
        assert_eq!(error.exit.code(), 1);
        assert!(error.to_string().contains("did you mean `shop`"), "{error}");
    }
}
