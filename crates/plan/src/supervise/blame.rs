//! Who takes what the host runs short of: asked for only while something is short, and seldom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Effect;
use super::host::Finding;
use super::{Moment, World};

/// While something is short, those who take it are looked for so often: to look is work, too.
const AGAIN: Duration = Duration::from_secs(60);
/// So many are named.
const NAMED: usize = 3;

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// Room where the engine's data lies.
    Disk,
    /// Memory.
    Memory,
}

/// One that takes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taker {
    /// What, for people: `the log of web`.
    pub what: String,
    /// Bytes; at least so many where it was not counted to the end.
    pub bytes: u64,
    /// Counted to the end.
    pub all: bool,
}

/// What was asked and answered of one shortage.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    at: Moment,
    named: String,
}

/// What was asked and answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Blame(BTreeMap<Shortage, Asked>);

impl World {
    /// Asks who takes what is short, if it is time to.
    pub(super) fn look_for_takers(&mut self, at: Moment, shortage: Shortage, is_short: bool) {
        let asked = &mut self.host.blame.0;
        if !is_short {
            asked.remove(&shortage);
            return;
        }
        let known = asked.get(&shortage);
        if !self.connected || known.is_some_and(|asked| at.since(asked.at) < AGAIN) {
            return;
        }
        asked.entry(shortage).or_default().at = at;
        self.effects.push(Effect::Blame { shortage });
    }

    /// Takes the answer. Told once in each shortage; shown as it is.
    pub(super) fn blamed(&mut self, at: Moment, shortage: Shortage, mut takers: Vec<Taker>) {
        takers.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.what.cmp(&b.what)));
        let named: Vec<String> = takers.iter().take(NAMED).map(Taker::shown).collect();
        let Some(asked) = self.host.blame.0.get_mut(&shortage) else {
            // It is not short any more.
            return;
        };
        if named.is_empty() {
            return;
        }
        let first = asked.named.is_empty();
        asked.named = format!("most is taken by {}", named.join(", "));
        let text = asked.named.clone();
        if first {
            self.tell_host(at, shortage.kind(), &text);
        }
    }

    /// What is shown with a finding.
    pub(super) fn with_takers(&self, key: &str, finding: &Finding) -> Finding {
        let mut finding = finding.clone();
        let of_engine = self.host.engines_disk.as_deref() == Some(key);
        let shortage = match finding.kind.as_str() {
            "memory" => Shortage::Memory,
            "disk" if of_engine => Shortage::Disk,
            _ => return finding,
        };
        if let Some(asked) = self.host.blame.0.get(&shortage)
            && !asked.named.is_empty()
        {
            finding.text = format!("{}; {}", finding.text, asked.named);
        }
        finding
    }
}

impl Shortage {
    fn kind(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

impl Taker {
    fn shown(&self) -> String {
        let mib = self.bytes >> 20;
        let least = if self.all { "" } else { "at least " };
        if mib >= 10 * 1024 {
            format!("{} ({least}{} GiB)", self.what, mib / 1024)
        } else {
            format!("{} ({least}{mib} MiB)", self.what)
        }
    }
}
