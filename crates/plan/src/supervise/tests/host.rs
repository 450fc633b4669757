//! What is said of the host, and when it is taken back.

use std::time::Duration;

use super::*;
use crate::supervise::blame::{Shortage, Taker};
use crate::supervise::host::{Disk, Reading};
use crate::supervise::view::Level;

const GIB: u64 = 1 << 30;

struct Host(Play, u64);

impl Host {
    fn new() -> Self {
        Self(Play::with(vec![facts("web", Policy::No)]), 7_000_000)
    }

    /// Five seconds later this was read; kinds that are shown, and how many lines were told.
    fn read(&mut self, change: impl FnOnce(&mut Reading)) -> (Vec<(String, Level)>, usize) {
        let Self(play, wall) = self;
        play.now = play.now.plus(Duration::from_secs(5));
        *wall += 5_000;
        let mut reading = Reading {
            wall: *wall,
            engine: Some(Duration::from_millis(20)),
            ..Reading::default()
        };
        change(&mut reading);
        *wall = reading.wall;
        play.event(Event::Host(Box::new(reading)));
        let told = std::mem::take(&mut play.effects);
        let told = told.iter().filter(|e| matches!(e, Effect::Tell(_))).count();
        let shown = play.world.picture(play.now).host.into_iter();
        (shown.map(|found| (found.kind, found.level)).collect(), told)
    }
}

fn disk(free: u64, size: u64, inodes_free: u64) -> Disk {
    Disk {
        what: "the engine's data".to_owned(),
        path: "/var/lib/docker".to_owned(),
        holds_containers: true,
        free,
        size,
        inodes_free,
        inodes: 1000,
    }
}

#[test]
fn a_disk_is_told_once_and_taken_back_when_it_is_better() {
    let mut host = Host::new();
    let mut free = |mib: u64| host.read(|r| r.disks = vec![disk(mib << 20, 10 * GIB, 500)]);
    let of = |level| vec![("disk".to_owned(), level)];
    assert_eq!(free(5000), (vec![], 0));
    assert_eq!(free(1000), (of(Level::Note), 1));
    assert_eq!(
        free(1100),
        (of(Level::Note), 0),
        "on the bound it is not taken back"
    );
    assert_eq!(free(200), (of(Level::Bad), 1));
    assert_eq!(free(400), (of(Level::Bad), 0));
    assert_eq!(free(700), (of(Level::Note), 1));
    assert_eq!(free(1300), (vec![], 1));
    // Of a large one a few percent are much.
    let large = host.read(|r| r.disks = vec![disk(100 * GIB, 10_000 * GIB, 500)]);
    assert_eq!(large, (vec![], 0));
    let inodes = host.read(|r| r.disks = vec![disk(5 * GIB, 10 * GIB, 10)]);
    assert_eq!(inodes, (vec![("inodes".to_owned(), Level::Bad)], 1));
    assert!(!host.0.world.picture(host.0.now).is_well());
    let none = Disk {
        inodes: 0,
        ..disk(5 * GIB, 10 * GIB, 0)
    };
    let other = Disk {
        path: "/btrfs".to_owned(),
        ..none
    };
    assert_eq!(host.read(|r| r.disks = vec![other]).1, 0);
}

#[test]
fn who_takes_what_is_short_is_named_and_not_asked_for_all_the_time() {
    let taker = |what: &str, mib: u64, all| Taker {
        what: what.to_owned(),
        bytes: mib << 20,
        all,
    };
    let mut host = Host::new();
    let asked = |host: &mut Host, free: u64, pressure: f64| {
        host.0.now = host.0.now.plus(Duration::from_secs(5));
        host.1 += 5_000;
        let reading = Reading {
            wall: host.1,
            disks: vec![disk(free, 100 * GIB, 100)],
            memory: Some(pressure),
            ..Reading::default()
        };
        host.0.event(Event::Host(Box::new(reading)));
        let effects = std::mem::take(&mut host.0.effects).into_iter();
        let asked = effects.filter_map(|effect| match effect {
            Effect::Blame { shortage } => Some(shortage),
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut host, 50 * GIB, 1.0), []);
    assert_eq!(asked(&mut host, 5 * GIB, 1.0), [Shortage::Disk]);
    let takers = vec![
        taker("the log of web", 900, true),
        taker("what db wrote into itself", 12, true),
        taker("the volume data of db", 20 * 1024, false),
        taker("the log of db", 1, true),
    ];
    let shortage = Shortage::Disk;
    let named = "most is taken by the volume data of db (at least 20 GiB), the log of web (900 MiB), what db wrote into itself (12 MiB)";
    for told in [1, 0] {
        let takers = takers.clone();
        host.0.event(Event::Blamed { shortage, takers });
        let effects = std::mem::take(&mut host.0.effects);
        let tells = |e: &&Effect| matches!(e, Effect::Tell(note) if note.text == named && note.kind == "disk");
        assert_eq!(effects.iter().filter(tells).count(), told);
    }
    let shown = |host: &Host| {
        let found = host.0.world.picture(host.0.now).host;
        found.iter().filter(|f| f.text.contains(named)).count()
    };
    assert_eq!(shown(&host), 1);
    // Memory is a matter of its own, and what is short for long is looked at each minute.
    assert_eq!(asked(&mut host, 5 * GIB, 15.0), []);
    assert_eq!(asked(&mut host, 5 * GIB, 15.0), [Shortage::Memory]);
    let again = (0..24).flat_map(|_| asked(&mut host, 5 * GIB, 15.0));
    assert_eq!(again.count(), 4);
    // Better: nobody is named any more, whatever comes late.
    assert_eq!(asked(&mut host, 50 * GIB, 1.0), []);
    host.0.event(Event::Blamed { shortage, takers });
    assert_eq!(shown(&host), 0);
    assert_eq!(asked(&mut host, 5 * GIB, 1.0), [Shortage::Disk]);
}

#[test]
fn memory_has_to_be_short_for_more_than_a_moment() {
    let mut host = Host::new();
    let mut pressure = |p: f64| host.read(|r| r.memory = Some(p));
    let of = |level| vec![("memory".to_owned(), level)];
    assert_eq!(pressure(15.0), (vec![], 0));
    assert_eq!(pressure(2.0), (vec![], 0));
    assert_eq!(pressure(15.0), (vec![], 0));
    assert_eq!(pressure(15.0), (of(Level::Note), 1));
    for _ in 0..4 {
        assert_eq!(pressure(7.0), (of(Level::Note), 0), "not better enough");
    }
    pressure(60.0);
    assert_eq!(pressure(60.0), (of(Level::Bad), 1));
    pressure(1.0);
    assert_eq!(pressure(1.0), (vec![], 1));
}

#[test]
fn an_engine_that_hangs_and_a_clock_that_jumps_are_noticed() {
    let mut host = Host::new();
    let mut took = |millis| host.read(|r| r.engine = millis);
    let after = |millis| Some(Duration::from_millis(millis));
    let of = |level| vec![("engine".to_owned(), level)];
    assert_eq!(took(after(2_500)), (vec![], 0));
    assert_eq!(took(after(4_000)), (of(Level::Note), 1));
    assert_eq!(took(after(12_000)), (of(Level::Bad), 1));
    assert_eq!(took(after(17_000)), (of(Level::Bad), 0));
    assert_eq!(took(after(30)), (vec![], 1));
    took(after(12_000));
    assert_eq!(
        took(None),
        (vec![], 0),
        "it is gone, which is said elsewhere"
    );

    let of = vec![("clock".to_owned(), Level::Note)];
    assert_eq!(host.read(|_| {}), (vec![], 0));
    assert_eq!(host.read(|r| r.wall -= 3_600_000), (of.clone(), 1));
    assert_eq!(
        host.read(|r| r.wall += 2_000),
        (of.clone(), 0),
        "a correction"
    );
    assert_eq!(host.read(|r| r.wall += 60_000), (of, 1));
    for _ in 0..120 {
        host.read(|_| {});
    }
    assert_eq!(host.read(|_| {}), (vec![], 0));
}

#[test]
fn another_healer_is_named_as_long_as_it_runs() {
    let mut other = facts("nurse", Policy::Always);
    other.image = "registry.lan/willfarrell/autoheal:1.2@sha256:0".to_owned();
    let mut like = facts("mine", Policy::Always);
    like.image = "me/my-autoheal-thing".to_owned();
    let mut play = Play::with(vec![other, like]);
    let shown = |play: &Play| play.world.picture(play.now).host;
    let found = shown(&play);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].text.contains("nurse (registry.lan"), "{found:?}");
    assert_eq!(
        (found[0].kind.as_str(), found[0].level),
        ("healer", Level::Note)
    );
    play.on("nurse", What::Kill { signal: 15 })
        .on("nurse", What::Die { code: 0 });
    assert_eq!(shown(&play), []);
}

#[test]
fn what_the_kernel_kills_for_want_of_memory_is_told_though_the_container_goes_on() {
    let mut play = Play::with(vec![facts("db", Policy::No)]);
    let told = |play: &mut Play| -> Vec<(String, bool)> {
        let effects = std::mem::take(&mut play.effects);
        let notes = effects.into_iter().filter_map(|effect| match effect {
            Effect::Tell(note) => Some((note.kind, note.text.contains("want of memory"))),
            _ => None,
        });
        notes.collect()
    };
    let said = |kind: &str, memory| (kind.to_owned(), memory);
    play.on("db", What::Oom).on("db", What::Oom);
    assert_eq!(told(&mut play), [said("oom", true)]);
    // Each minute anew, while it goes on.
    play.wait(61).on("db", What::Oom);
    assert_eq!(told(&mut play), [said("oom", true)]);
    // What ends right then ended of it, what ends later did not.
    play.on("db", What::Die { code: 137 }).patience();
    assert_eq!(told(&mut play)[0], said("died", true));
    play.on("db", What::Start).did("db", Did::Started);
    play.on("db", What::Oom).wait(60);
    told(&mut play);
    play.on("db", What::Die { code: 1 }).patience();
    assert_eq!(told(&mut play)[0], said("died", false));
}
