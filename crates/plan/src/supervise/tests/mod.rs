//! Histories, told as lists of events.

mod chance;
mod gone;
mod histories;
mod host;
mod replicas;
mod shutdown;
mod storm;
mod together;
mod untold;
mod wrong;

use super::*;
use crate::supervise::engine_events::PATIENCE;
use crate::supervise::facts::NeedCondition;

const KILLED: What = What::Die { code: 137 };

/// A container with this policy.
pub(super) fn facts(id: &str, policy: Policy) -> Facts {
    Facts {
        id: id.to_owned(),
        name: id.to_owned(),
        app: "shop".to_owned(),
        policy,
        rules: Rules {
            supervised: true,
            because: "a test".to_owned(),
            ..Rules::default()
        },
        stop_signal: 15,
        stop_grace: 10,
        ..Facts::default()
    }
}

pub(super) fn need(on: &str, condition: NeedCondition) -> Need {
    Need {
        on: on.to_owned(),
        condition,
        restart: false,
        namespace: false,
    }
}

/// A process that began then.
pub(super) fn process(pid: usize, began: Moment) -> Process {
    Process {
        pid: u32::try_from(pid).unwrap(),
        began: began.0,
    }
}

/// A world, the time in it, and what it wanted done.
pub(super) struct Play {
    pub world: World,
    pub now: Moment,
    pub effects: Vec<Effect>,
}

impl Play {
    /// All of them run, and the engine answers.
    pub fn with(all: Vec<Facts>) -> Self {
        let mut play = Self {
            world: World::new(1),
            now: Moment(1_000_000_000),
            effects: Vec::new(),
        };
        let containers = all
            .iter()
            .map(|facts| Seen {
                id: facts.id.clone(),
                name: facts.name.clone(),
                phase: Phase::Running,
                healthy: None,
            })
            .collect();
        play.event(Event::Listed {
            engine: "e".to_owned(),
            containers,
        });
        for (n, facts) in all.into_iter().enumerate() {
            let started = Moment(play.now.0 - 1000);
            let state = State {
                phase: Phase::Running,
                started,
                process: Some(process(n + 1, started)),
                ..State::default()
            };
            play.event(Event::Inspected {
                facts: Box::new(facts),
                state,
            });
        }
        play.effects.clear();
        play
    }

    pub fn event(&mut self, event: Event) -> &mut Self {
        let effects = self.world.step(self.now, event);
        self.effects.extend(effects);
        self
    }

    pub fn on(&mut self, id: &str, what: What) -> &mut Self {
        self.event(Event::Happened(Happened {
            id: id.to_owned(),
            name: id.to_owned(),
            slot: None,
            what,
            nano: 0,
        }))
    }

    pub fn did(&mut self, id: &str, did: Did) -> &mut Self {
        self.event(Event::Did {
            id: id.to_owned(),
            did,
        })
    }

    /// Time passes, with every wake-up that was asked for.
    pub fn wait(&mut self, secs: u64) -> &mut Self {
        let until = Moment(self.now.0 + secs * 1000);
        while let Some(due) = self.world.next_due(self.now).filter(|due| *due < until) {
            self.now = Moment(due.0.max(self.now.0 + 1));
            self.event(Event::Tick);
        }
        self.now = until;
        self.event(Event::Tick)
    }

    /// The time passes in which an end may still turn out to be a person's wish; until its last millisecond nothing
    /// is done about it.
    pub fn patience(&mut self) -> &mut Self {
        let before = self.effects.len();
        let over = self.now.plus(PATIENCE);
        self.now = Moment(over.0 - 1);
        self.event(Event::Tick);
        let early = |effect: &Effect| {
            matches!(
                effect,
                Effect::Start { .. } | Effect::Stop { .. } | Effect::Recreate { .. }
            )
        };
        let done = &self.effects[before..];
        assert!(!done.iter().any(early), "too early: {done:?}");
        self.now = over;
        self.event(Event::Tick)
    }

    /// What was to be done since the last time, in short.
    pub fn done(&mut self) -> Vec<String> {
        let effects = std::mem::take(&mut self.effects);
        let short = |effect: Effect| match effect {
            Effect::Start { id, .. } => Some(format!("start {id}")),
            Effect::Stop { id, .. } => Some(format!("stop {id}")),
            Effect::Recreate { id, .. } => Some(format!("recreate {id}")),
            Effect::Policy { id, policy } => Some(format!("policy {id} {policy}")),
            _ => None,
        };
        effects.into_iter().filter_map(short).collect()
    }

    pub fn state(&self, id: &str) -> String {
        let picture = self.world.picture(self.now);
        let row = picture.rows.iter().find(|row| row.id == id);
        row.map_or("forgotten".to_owned(), |row| row.state.clone())
    }

    pub fn asked_again(&mut self, id: &str, facts: &Facts, phase: Phase) -> &mut Self {
        assert!(
            self.effects
                .contains(&Effect::Inspect { id: id.to_owned() }),
            "nobody asked: {:?}",
            self.effects
        );
        let unit = &self.world.units[id];
        let state = State {
            phase,
            exit: unit.exit.clone(),
            started: unit.started,
            ..State::default()
        };
        self.event(Event::Inspected {
            facts: Box::new(facts.clone()),
            state,
        })
    }
}
