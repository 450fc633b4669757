//! Memory while data goes through an engine's archive: bounded, whatever the size.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Elsewhere;
use crate::support::Lab;
use crate::tiny::{self, IDLE};

/// The goal of issue 4.
const BOUND_KIB: u64 = 128 << 10;

/// `LIFEBOAT_TEST_GIB=10` for the size that the goal names.
#[test]
fn soak_memory_is_bounded_while_data_goes_through_the_engine() {
    let gib: u64 = std::env::var("LIFEBOAT_TEST_GIB").map_or(1, |gib| gib.parse().unwrap());
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    tiny::run(&engine, "one", IDLE, &["data:/data"]);
    let data = engine.volume_path("data").unwrap();
    // One file of half the size, and small ones for the rest.
    let mut large = fs_err::File::create(data.join("large")).unwrap();
    for part in 0..gib * 16 {
        let noise = tiny::noise(32 << 20, part + 1);
        std::io::Write::write_all(&mut large, &noise).unwrap();
        let small = data.join(format!("part-{part}"));
        fs_err::create_dir(&small).unwrap();
        for (number, piece) in noise.chunks(64 << 10).enumerate() {
            // Other bytes than the large file's, or they would be one.
            let turned: Vec<u8> = piece.iter().rev().copied().collect();
            fs_err::write(small.join(number.to_string()), turned).unwrap();
        }
    }
    drop(large);
    lab.run(Some(&engine), &["backup", "one"], 0);
    engine.destroy().unwrap();
    let far = Elsewhere::start(&lab, "b");
    let mut command = far.command(&lab, &["restore", "one", "-q"]);
    let began = Instant::now();
    let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        let text = fs_err::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(now.unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert!(ended.success());
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{gib} GiB in {seconds:.1} s, at most {} MiB of memory",
        most >> 10
    );
    let there = far.engine.volume_path("data").unwrap();
    assert_eq!(
        fs_err::metadata(there.join("large")).unwrap().len(),
        gib << 29
    );
    assert!(most > 0 && most < BOUND_KIB, "{most} KiB");
}
