use super::*;

fn name(n: u8) -> ObjectName {
    ObjectName::new(Area::Data, &hex(n)).unwrap()
}

fn hex(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

/// Two clients that put, list and delete, each until it dies or has done enough.
fn history(seed: u64, weather: Weather) -> (Vec<String>, usize) {
    let simulation = Simulation::new(seed, weather);
    let work = |first: u8| {
        let store = simulation.client(&format!("client {first}"));
        Box::new(move || {
            for n in 0..20 {
                let _ = store.put(&name(first + n), &[n; 50]);
                let _ = store.list(Area::Data);
                if n % 3 == 0 {
                    let _ = store.delete(&name(first + n));
                }
            }
            store.is_dead()
        }) as Box<dyn FnOnce() -> bool + Send>
    };
    let died = simulation.run(vec![work(0), work(100)]);
    simulation.pass(Duration::from_secs(5));
    let left = simulation.inspector().list(Area::Data).unwrap().len();
    assert!(died.iter().all(Result::is_ok));
    (simulation.log(), left)
}

const STORM: Weather = Weather {
    failures: 100,
    unreadable: 20,
    twice: 50,
    crashes: 5,
    tears: true,
    stale: true,
    timeless: false,
    forgets: 0,
};

#[test]
fn a_seed_is_a_history() {
    for seed in 0..50 {
        assert_eq!(history(seed, STORM), history(seed, STORM), "{seed}");
    }
    assert_ne!(history(1, STORM), history(2, STORM));
}

#[test]
fn all_that_may_happen_happens() {
    let logs: Vec<String> = (0..50).flat_map(|seed| history(seed, STORM).0).collect();
    for what in [
        ": lost",
        "stored all the same",
        ": under way",
        ": torn",
        "arrives late",
        "dies putting",
        "fails to delete",
        "fails, yet deletes",
    ] {
        assert!(logs.iter().any(|line| line.contains(what)), "{what}");
    }
    let simulation = Simulation::new(1, STORM);
    let store = simulation.client("c");
    let stale = (0..200).any(|n| {
        let put = store.put(&name(n), b"x").is_ok();
        let listed = store.list(Area::Data).unwrap_or_default();
        put && !listed.iter().any(|object| object.name == name(n))
    });
    assert!(stale, "no listing was ever stale");
}

#[test]
fn in_calm_weather_it_is_a_store() {
    let calm = Weather::default();
    crate::conformance::run(&*Simulation::new(3, calm).client("c")).unwrap();
}
