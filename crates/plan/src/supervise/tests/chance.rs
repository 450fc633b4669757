//! Histories by chance: what must hold in each of them. A seed that failed is replayed by proptest.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Turn {
    Crash(usize),
    Clean(usize),
    /// A person stops or kills it; the engine may tell of the signal so many milliseconds after the end.
    PersonStops(usize, bool, Option<u64>),
    PersonStarts(usize),
    Pause(usize),
    Sick(usize),
    Well(usize),
    Answer(bool),
    Wait(u64),
    EngineRestarts,
    Maintenance(bool),
}

fn turn(count: usize) -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (0..count).prop_map(Turn::Crash),
        1 => (0..count).prop_map(Turn::Clean),
        2 => ((0..count), any::<bool>(), proptest::option::of(0_u64..250))
            .prop_map(|(n, kills, late)| Turn::PersonStops(n, kills, late)),
        2 => (0..count).prop_map(Turn::PersonStarts),
        1 => (0..count).prop_map(Turn::Pause),
        2 => (0..count).prop_map(Turn::Sick),
        2 => (0..count).prop_map(Turn::Well),
        6 => any::<bool>().prop_map(Turn::Answer),
        4 => (1_u64..400).prop_map(Turn::Wait),
        1 => Just(Turn::EngineRestarts),
        1 => any::<bool>().prop_map(Turn::Maintenance),
    ]
}

/// What the engine does with what it is told; and what it was told, container by container.
struct Engine {
    play: Play,
    running: BTreeMap<String, bool>,
    person: BTreeMap<String, bool>,
    pending: Vec<Effect>,
    /// Signals of persons that the engine has not told yet, and when it does.
    late: Vec<(Moment, String, bool)>,
}

impl Engine {
    fn name(n: usize) -> String {
        format!("n{n}")
    }

    fn new(count: usize) -> Self {
        let all: Vec<Facts> = (0..count)
            .map(|n| {
                let mut one = facts(&Self::name(n), Policy::No);
                one.has_check = n % 2 == 0;
                one.rules.replicas.wanted = (n == 1).then_some(2);
                if n > 0 {
                    one.needs = vec![need(&Self::name(n / 2), NeedCondition::Ready)];
                    one.needs[0].namespace = n % 3 == 0;
                }
                one
            })
            .collect();
        Self {
            running: all.iter().map(|f| (f.id.clone(), true)).collect(),
            person: BTreeMap::new(),
            play: Play::with(all),
            pending: Vec::new(),
            late: Vec::new(),
        }
    }

    /// The engine tells what it owes, before more time passes than it takes.
    fn tell_late(&mut self) {
        self.late.sort();
        for (due, id, kills) in std::mem::take(&mut self.late) {
            self.play.now = self.play.now.max(due);
            self.play
                .event(Event::Tick)
                .on(&id, What::Kill { signal: 15 });
            if !kills {
                self.play.on(&id, What::Stop);
            }
        }
    }

    /// Takes what was asked for, and holds it against what must never be.
    fn take(&mut self) {
        for effect in std::mem::take(&mut self.play.effects) {
            let id = match &effect {
                Effect::Start { id, .. }
                | Effect::Stop { id, .. }
                | Effect::Recreate { id, .. } => id.clone(),
                Effect::Inspect { id } => {
                    let unit = &self.play.world.units[id];
                    let facts = unit.facts.clone().unwrap();
                    let phase = if self.running[id] {
                        Phase::Running
                    } else {
                        Phase::Exited
                    };
                    let state = State {
                        phase: if unit.phase == Phase::Paused {
                            Phase::Paused
                        } else {
                            phase
                        },
                        started: unit.started,
                        exit: unit.exit.clone(),
                        ..State::default()
                    };
                    self.play.event(Event::Inspected {
                        facts: Box::new(facts),
                        state,
                    });
                    continue;
                }
                Effect::Replicate { name, .. } => {
                    let world = &self.play.world;
                    assert!(
                        world.connected && world.maintenance.is_empty(),
                        "{effect:?}"
                    );
                    let failed = self
                        .running
                        .len()
                        .is_multiple_of(2)
                        .then(|| "no".to_owned());
                    let name = name.clone();
                    self.play.event(Event::Replicated { name, failed });
                    continue;
                }
                _ => continue,
            };
            assert!(
                self.play.world.connected,
                "done without an engine: {effect:?}"
            );
            assert!(
                !self.person.get(&id).copied().unwrap_or(false),
                "against a person: {effect:?}"
            );
            assert!(
                self.play.world.maintenance.is_empty(),
                "in maintenance: {effect:?}"
            );
            let twice = self.pending.iter().any(|other| acts_on(other) == Some(&id));
            assert!(!twice, "two things at once: {effect:?}");
            if matches!(effect, Effect::Start { .. }) {
                assert!(!self.running[&id], "started though it runs: {id}");
            }
            self.pending.push(effect);
            let starts = self
                .pending
                .iter()
                .filter(|e| matches!(e, Effect::Start { .. } | Effect::Recreate { .. }));
            assert!(
                starts.count() <= MOST_STARTS,
                "{:?}; {:?}",
                self.pending,
                self.play
                    .world
                    .units
                    .values()
                    .map(|u| (&u.id, u.doing))
                    .collect::<Vec<_>>()
            );
        }
        if !self.play.effects.is_empty() {
            self.take();
        }
    }

    fn end(&mut self, id: &str, code: i64) {
        if self.running.insert(id.to_owned(), false) == Some(true) {
            self.play.on(id, What::Die { code });
        }
    }

    fn turn(&mut self, turn: &Turn) {
        let quiet = |engine: &Self, id: &str| engine.play.world.units[id].phase != Phase::Paused;
        match turn {
            Turn::Crash(n) if quiet(self, &Self::name(*n)) => self.end(&Self::name(*n), 1),
            Turn::Clean(n) if quiet(self, &Self::name(*n)) => self.end(&Self::name(*n), 0),
            Turn::PersonStops(n, kills, late) => {
                let id = Self::name(*n);
                let busy = self.play.world.units[&id].doing.is_some();
                if self.running[&id] && !busy && quiet(self, &id) {
                    self.person.insert(id.clone(), true);
                    if let Some(millis) = late {
                        self.end(&id, 143);
                        let due = self.play.now.plus(Duration::from_millis(*millis));
                        self.late.push((due, id, *kills));
                        return;
                    }
                    self.play.on(&id, What::Kill { signal: 15 });
                    self.end(&id, 143);
                    if !kills {
                        self.play.on(&id, What::Stop);
                    }
                }
            }
            Turn::PersonStarts(n) => {
                let id = Self::name(*n);
                self.tell_late();
                if self.play.world.units[&id].phase == Phase::Paused {
                    self.person.remove(&id);
                    self.play.on(&id, What::Unpause);
                } else if !self.running[&id] && self.play.world.units[&id].doing.is_none() {
                    self.person.remove(&id);
                    self.running.insert(id.clone(), true);
                    self.play.on(&id, What::Start);
                }
            }
            Turn::Pause(n) => {
                let id = Self::name(*n);
                if self.running[&id]
                    && self.play.world.units[&id].doing.is_none()
                    && quiet(self, &id)
                {
                    self.person.insert(id.clone(), true);
                    self.play.on(&id, What::Pause);
                }
            }
            Turn::Sick(n) if self.running[&Self::name(*n)] => {
                self.play
                    .on(&Self::name(*n), What::Health { healthy: false });
            }
            Turn::Well(n) if self.running[&Self::name(*n)] => {
                self.play
                    .on(&Self::name(*n), What::Health { healthy: true });
            }
            Turn::Answer(well) => self.answer(*well),
            Turn::Wait(secs) => {
                self.tell_late();
                self.play.wait(*secs);
            }
            Turn::EngineRestarts => {
                self.tell_late();
                // A person's stop a moment before cannot be told from the engine's own.
                self.play.wait(11);
                self.take();
                if !self.pending.is_empty() {
                    return;
                }
                self.play.event(Event::Lost).wait(5);
                let containers = self
                    .play
                    .world
                    .units
                    .values()
                    .map(|unit| Seen {
                        id: unit.id.clone(),
                        name: unit.name.clone(),
                        phase: unit.phase,
                        healthy: None,
                    })
                    .collect();
                self.play.event(Event::Listed {
                    engine: "e".to_owned(),
                    containers,
                });
            }
            Turn::Maintenance(on) => {
                if self.pending.is_empty() {
                    self.play.event(Event::Maintenance { app: None, on: *on });
                }
            }
            Turn::Crash(_) | Turn::Clean(_) | Turn::Sick(_) | Turn::Well(_) => {}
        }
    }

    fn answer(&mut self, well: bool) {
        if self.pending.is_empty() {
            return;
        }
        match self.pending.remove(0) {
            Effect::Start { id, .. } if well => {
                self.running.insert(id.clone(), true);
                self.play.on(&id, What::Start).did(&id, Did::Started);
            }
            Effect::Stop { id, .. } if well => {
                self.play.on(&id, What::Kill { signal: 15 });
                self.end(&id, 143);
                self.play.on(&id, What::Stop).did(&id, Did::Stopped);
            }
            // It looks as if what it needs had ended, and the engine never says so.
            Effect::Start { id, after } if !after.is_empty() && !id.ends_with(['2', '4', '6']) => {
                self.play.did(&id, Did::EndedFirst(after));
            }
            Effect::Start { id, .. } | Effect::Stop { id, .. } | Effect::Recreate { id, .. } => {
                let failed = Failed {
                    kind: Trouble::Other,
                    text: "no".to_owned(),
                };
                self.play.did(&id, Did::Failed(failed));
            }
            _ => {}
        }
    }
}

/// Whom it is done to.
fn acts_on(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::Start { id, .. } | Effect::Stop { id, .. } | Effect::Recreate { id, .. } => {
            Some(id)
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(turns in proptest::collection::vec(turn(7), 1..120)) {
        let mut engine = Engine::new(7);
        for turn in &turns {
            engine.turn(turn);
            engine.take();
        }
        engine.tell_late();
        engine.take();
        // In the end, left alone, everything that is to run runs.
        engine.play.event(Event::Maintenance { app: None, on: false });
        engine.take();
        for _ in 0..60 {
            engine.play.wait(30);
            engine.take();
            engine.answer(true);
            engine.take();
            let ids: Vec<String> = engine.play.world.units.keys().cloned().collect();
            for id in ids {
                if engine.running[&id] && engine.play.world.units[&id].phase == Phase::Running {
                    engine.play.on(&id, What::Health { healthy: true });
                    engine.take();
                }
            }
        }
        for unit in engine.play.world.units.values() {
            if unit.wanted == Wanted::Run {
                prop_assert!(engine.running[&unit.id], "{} is left down: {unit:#?}", unit.id);
            }
        }
    }
}
