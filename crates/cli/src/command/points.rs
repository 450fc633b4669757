//! `points`: needs the vault alone.

use std::collections::BTreeSet;

use lifeboat_plan::suggest;
use lifeboat_recovery::points::{self, Point, Points};

use crate::{
    args::PointsArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// Lists the recovery points.
pub fn run(session: &Session, args: &PointsArgs) -> Result<Exit> {
    let vault = session.open_vault()?;
    let mut list = points::list(&vault)?;
    if let Some(app) = &args.app {
        choose(&mut list, app)?;
    }
    for sentence in &list.unreadable {
        session.reporter.warn_once(sentence);
    }
    if session.out.is_json() {
        session.out.json(&list)?;
    } else if list.points.is_empty() {
        session.reporter.note(
            &format!(
                "the vault at {} holds no recovery point yet; `lifeboat backup` makes one",
                vault.location()
            ),
            session.global.quiet,
        );
    } else {
        session.out.text(&render(&list, session.out.width()))?;
    }
    Ok(if list.unreadable.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// Keeps the points of `[[SITE/]HOST/]APP`.
fn choose(list: &mut Points, reference: &str) -> Result<()> {
    let known: BTreeSet<String> = list
        .points
        .iter()
        .filter_map(|point| point.app.clone())
        .collect();
    list.points.retain(|point| is_of(point, reference));
    if list.points.is_empty() {
        let near = suggest::suggest(reference, known.iter().map(String::as_str));
        return Err(Failure::new(format!(
            "no recovery point of `{reference}` in the vault{}; `lifeboat points` lists what there is",
            suggest::sentence(&near)
        )));
    }
    Ok(())
}

fn is_of(point: &Point, reference: &str) -> bool {
    let Some(app) = &point.app else { return false };
    let site = point.site.as_deref().unwrap_or_default();
    reference == app
        || reference == format!("{}/{app}", point.host)
        || reference == format!("{site}/{}/{app}", point.host)
}

fn render(list: &Points, width: Option<u16>) -> String {
    let sites = list
        .points
        .iter()
        .any(|point| point.site.as_deref().is_some_and(|site| site != "default"));
    let columns = [
        ("ID", Align::Left),
        ("TIME", Align::Left),
        ("HOST", Align::Left),
        ("APP", Align::Left),
        ("SIZE", Align::Right),
        ("ADDED", Align::Right),
        ("NOTES", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for point in &list.points {
        let figure = |bytes: Option<u64>| bytes.map(human::size).unwrap_or_default();
        table.row([
            point.id.short(),
            human::local_time(&point.time),
            match &point.site {
                Some(site) if sites => human::escape(format!("{site}/{}", point.host).as_bytes()),
                _ => human::escape(point.host.as_bytes()),
            },
            match (&point.app, &point.registry) {
                (Some(app), _) => human::escape(app.as_bytes()),
                (None, Some(registry)) => human::escape(format!("registry {registry}").as_bytes()),
                (None, None) => human::escape(point.paths.join(", ").as_bytes()),
            },
            figure(point.bytes),
            figure(point.added),
            notes(point),
        ]);
    }
    let mut text = table.render();
    text.push_str(&format!(
        "{}\n",
        human::plural(list.points.len() as u64, "point")
    ));
    text
}

fn notes(point: &Point) -> String {
    let partial = point.partial.then_some("incomplete").into_iter();
    // The tags of ours say what the columns say already.
    let tags = point.tags.iter().map(String::as_str).filter(|tag| {
        !["lifeboat", "app=", "registry="]
            .iter()
            .any(|ours| tag.starts_with(ours))
            && *tag != "partial"
    });
    let locked = point
        .locked_until
        .map(|until| format!("locked until {}", human::local_seconds(until)));
    let notes: Vec<String> = partial
        .chain(tags)
        .map(|note| human::escape(note.as_bytes()))
        .chain(locked)
        .collect();
    notes.join(", ")
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::SnapshotId;

    use super::*;

    fn point(number: u8, site: &str, host: &str, app: Option<&str>) -> Point {
        Point {
            id: SnapshotId([number; 32]),
            time: "not a time".to_owned(),
            site: app.map(|_| site.to_owned()),
            host: host.to_owned(),
            app: app.map(str::to_owned),
            registry: None,
            paths: vec!["/etc".to_owned(), "/srv\n".to_owned()],
            tags: Vec::new(),
            partial: false,
            files: Some(12),
            bytes: Some(4096),
            added: Some(12),
            definition: None,
            locked_until: None,
        }
    }

    fn list() -> Points {
        let mut nightly = point(2, "berlin", "web1", Some("shop"));
        nightly.partial = true;
        nightly.tags = vec!["nightly".to_owned()];
        let plain = Point {
            bytes: None,
            added: None,
            ..point(3, "", "nas", None)
        };
        Points {
            points: vec![point(1, "default", "web2", Some("shop")), nightly, plain],
            unreadable: Vec::new(),
        }
    }

    #[test]
    fn a_table_of_every_app_and_host() {
        insta::assert_snapshot!(render(&list(), None), @r"
        ID        TIME        HOST          APP              SIZE  ADDED  NOTES
        01010101  not a time  default/web2  shop          4.0 KiB   12 B  -
        02020202  not a time  berlin/web1   shop          4.0 KiB   12 B  incomplete, nightly
        03030303  not a time  nas           /etc, /srv\n        -      -  -
        3 points
        ");
    }

    #[test]
    fn an_app_is_named_as_in_a_reference() {
        for (reference, found) in [("shop", 2), ("web1/shop", 1), ("berlin/web1/shop", 1)] {
            let mut list = list();
            choose(&mut list, reference).unwrap();
            assert_eq!(list.points.len(), found, "{reference}");
        }
        for reference in ["web3/shop", "default/web1/shop", "/etc"] {
            assert!(choose(&mut list(), reference).is_err(), "{reference}");
        }
        let error = choose(&mut list(), "shopp").unwrap_err().to_string();
        assert!(error.contains("did you mean `shop`"), "{error}");
    }
}
