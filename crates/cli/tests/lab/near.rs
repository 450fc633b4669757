//! What is kept near of a vault on a server: how many requests it spares, and what becomes of it.

use lifeboat_testkit::server::{RestOptions, RestServer};

use crate::{
    stores::Remote,
    support::Lab,
    tiny::{noise, says, stdout},
};

/// Requests that were made since the last look.
struct Requests {
    log: std::path::PathBuf,
    seen: usize,
}

impl Requests {
    fn since(&mut self) -> usize {
        let log = fs_err::read_to_string(&self.log).unwrap();
        let all = log.lines().filter(|line| line.contains("HTTP/")).count();
        let new = all - self.seen;
        self.seen = all;
        new
    }
}

#[test]
fn near_what_is_kept_spares_most_requests() {
    let lab = Lab::new();
    let dir = lab.path("rest");
    let server = RestServer::start(&dir, RestOptions::default()).unwrap();
    let remote = Remote::rest(&lab, &server);
    remote.init();
    let data = lab.path("data");
    for n in 0..40_u64 {
        let dir = data.join(format!("d{n}"));
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::write(dir.join("file"), noise(3000, n)).unwrap();
    }
    let path = data.to_str().unwrap();
    for n in 0..6_u64 {
        fs_err::write(data.join("changed"), noise(2000, 100 + n)).unwrap();
        remote.run(None, &["--no-cache", "backup", "--path", path], 0);
    }
    let mut requests = Requests {
        log: dir.join("log"),
        seen: 0,
    };
    requests.since();
    let mut figures = Vec::new();
    for line in [
        &["ls", "latest", "--recursive"][..],
        &["backup", "--path", path],
        &["check", "--with-cache"],
        &["points"],
    ] {
        let without: Vec<&str> = match line[0] {
            "check" => vec!["check"],
            _ => line.iter().copied().chain(["--no-cache"]).collect(),
        };
        remote.run(None, &without, 0);
        let without = requests.since();
        remote.run(None, line, 0);
        let first = requests.since();
        remote.run(None, line, 0);
        figures.push((line[0], without, first, requests.since()));
    }
    println!("command, requests without, the first time, the second: {figures:?}");
    for (command, without, _, second) in &figures {
        assert!(second < without, "{command}: {figures:?}");
    }
    let (_, without, _, second) = figures[0];
    assert!(without > 3 * second, "{figures:?}");

    // What lies there is shown, and can go at any time.
    let cache = remote.json(None, &["cache"]);
    let vaults = cache["vaults"].as_array().unwrap();
    assert_eq!(vaults.len(), 1, "{cache}");
    assert!(vaults[0]["bytes"].as_u64().unwrap() > 0 && vaults[0]["old"] == false);
    remote.run(None, &["cache", "--cleanup"], 0);
    assert_eq!(remote.json(None, &["cache"])["vaults"][0]["old"], false);
    remote.run(None, &["cache", "--cleanup", "--max-age", "0"], 0);
    assert_eq!(
        remote.json(None, &["cache"])["vaults"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let listed = remote.run(None, &["ls", "latest", "--recursive"], 0);
    assert!(stdout(&listed).contains("d39/file"), "{}", stdout(&listed));
    remote.run(None, &["check", "--read-data"], 0);

    // Where none can be kept, it is said, and everything works.
    let nowhere = lab.path("file");
    fs_err::write(&nowhere, b"").unwrap();
    let nowhere = nowhere.join("cache");
    let output = remote.run(
        None,
        &["points", "--cache-dir", nowhere.to_str().unwrap()],
        0,
    );
    says(&output, &["nothing is kept near", "--no-cache"]);
}
