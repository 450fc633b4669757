//! From the engine's words to the supervisor's.

use lifeboat_engine::{EngineEvent, Listed};
use lifeboat_plan::inventory::Container;
use lifeboat_plan::probe::Settings;
use lifeboat_plan::supervise::{
    Event, Exit, Facts, Happened, Moment, Phase, Seen, Slot, State, What, signal,
};
use serde_json::Value;

use crate::process;

/// What an event of the engine means; `None` for what supervision does not care about.
pub(crate) fn event(event: &EngineEvent) -> Option<Happened> {
    if event.kind == "network" {
        return connected(event);
    }
    if event.kind != "container" {
        return None;
    }
    let attribute = |key: &str| {
        event
            .attributes
            .get(key)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let (action, detail) = event.action.split_once(':').unwrap_or((&event.action, ""));
    let what = match action {
        "create" => What::Create,
        "start" => What::Start,
        "die" => What::Die {
            code: attribute("exitCode").parse().unwrap_or(-1),
        },
        "kill" => What::Kill {
            signal: signal(attribute("signal")),
        },
        "stop" => What::Stop,
        "pause" => What::Pause,
        "unpause" => What::Unpause,
        "destroy" => What::Destroy,
        "rename" => What::Rename,
        "oom" => What::Oom,
        "update" => What::Update,
        "health_status" => match detail.trim() {
            "healthy" => What::Health { healthy: true },
            "unhealthy" => What::Health { healthy: false },
            _ => return None,
        },
        _ => return None,
    };
    Some(Happened {
        id: event.id.clone(),
        name: attribute("name").to_owned(),
        slot: Slot::of(&event.attributes),
        what,
        nano: event.time_nano,
    })
}

/// A container was put on a network, or taken off it: its definition is another one.
fn connected(event: &EngineEvent) -> Option<Happened> {
    let id = event.attributes.get("container")?;
    matches!(event.action.as_str(), "connect" | "disconnect").then(|| Happened {
        id: id.clone(),
        name: String::new(),
        slot: None,
        what: What::Update,
        nano: event.time_nano,
    })
}

/// A line of the list.
pub(crate) fn seen(listed: &Listed) -> Seen {
    let healthy = if listed.status.contains("(healthy)") {
        Some(true)
    } else if listed.status.contains("(unhealthy)") {
        Some(false)
    } else {
        None
    };
    Seen {
        id: listed.id.clone(),
        name: listed.name.clone(),
        phase: listed.state.into(),
        healthy,
    }
}

/// What an inspect answer says.
pub(crate) fn inspected(container: &Container, heal_all: bool, settings: &Settings) -> Event {
    let state = &container.raw["State"];
    let phase = Phase::from(container.state);
    let healthy = match state["Health"]["Status"].as_str().unwrap_or_default() {
        "healthy" => Some(true),
        "unhealthy" => Some(false),
        _ => None,
    };
    let exit = (phase == Phase::Exited || phase == Phase::Restarting).then(|| Exit {
        code: state["ExitCode"].as_i64().unwrap_or(-1),
        oom: state["OOMKilled"].as_bool().unwrap_or(false),
        at: moment(&state["FinishedAt"]),
    });
    let restarts = container.raw["RestartCount"].as_u64().unwrap_or(0);
    let state = State {
        phase,
        healthy,
        started: moment(&state["StartedAt"]),
        exit,
        restart_count: u32::try_from(restarts).unwrap_or(u32::MAX),
        error: state["Error"].as_str().unwrap_or_default().to_owned(),
        process: process::of(container),
    };
    Event::Inspected {
        facts: Box::new(Facts::of(container, heal_all, settings)),
        state,
    }
}

fn moment(value: &Value) -> Moment {
    let time: Option<jiff::Timestamp> = value.as_str().and_then(|text| text.parse().ok());
    let millis = time.map_or(0, jiff::Timestamp::as_millisecond);
    Moment(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(action: &str, attributes: &[(&str, &str)]) -> Option<What> {
        let event_of = EngineEvent {
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: "ab".to_owned(),
            attributes: attributes
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            time_nano: 0,
        };
        event(&event_of).map(|happened| happened.what)
    }

    #[test]
    fn events() {
        assert_eq!(
            of("die", &[("exitCode", "137")]),
            Some(What::Die { code: 137 })
        );
        assert_eq!(
            of("kill", &[("signal", "9")]),
            Some(What::Kill { signal: 9 })
        );
        assert_eq!(
            of("health_status: unhealthy", &[]),
            Some(What::Health { healthy: false })
        );
        assert_eq!(of("exec_create: sh", &[]), None);
        assert_eq!(of("attach", &[]), None);
    }

    #[test]
    fn an_inspect_answer() {
        let raw = json!({
            "Id": "ab", "Name": "/web", "Config": {}, "HostConfig": {}, "RestartCount": 3,
            "State": {
                "Status": "exited", "ExitCode": 1, "OOMKilled": true, "Error": "no",
                "StartedAt": "2026-11-29T07:00:00.5Z", "FinishedAt": "2026-11-29T07:00:01Z",
            },
        });
        let Event::Inspected { facts, state } = inspected(
            &lifeboat_engine::container_facts(raw),
            false,
            &Settings::default(),
        ) else {
            panic!("no answer");
        };
        assert_eq!(facts.name, "web");
        assert_eq!((state.phase, state.restart_count), (Phase::Exited, 3));
        let exit = state.exit.unwrap();
        assert_eq!(
            (exit.code, exit.oom, exit.at.0 - state.started.0),
            (1, true, 500)
        );
    }
}
