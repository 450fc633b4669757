//! Everything that a file system can hold, through the engine's archive; and an interruption anywhere.

use std::path::Path;

use lifeboat_testkit::oddities::{self, Ignore};

use super::{Elsewhere, ended, helpers, warnings};
use crate::support::{Lab, kill_at};
use crate::tiny::{self, IDLE};

/// What an archive cannot hold, and what is said of it.
const ALLOWED: [&str; 5] = [
    "special/socket",
    "times/file -86400 5",
    "times/link -86400 5",
    "user.empty",
    "= odd",
];

fn differences(a: &Path, b: &Path) -> Vec<String> {
    let ignore = Ignore {
        sockets: true,
        holes: true,
        ..Ignore::default()
    };
    oddities::compare(a, b, &ignore).unwrap()
}

/// A volume and a bind with everything, and many files, so that several streams are sent.
fn protect(lab: &Lab) {
    let engine = tiny::engine(lab, "a");
    let bind = lab.path("srv").join("odd");
    fs_err::create_dir_all(bind.parent().unwrap()).unwrap();
    let file = lab.path("srv").join("single.conf");
    fs_err::write(&file, "one file\n").unwrap();
    oddities::make(&bind, 3 << 20).unwrap();
    let binds = [
        "odd:/odd".to_owned(),
        "many:/many".to_owned(),
        format!("{}:/bind", bind.display()),
        format!("{}:/etc/single.conf", file.display()),
    ];
    let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
    tiny::run(&engine, "one", IDLE, &binds);
    let odd = engine.volume_path("odd").unwrap();
    fs_err::remove_dir(&odd).unwrap();
    oddities::make(&odd, 70 << 20).unwrap();
    let many = engine.volume_path("many").unwrap();
    for number in 0..4500 {
        let dir = many.join(format!("{}", number / 300));
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::write(dir.join(format!("{number}")), format!("{number}\n")).unwrap();
    }
    let socket = bind.join("special/socket");
    assert!(socket.exists());
    lab.run(Some(&engine), &["backup", "one"], 0);
    for (volume, keep) in [(&odd, "odd"), (&many, "many")] {
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a", "--sparse=always"]).arg(volume);
        assert!(copy.arg(lab.path(keep)).status().unwrap().success());
    }
    engine.destroy().unwrap();
    fs_err::rename(lab.path("srv"), lab.path("was")).unwrap();
}

fn check(lab: &Lab, far: &Elsewhere) {
    let pairs = [
        (lab.path("odd"), far.engine.volume_path("odd").unwrap()),
        (lab.path("many"), far.engine.volume_path("many").unwrap()),
        (lab.path("was/odd"), lab.path("srv/odd")),
    ];
    for (was, is) in pairs {
        let found = differences(&was, &is);
        let other = |line: &&String| !ALLOWED.iter().any(|allowed| line.contains(allowed));
        let other: Vec<&String> = found.iter().filter(other).collect();
        assert!(other.is_empty(), "{}: {other:#?}", is.display());
    }
    let single = fs_err::read_to_string(lab.path("srv/single.conf")).unwrap();
    assert_eq!(single, "one file\n");
    assert_eq!(helpers(&far.engine), Vec::<String>::new());
}

#[test]
fn all_that_an_archive_can_hold_comes_back_and_the_rest_is_said() {
    let lab = Lab::new();
    lab.init();
    protect(&lab);
    let far = Elsewhere::start(&lab, "b");
    let report = far.json(&lab, &["restore", "one"], 0);
    check(&lab, &far);
    let said = warnings(&report).join("\n");
    for words in [
        "volume odd: 1 socket(s) did not come back",
        "before 1970",
        "extended attribute(s) did not come back",
        "of zeros take up room",
        "too large to be read back from there: volume odd",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn killed_in_the_middle_of_a_stream_it_goes_on_and_ends_whole() {
    let lab = Lab::new();
    lab.init();
    protect(&lab);
    let far = Elsewhere::start(&lab, "b");
    for step in [
        "far-sent",
        "far-sent:2",
        "far-sent:2",
        "far-stream:40",
        "far-sent:2",
        "restore-containers",
    ] {
        kill_at(far.command(&lab, &["restore", "one"]), step);
    }
    let report = far.json(&lab, &["restore", "one"], 0);
    check(&lab, &far);
    // It went on: not everything was sent again.
    let bytes = report["bytes"].as_u64().unwrap();
    assert!(bytes < 10 << 20, "{bytes} bytes were sent again");
    ended(&mut far.command(&lab, &["restore", "one"]), 1);
}

#[test]
fn what_is_there_on_the_other_host_is_not_touched() {
    let lab = Lab::new();
    lab.init();
    protect(&lab);
    let far = Elsewhere::start(&lab, "b");
    fs_err::create_dir_all(lab.path("srv/odd")).unwrap();
    fs_err::write(lab.path("srv/odd/mine"), "mine\n").unwrap();
    let output = ended(&mut far.command(&lab, &["restore", "one"]), 1);
    tiny::says(&output, &["is there already", "nothing was changed"]);
    let own: Vec<String> = tiny::names(&far.engine);
    assert_eq!(own, Vec::<String>::new());
    let mine = fs_err::read_to_string(lab.path("srv/odd/mine")).unwrap();
    assert_eq!(mine, "mine\n");
}
