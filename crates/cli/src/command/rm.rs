//! `rm`: a copy that `restore --as` made, or the data that `restore --replace` set aside, goes away, and
//! nothing else.

use std::io::{BufRead, IsTerminal, Write};

use lifeboat_recovery::{
    asides::{self, Aside},
    copies::{self, Record, Removal},
};
use serde::Serialize;

use crate::{
    args::RmArgs,
    command::{asides as set_aside, through},
    exit::{Exit, Failure, Result},
    human,
    session::Session,
};

/// Lists, asks, removes. Needs no vault.
pub fn run(session: &Session, args: &RmArgs) -> Result<Exit> {
    if args.list {
        return list(session);
    }
    let Some(name) = &args.name else {
        return set_aside::remove_expired(session, args.dry_run);
    };
    let aside = asides::of_app(&session.places, name)?;
    if !aside.is_empty() && !copies::names(&session.places).contains(name) {
        return data(session, args, name, &aside);
    }
    let engine = session.connect()?;
    let found = copies::look(engine.as_ref(), &session.places, name)?;
    if args.dry_run {
        return show(session, &found, "would be removed");
    }
    if !args.yes {
        confirm(&found.name, &render(&found, "will be removed"))?;
        if let Some(done) = through::removal(session, name) {
            return done;
        }
    }
    let done = copies::remove(engine.as_ref(), &session.places, name)?;
    session.reporter.finish();
    show(session, &done, "removed")
}

/// What `--list -o json` says.
#[derive(Serialize)]
struct Listed {
    copies: Vec<Copy>,
    set_aside: Vec<Aside>,
}

/// A copy; without its record where its restore was interrupted.
#[derive(Serialize)]
struct Copy {
    name: String,
    record: Option<Record>,
}

/// Shows what there is to remove.
fn list(session: &Session) -> Result<Exit> {
    let mut copies = Vec::new();
    for name in copies::names(&session.places) {
        let record = copies::recorded(&session.places, &name)?;
        copies.push(Copy { name, record });
    }
    let set_aside = asides::list(&session.places)?;
    if session.out.is_json() {
        session.out.json(&Listed { copies, set_aside })?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for copy in &copies {
        let name = human::escape(copy.name.as_bytes());
        text.push_str(&match &copy.record {
            Some(record) => format!(
                "{name}  a copy of {} from point {}, made on {}\n",
                human::escape(record.of.as_bytes()),
                record.point.short(),
                record.made.strftime("%F")
            ),
            None => format!("{name}  a copy whose restore was interrupted\n"),
        });
    }
    for aside in &set_aside {
        text.push_str(&format!(
            "{}  data set aside on {}, kept until {}\n",
            human::escape(aside.app.as_bytes()),
            aside.made.strftime("%F"),
            aside.until.strftime("%F")
        ));
    }
    if text.is_empty() {
        text.push_str("no copy is here, and nothing is set aside\n");
    }
    session.out.text(&text)?;
    Ok(Exit::Done)
}

/// What was set aside of an app.
fn data(session: &Session, args: &RmArgs, name: &str, aside: &[Aside]) -> Result<Exit> {
    let found = set_aside::look(aside);
    if args.dry_run {
        return set_aside::show(session, &found, "would be removed");
    }
    if !args.yes {
        confirm(name, &set_aside::render(&found, "will be removed"))?;
        if let Some(done) = through::removal(session, name) {
            return done;
        }
    }
    set_aside::remove(session, aside)
}

/// The name has to be typed: a `y` is typed too easily.
fn confirm(name: &str, listed: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "nobody is there to be asked whether {name} is to be removed; give --yes"
        )));
    }
    let mut out = std::io::stderr().lock();
    let failed = |e: std::io::Error| Failure::new(format!("asking failed: {e}"));
    write!(out, "{listed}Type {name} to remove all this: ")
        .and_then(|()| out.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(failed)?;
    if answer.trim() == name {
        return Ok(());
    }
    Err(Failure::new(
        "that was not the name; nothing was removed".to_owned(),
    ))
}

fn show(session: &Session, removal: &Removal, what: &str) -> Result<Exit> {
    if session.out.is_json() {
        session.out.json(removal)?;
    } else {
        session.out.text(&render(removal, what))?;
    }
    Ok(if removal.stays.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render(removal: &Removal, what: &str) -> String {
    let mut text = match &removal.of {
        Some(of) => format!("{}, a copy of {of}\n", removal.name),
        None => format!("{}, a copy whose restore was interrupted\n", removal.name),
    };
    for item in &removal.items {
        text.push_str(&format!(
            "  {what}: {} {}\n",
            item.kind,
            human::escape(item.name.as_bytes())
        ));
    }
    for sentence in &removal.stays {
        text.push_str(&format!("  stays: {sentence}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_recovery::copies::Item;

    use super::*;

    #[test]
    fn what_goes_and_what_stays() {
        let removal = Removal {
            name: "shop-try".to_owned(),
            of: Some("default/web1/shop".to_owned()),
            items: vec![Item {
                kind: "container",
                name: "shop-try-db-1".to_owned(),
            }],
            stays: vec!["volume x is not the one that `restore --as shop-try` made".to_owned()],
        };
        insta::assert_snapshot!(render(&removal, "removed"), @r"
        shop-try, a copy of default/web1/shop
          removed: container shop-try-db-1
          stays: volume x is not the one that `restore --as shop-try` made
        ");
    }
}
