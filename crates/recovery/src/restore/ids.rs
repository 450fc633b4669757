//! Who owns a file: numbers mean other people on engines that map ids.
//!
//! With `userns-remap` the owner 0 in a container is 165536 on the host; with a rootless engine, whatever
//! its user was given. A point has the host's numbers, because it was read from the host's files. An
//! engine's archive takes the container's numbers and maps them itself. So: numbers of a mapped
//! point are taken back to the container's, and everything goes through the engine.

use lifeboat_plan::manifest::EngineRecord;

/// How many ids an engine maps; the usual size of an entry in `/etc/subuid`.
const MAPPED: u32 = 65_536;

/// What an engine does to ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Nothing: 0 is 0.
    Plain,
    /// `userns-remap`: 0 in a container is these on the host.
    Remapped(Shift),
    /// It maps, and does not say to what: a rootless engine. The data root tells two of them apart.
    Unknown(String),
}

impl Ids {
    /// What is known of the engine of a point, or of one that is here. With `userns-remap` the data root
    /// is a folder named `UID.GID`.
    pub fn of(engine: &EngineRecord) -> Self {
        if !engine.user_namespaces {
            return Self::Plain;
        }
        let folder = engine.data_root.rsplit('/').next().unwrap_or_default();
        let numbers = folder.split_once('.');
        match numbers.and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?))) {
            Some((uid, gid)) => Self::Remapped(Shift { uid, gid }),
            None => Self::Unknown(engine.data_root.clone()),
        }
    }

    /// What has to be done to the owners of a point of `self` on an engine with `here`; `None` where they
    /// mean the same. A point of an unknown mapping is an obstacle elsewhere ([`Ids::is_lost_on`]).
    pub fn shift_to(&self, here: &Self) -> Option<Shift> {
        match (self, here) {
            (same, other) if same == other => None,
            (Self::Remapped(shift), _) => Some(*shift),
            _ => Some(Shift::default()),
        }
    }

    /// `true` if nobody can tell who owned what.
    pub fn is_lost_on(&self, here: &Self) -> bool {
        matches!(self, Self::Unknown(_)) && self != here
    }
}

/// What is taken off owners, so that they are a container's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shift {
    uid: u32,
    gid: u32,
}

impl Shift {
    /// Root of a container.
    pub fn root(self) -> u32 {
        self.uid
    }

    /// A container's user.
    pub fn uid(self, uid: u32) -> u32 {
        back(uid, self.uid)
    }

    /// A container's group.
    pub fn gid(self, gid: u32) -> u32 {
        back(gid, self.gid)
    }
}

/// What lies outside the mapping belonged to the host: its number stays.
fn back(id: u32, base: u32) -> u32 {
    match id.checked_sub(base) {
        Some(inside) if inside < MAPPED => inside,
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(user_namespaces: bool, data_root: &str) -> Ids {
        Ids::of(&EngineRecord {
            user_namespaces,
            data_root: data_root.to_owned(),
            ..EngineRecord::default()
        })
    }

    #[test]
    fn ids_of_a_mapped_engine_are_taken_back_to_the_containers() {
        let plain = engine(false, "/var/lib/docker");
        let mapped = engine(true, "/var/lib/docker/165536.165537");
        let rootless = engine(true, "/home/me/.local/share/docker");
        let shift = mapped.shift_to(&plain).unwrap();
        assert_eq!((shift.uid(165_536), shift.gid(165_540)), (0, 3));
        assert_eq!(
            (shift.uid(0), shift.gid(231_073)),
            (0, 231_073),
            "the host's"
        );
        assert_eq!(mapped.shift_to(&mapped.clone()), None);
        assert_eq!(plain.shift_to(&plain.clone()), None);
        assert_eq!(plain.shift_to(&rootless), Some(Shift::default()));
        assert_eq!(plain.shift_to(&mapped).unwrap().uid(999), 999);
        assert!(rootless.is_lost_on(&plain) && !rootless.is_lost_on(&rootless.clone()));
        assert!(!mapped.is_lost_on(&plain) && !plain.is_lost_on(&rootless));
    }
}
