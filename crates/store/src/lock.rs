//! Objects that nobody can delete before their time: what S3 calls Object Lock.
//!
//! It is the server that refuses, whoever asks: with `compliance` nobody, not even the owner of the bucket, shortens
//! the time; with `governance` only who has the right to (`s3:BypassGovernanceRetention`, which is never used here).
//! A bucket with it keeps every version of an object. To delete one by its name only *hides* it; to delete its
//! versions is what the server refuses.
//!
//! Which objects, and until when, is [`LockPolicy`]'s. Locks of sessions are exempt. A bucket's own default is not
//! relied on.

use serde::{Deserialize, Serialize};

use crate::{Area, ObjectName, Result};

/// Who can shorten the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Nobody.
    Compliance,
    /// Who has a right of its own for that.
    Governance,
}

impl LockMode {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            LockMode::Compliance => "compliance",
            LockMode::Governance => "governance",
        }
    }
}

/// How long what a vault holds is locked.
///
/// A recovery point is locked for the whole of `seconds` from its commit. What it needs (packs, index, keys, config)
/// is shared with later points, and each commit has to make sure of it. So that not every commit extends
/// everything, the time of these is rounded up to a multiple of half of `seconds` ([`LockPolicy::carried`]): all commits
/// within such a half want the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockPolicy {
    /// Who can shorten it.
    pub mode: LockMode,
    /// For how long a recovery point is locked.
    pub seconds: u64,
}

impl LockPolicy {
    /// A vault is not locked for longer: a slip of the finger would be for ever.
    pub const LONGEST: u64 = 10 * 365 * 86_400;

    /// Until when a recovery point that is made now is locked.
    pub fn promised(self, now: i64) -> i64 {
        now.saturating_add(self.length())
    }

    /// Until when everything is locked that a recovery point needs that is made now, or (an eighth of the time) soon:
    /// a commit takes its time.
    pub fn carried(self, now: i64) -> i64 {
        let half = (self.length() / 2).max(1);
        let least = self.promised(now).saturating_add(self.length() / 8);
        least.saturating_add(half - 1) / half * half
    }

    /// Until when a new object of an area is locked.
    pub fn until(self, area: Area, now: i64) -> Option<i64> {
        match area {
            Area::Locks => None,
            Area::Snapshots => Some(self.promised(now)),
            Area::Config | Area::Keys | Area::Data | Area::Index => Some(self.carried(now)),
        }
    }

    fn length(self) -> i64 {
        i64::try_from(self.seconds.min(Self::LONGEST)).unwrap_or(i64::MAX)
    }
}

/// A store whose objects can be locked.
pub trait ObjectLock: Send + Sync {
    /// An error that says why not, where the place does not do it.
    fn possible(&self) -> Result<()>;

    /// From now on whatever is put is locked, as the policy says; and what is deleted goes with all its versions
    /// where its time is over, and is hidden where it is not.
    fn keep(&self, policy: LockPolicy);

    /// Locks an object until then, at least. What is locked for longer stays so.
    fn extend(&self, name: &ObjectName, until: i64) -> Result<()>;

    /// Until when an object is locked, in seconds since 1970. That time may be over.
    fn locked_until(&self, name: &ObjectName) -> Result<Option<i64>>;

    /// Deletes what is hidden and whose time is over. Returns how many versions went.
    fn sweep(&self) -> Result<u64>;

    /// Brings back what was hidden and still has its bytes, locks aside. Returns the names.
    fn bring_back(&self) -> Result<Vec<ObjectName>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_point_needs_is_locked_as_long_as_the_point_and_extended_twice_a_period() {
        let policy = LockPolicy {
            mode: LockMode::Compliance,
            seconds: 1000,
        };
        let mut changes = 0;
        let mut before = policy.carried(0);
        for now in 0..10_000 {
            let carried = policy.carried(now);
            // With time to spare for the commit itself, and never for much longer than promised.
            assert!(carried >= policy.promised(now + 125));
            assert!(carried <= policy.promised(now) + 125 + 500);
            assert!(carried >= before);
            changes += usize::from(carried != before);
            before = carried;
        }
        assert_eq!(changes, 20);
        assert_eq!(policy.until(Area::Locks, 5), None);
        assert_eq!(policy.until(Area::Snapshots, 5), Some(1005));
        assert_eq!(policy.until(Area::Data, 5), Some(policy.carried(5)));
    }

    #[test]
    fn no_period_overflows() {
        let policy = LockPolicy {
            mode: LockMode::Governance,
            seconds: u64::MAX,
        };
        assert!(policy.carried(i64::MAX - 5) >= i64::MAX / 2);
        let nothing = LockPolicy {
            seconds: 0,
            ..policy
        };
        assert_eq!(nothing.carried(7), 7);
    }
}
