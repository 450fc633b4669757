//! Whose turn it is. One client works at a time; the dice choose the next when all others wait.

use std::collections::BTreeSet;

use super::Dice;

pub(super) struct Turns {
    dice: Dice,
    /// Clients that have not ended.
    alive: usize,
    waiting: BTreeSet<usize>,
    current: Option<usize>,
}

impl Turns {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            dice,
            alive: 0,
            waiting: BTreeSet::new(),
            current: None,
        }
    }

    pub(super) fn begin(&mut self, clients: usize) {
        self.alive = clients;
        self.waiting.clear();
        self.current = None;
    }

    /// A client has come to an operation.
    pub(super) fn arrive(&mut self, client: usize) {
        self.waiting.insert(client);
        if self.current == Some(client) {
            self.current = None;
        }
        self.choose();
    }

    /// Whether it may go on.
    pub(super) fn is_at(&mut self, client: usize) -> bool {
        let its = self.current == Some(client);
        if its {
            self.waiting.remove(&client);
        }
        its
    }

    /// A client has ended.
    pub(super) fn leave(&mut self, client: usize) {
        self.alive -= 1;
        self.waiting.remove(&client);
        if self.current == Some(client) {
            self.current = None;
        }
        self.choose();
    }

    fn choose(&mut self) {
        if self.current.is_none() && self.waiting.len() == self.alive {
            let at = self.dice.below(self.waiting.len() as u64) as usize;
            self.current = self.waiting.iter().nth(at).copied();
        }
    }
}
