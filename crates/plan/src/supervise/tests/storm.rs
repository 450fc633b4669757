//! Storms by chance: all containers of a host killed at once, whatever depends on whatever.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// By what it is known that one is ready.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Check {
    Nothing,
    Health,
    Readiness,
}

/// What the engine does with what it is told, and how far each container is.
struct Storm {
    play: Play,
    checks: Vec<Check>,
    /// Whom each needs.
    needs: Vec<BTreeSet<usize>>,
    under_way: Vec<usize>,
    started: BTreeMap<usize, Moment>,
    ready: BTreeSet<usize>,
    /// Those whose processes live.
    alive: BTreeMap<usize, Process>,
    /// Those whose ends the engine has still to tell, the next one last.
    untold: Vec<usize>,
    began: Moment,
}

fn name(n: usize) -> String {
    format!("n{n:02}")
}

impl Storm {
    fn new(checks: &[Check], edges: &[(usize, usize)]) -> Self {
        let count = checks.len();
        let mut needs = vec![BTreeSet::new(); count];
        for (of, on) in edges {
            if of % count != on % count {
                needs[of % count].insert(on % count);
            }
        }
        let all = (0..count).map(|n| {
            let mut one = facts(&name(n), Policy::No);
            one.has_check = checks[n] == Check::Health;
            one.has_readiness = checks[n] == Check::Readiness;
            let on = needs[n].iter();
            one.needs = on
                .map(|on| need(&name(*on), NeedCondition::Ready))
                .collect();
            one
        });
        let play = Play::with(all.collect());
        Self {
            began: play.now,
            play,
            checks: checks.to_vec(),
            needs,
            under_way: Vec::new(),
            started: BTreeMap::new(),
            ready: BTreeSet::new(),
            alive: BTreeMap::new(),
            untold: Vec::new(),
        }
    }

    /// Whether `from` needs `to`, directly or not: in a cycle there is no order.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut look = vec![from];
        while let Some(n) = look.pop() {
            if n == to {
                return true;
            }
            if seen.insert(n) {
                look.extend(&self.needs[n]);
            }
        }
        false
    }

    /// Takes what was asked for, and holds it against what must never be.
    fn take(&mut self) {
        while !self.play.effects.is_empty() {
            let effects = std::mem::take(&mut self.play.effects);
            effects.into_iter().for_each(|effect| self.take_one(effect));
        }
    }

    fn take_one(&mut self, effect: Effect) {
        let (id, after) = match effect {
            Effect::Start { id, after } => (id, after),
            Effect::Inspect { id } => {
                self.inspected(&id);
                return;
            }
            Effect::Stop { .. } | Effect::Recreate { .. } => {
                panic!("nobody is ill: {effect:?}")
            }
            _ => return,
        };
        let n: usize = id[1..].parse().unwrap();
        let known = self.under_way.contains(&n) || self.started.contains_key(&n);
        assert!(!known, "{id} is started twice");
        let lives = |(id, process): &(&String, &Process)| {
            self.alive.get(&id[1..].parse().unwrap()) == Some(*process)
        };
        let ended: BTreeMap<String, Process> = after
            .iter()
            .filter(|one| !lives(one))
            .map(|(id, process)| (id.clone(), *process))
            .collect();
        if !ended.is_empty() {
            self.play.did(&id, Did::EndedFirst(ended));
            return;
        }
        for on in &self.needs[n] {
            let ready = self.ready.contains(on) || self.reaches(*on, n);
            assert!(ready, "{id} is started before {} is ready", name(*on));
        }
        self.under_way.push(n);
        assert!(self.under_way.len() <= MOST_STARTS, "{:?}", self.under_way);
    }

    /// What the engine says of one that it was asked about, and what is to be seen of its process.
    fn inspected(&mut self, id: &str) {
        let n: usize = id[1..].parse().unwrap();
        let unit = &self.play.world.units[id];
        let state = State {
            phase: if self.untold.contains(&n) || self.alive.contains_key(&n) {
                Phase::Running
            } else {
                Phase::Exited
            },
            started: unit.started,
            exit: unit.exit.clone(),
            process: self.alive.get(&n).copied(),
            ..State::default()
        };
        let facts = Box::new(unit.facts.clone().unwrap());
        self.play.event(Event::Inspected { facts, state });
    }

    /// The engine tells of one more end.
    fn tells(&mut self) {
        if let Some(n) = self.untold.pop() {
            self.play.on(&name(n), What::Die { code: 137 });
        }
    }

    /// A start is done.
    fn done(&mut self, chance: usize) {
        if self.under_way.is_empty() {
            return;
        }
        let n = self.under_way.remove(chance % self.under_way.len());
        self.started.insert(n, self.play.now);
        self.alive.insert(n, process(n + 1, self.play.now));
        if self.checks[n] == Check::Nothing {
            self.ready.insert(n);
        }
        self.play
            .on(&name(n), What::Start)
            .did(&name(n), Did::Started);
    }

    /// Those that run and are not ready, oldest first, and since when.
    fn coming_up(&self) -> Vec<(Moment, usize)> {
        let not_ready = self.started.iter().filter(|(n, _)| !self.ready.contains(n));
        let mut all: Vec<(Moment, usize)> = not_ready.map(|(n, since)| (*since, *n)).collect();
        all.sort_unstable();
        all
    }

    /// One that runs becomes ready.
    fn becomes_ready(&mut self, chance: usize) {
        let all = self.coming_up();
        if all.is_empty() {
            return;
        }
        let (_, n) = all[chance % all.len()];
        self.ready.insert(n);
        let id = name(n);
        if self.checks[n] == Check::Health {
            self.play.on(&id, What::Health { healthy: true });
        } else {
            self.play.event(Event::Probed {
                id,
                kind: Kind::Readiness,
                well: true,
                why: String::new(),
            });
        }
    }

    /// Time passes; nothing takes as long as the three minutes after which nobody waits for it any more, nor the engine
    /// the minute that its word is waited for.
    fn wait(&mut self) {
        if self.play.now.since(self.began).as_secs() > 40 {
            (0..self.untold.len()).for_each(|_| self.tells());
        }
        let oldest = self.coming_up().first().copied();
        if oldest.is_some_and(|(since, _)| self.play.now.since(since).as_secs() > 60) {
            self.becomes_ready(0);
        }
        self.play.wait(1);
    }
}

fn check() -> impl Strategy<Value = Check> {
    prop_oneof![
        Just(Check::Nothing),
        Just(Check::Health),
        Just(Check::Readiness)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn all_are_back_in_order_four_at_a_time_and_none_twice(
        checks in proptest::collection::vec(check(), 1..=60),
        edges in proptest::collection::vec((0..60_usize, 0..60_usize), 0..90),
        turns in proptest::collection::vec((0..5_usize, any::<usize>()), 1..60),
    ) {
        let count = checks.len();
        let mut storm = Storm::new(&checks, &edges);
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|n| turns[n % turns.len()].1.rotate_left(u32::try_from(*n).unwrap()));
        storm.untold = order;
        for (turn, chance) in turns.iter().cycle().take(6 * count) {
            match turn {
                0 => storm.done(*chance),
                1 => storm.becomes_ready(*chance),
                2 | 3 => storm.tells(),
                _ => storm.wait(),
            }
            storm.take();
        }
        // What chance left over.
        while !storm.untold.is_empty() {
            storm.tells();
            storm.take();
        }
        for _ in 0..2 * count {
            storm.wait();
            storm.take();
            storm.done(0);
            storm.becomes_ready(0);
            storm.take();
        }
        prop_assert_eq!(storm.ready.len(), count, "not all are back: {:?}", storm.ready);
    }
}
