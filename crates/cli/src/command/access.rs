//! `token`, `audit`.

use lifeboat_api::{
    audit,
    guard::{NotIssued, Role, Tokens},
    settings::Settings,
};
use serde::Serialize;

use crate::{
    args::{Audit, AuditArgs, Token, TokenArgs},
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// A token, as `-o json` says it.
#[derive(Serialize)]
struct Shown {
    name: String,
    role: Role,
    expires: Option<jiff::Timestamp>,
    expired: bool,
}

fn failed(error: NotIssued) -> Failure {
    match error {
        NotIssued::File(_) => Failure::new(error.to_string()),
        _ => Failure::usage(error.to_string()),
    }
}

/// Does what is asked.
pub fn token(session: &Session, args: &TokenArgs) -> Result<Exit> {
    let named = Settings::load(&session.places.config.join("lifeboat.toml"));
    let named = named.map_err(|why| Failure::new(why.to_string()))?.tokens;
    let tokens = Tokens::new(named.unwrap_or_else(|| Tokens::file(&session.places.config)));
    match &args.what {
        Token::Add {
            name,
            role,
            expires,
        } => {
            fs_err::create_dir_all(&session.places.config)?;
            let end = expires.map(|length| {
                let length = jiff::SignedDuration::try_from(length).unwrap_or_default();
                jiff::Timestamp::now().saturating_add(length)
            });
            let end = end.transpose();
            let end = end.map_err(|e| Failure::usage(format!("--expires: {e}")))?;
            let token = tokens.add(name, *role, end).map_err(failed)?;
            if session.out.is_json() {
                let made =
                    serde_json::json!({"name": name, "role": role, "expires": end, "token": token});
                session.out.json(&made)?;
            } else {
                session.out.line(&token)?;
                session.reporter.note(
                    "the token is shown this once: keep it where only its program reads it",
                    session.global.quiet,
                );
            }
        }
        Token::List => list(session, &tokens)?,
        Token::Remove { name } => {
            tokens.remove(name).map_err(failed)?;
            session.reporter.note(
                &format!("`{name}` lets nobody in any more"),
                session.global.quiet,
            );
        }
    }
    Ok(Exit::Done)
}

fn list(session: &Session, tokens: &Tokens) -> Result<()> {
    let now = jiff::Timestamp::now();
    let all = tokens.all().map_err(|e| failed(e.into()))?.into_iter();
    let all: Vec<Shown> = all
        .map(|(name, issued)| Shown {
            name,
            role: issued.role,
            expires: issued.expires,
            expired: issued.expires.is_some_and(|end| end <= now),
        })
        .collect();
    if session.out.is_json() {
        return session.out.json(&all);
    }
    let columns = [
        ("NAME", Align::Left),
        ("ROLE", Align::Left),
        ("EXPIRES", Align::Left),
    ];
    let mut table = Table::new(&columns, session.out.width());
    for token in &all {
        let end = token
            .expires
            .map(|end| human::local_seconds(end.as_second()));
        let end = match (end, token.expired) {
            (None, _) => "never".to_owned(),
            (Some(end), true) => format!("{end} (expired)"),
            (Some(end), false) => end,
        };
        table.row([token.name.clone(), token.role.to_string(), end]);
    }
    session.out.text(&table.render())
}

/// Shows it, or says whether it is whole.
pub fn audit(session: &Session, args: &AuditArgs) -> Result<Exit> {
    let log = audit::Audit::of(&session.places.state);
    if let Some(Audit::Verify { kept }) = &args.what {
        let verdict = log.verify(kept.as_deref())?;
        let whole = verdict.wrong.is_empty();
        if session.out.is_json() {
            session.out.json(&verdict)?;
        } else if whole {
            let lines = human::plural(verdict.lines, "change");
            session
                .out
                .line(&format!("whole: {lines}, the last one {}", verdict.head))?;
        } else {
            for wrong in &verdict.wrong {
                session.out.line(&human::escape(wrong.as_bytes()))?;
            }
        }
        return Ok(if whole { Exit::Done } else { Exit::Failed });
    }
    let lines = log.newest(None, args.most)?;
    if session.out.is_json() {
        session.out.json(&lines)?;
        return Ok(Exit::Done);
    }
    let columns = [
        ("CHANGE", Align::Right),
        ("TIME", Align::Left),
        ("WHO", Align::Left),
        ("WHAT", Align::Left),
        ("OUTCOME", Align::Left),
    ];
    let mut table = Table::new(&columns, session.out.width());
    for line in &lines {
        table.row([
            line.seq.to_string(),
            human::local_seconds(line.at.div_euclid(1000)),
            human::escape(format!("{} ({}, {})", line.who, line.role, line.via).as_bytes()),
            human::escape(format!("{} {}", line.action, line.what).trim().as_bytes()),
            human::escape(line.outcome.as_bytes()),
        ]);
    }
    session.out.text(&table.render())?;
    Ok(Exit::Done)
}
