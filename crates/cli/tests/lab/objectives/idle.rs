//! What an idle agent costs: 50 apps of 200 containers, with a release build.
//!
//! `LIFEBOAT_TEST_PROGRAM` names the program; without it, the debug build that the tests are made with is measured and
//! nothing is claimed of it but that it stays small.

use std::time::{Duration, Instant};

use lifeboat_testkit::images;
use serde_json::json;

use super::{flood::used, within};
use crate::{support::Lab, tiny};

const APPS: usize = 50;
const EACH: usize = 4;
const WATCHED: Duration = Duration::from_secs(120);

#[test]
fn soak_idle_with_fifty_apps_of_two_hundred_containers() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    for number in 0..APPS {
        for member in 0..EACH {
            let name = format!("app{number}-part{member}-1");
            let body = json!({
                // One process that sleeps: what the containers themselves cost is none of this.
                "Cmd": ["sleep", "1000000"],
                "Labels": {
                    "com.docker.compose.project": format!("app{number}"),
                    "com.docker.compose.service": format!("part{member}"),
                    "com.docker.compose.container-number": "1",
                    "com.docker.compose.oneoff": "False",
                },
                "HostConfig": {
                    "NetworkMode": "none", "RestartPolicy": {"Name": "always"},
                    "Binds": if member == 0 { json!([format!("data{number}:/data")]) } else { json!([]) },
                },
            });
            tiny::create(&engine, &name, body);
            tiny::start(&engine, &name);
        }
    }
    let given = std::env::var_os("LIFEBOAT_TEST_PROGRAM");
    let mut command = lab.command(Some(&engine), &["agent"]);
    if let Some(program) = &given {
        let mut other = std::process::Command::new(program);
        other.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        command = other;
    }
    let log = fs_err::File::create(lab.path("agent.log")).unwrap();
    let mut agent = command.stderr(log.into_parts().0).spawn().unwrap();
    // All are captured once; then there is nothing to do for a day.
    within(Duration::from_secs(1_500), "a point of each", &lab, || {
        let mut points = lab.command(None, &["jobs", "-n", "1000", "-o", "json"]);
        let jobs: serde_json::Value =
            serde_json::from_slice(&points.output().unwrap().stdout).unwrap_or_default();
        let jobs = jobs.as_array().cloned().unwrap_or_default();
        let of_apps = jobs.iter().filter(|job| job["work"]["app"].is_string());
        let over = of_apps.filter(|job| job["state"] == "ended").count();
        over >= APPS && jobs.iter().all(|job| job["state"] == "ended")
    });
    std::thread::sleep(Duration::from_secs(10));
    let (began, (cpu, _)) = (Instant::now(), used(agent.id()));
    std::thread::sleep(WATCHED);
    let (after, memory) = used(agent.id());
    let share = 100.0 * (after - cpu) / began.elapsed().as_secs_f64();
    let peak = fs_err::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let peak = peak
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap()
        .to_owned();
    println!(
        "{APPS} apps, {} containers: {share:.2} % of a core, {memory:.1} MiB ({peak})",
        APPS * EACH
    );
    agent.kill().unwrap();
    agent.wait().unwrap();
    if given.is_some() {
        assert!(share < 1.0, "{share} % of a core");
        assert!(memory < 64.0, "{memory} MiB");
    }
}
