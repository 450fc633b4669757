//! What a person sees who may ask the agent and may not read its files: the same tables, as the agent's own command shows them.

use lifeboat_api::{Outcome, client::Client};

use crate::{
    args::{Command, Jobs},
    exit::{Exit, Failure, Result},
    session::Session,
};

/// Does the command by way of the agent, where settings and state are closed to this user. None: it is done as ever.
pub fn instead(session: &Session, command: &Command) -> Option<Result<Exit>> {
    if !session.foreign {
        return None;
    }
    let query = match command {
        Command::Points(args) => ("points", args.app.clone(), None),
        Command::Policy(args) if args.apps.len() < 2 => {
            ("policy", args.apps.first().cloned(), None)
        }
        Command::Jobs(args) => match args.what {
            None => ("jobs", None, Some(args.most)),
            Some(Jobs::Show { id }) => ("jobs", Some(id.to_string()), None),
            Some(Jobs::Cancel { id }) => return Some(cancel(session, id)),
        },
        Command::Events(args) if !args.follow => ("events", args.app.clone(), Some(args.last)),
        // They speak with the agent alone.
        Command::Status(_) | Command::Maintenance(_) => return None,
        Command::Completion(_) | Command::Man(_) | Command::Agent(_) => return None,
        _ => {
            return Some(Err(Failure::new(format!(
                "{} is closed to this user, so this takes root; `status`, `points`, `policy`, `jobs`, `events` and `maintenance` can be asked of the agent by members of its groups",
                session.places.config.display()
            ))));
        }
    };
    Some(ask(session, query))
}

fn ask(session: &Session, (what, of, last): (&str, Option<String>, Option<usize>)) -> Result<Exit> {
    let form = if session.out.is_json() {
        "json"
    } else {
        "text"
    };
    let mut path = format!("/api/v1/shown/{what}?form={form}");
    if let Some(of) = of {
        let plain = percent_encoding::utf8_percent_encode(&of, percent_encoding::NON_ALPHANUMERIC);
        path.push_str(&format!("&of={plain}"));
    }
    if let Some(last) = last {
        path.push_str(&format!("&last={last}"));
    }
    let socket = session.socket();
    let answer: lifeboat_api::Result<Outcome> = Client::at(&socket).get(&path);
    let outcome = answer.map_err(|why| Failure::new(why.to_string()))?;
    if let Some(said) = outcome.said.filter(|said| !said.is_empty()) {
        session.reporter.above(&format!("{}\n", said.trim_end()));
    }
    if let Some(text) = &outcome.text {
        session.out.text(text)?;
    }
    if let Some(answer) = &outcome.answer {
        session.out.json(answer)?;
    }
    let code = outcome.code.and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(Exit::Failed, Exit::of))
}

fn cancel(session: &Session, id: u64) -> Result<Exit> {
    let socket = session.socket();
    Client::at(&socket)
        .cancel(id)
        .map_err(|why| Failure::new(why.to_string()))?;
    session.reporter.note(
        &format!("job {id} was asked to stop; `lifeboat jobs show {id}` says when it has"),
        session.global.quiet,
    );
    Ok(Exit::Done)
}
