//! The developer's commands against real engines. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

mod package;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The program that was built with this: `cargo xtask test` builds the whole workspace.
fn lifeboat() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("lifeboat");
    assert!(
        beside.is_file(),
        "{} is missing: run `cargo build -p lifeboat-cli`",
        beside.display()
    );
    beside
}

/// Commands of the book's first page: program and options, without the places that a person chooses.
fn on_the_page() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/first-two-minutes.md");
    let page = fs_err::read_to_string(page).unwrap();
    let commands = page
        .lines()
        .filter_map(|line| line.strip_prefix("# lifeboat "));
    let commands: Vec<String> = commands.map(without_places).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    commands
}

fn without_places(command: &str) -> String {
    let words = command.split(' ').map(|word| match word.starts_with('/') {
        true => "PLACE",
        false => word,
    });
    words
        .filter(|word| *word != "--yes")
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a command is to say, beside that it ends well.
const SAYS: &[(&str, &[&str])] = &[
    ("apps", &["APP", "shop"]),
    ("apps shop", &["shop_pgdata", "volume"]),
    ("init", &["vault", "sheet"]),
    (
        "backup --all",
        &["restore with: lifeboat restore shop@", "stall"],
    ),
    (
        "restore shop --as shop-try",
        &[
            "is up as shop-try, beside the original, from point",
            "done: ",
            "RTO ",
            "probes: shop-try-",
            "Differs from the original",
            "`lifeboat rm shop-try` takes it away again",
        ],
    ),
    ("rm shop-try", &["shop-try"]),
    ("points", &["shop", "2 points"]),
    ("ls shop", &["app.json", "volumes"]),
    (
        "restore shop --target",
        &["restored from", "written and checked"],
    ),
    ("check --read-data", &["every byte was read"]),
];

#[test]
fn the_first_run_is_every_command_of_the_books_first_page() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["demo", "first-run", "--program"])
        .arg(lifeboat())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{out}\n{err}");
    // One piece for each command: itself, and what it said.
    let pieces: Vec<(&str, &str)> = out
        .split("\n$ lifeboat ")
        .skip(1)
        .map(|piece| piece.split_once('\n').unwrap())
        .collect();
    let ran: Vec<String> = pieces.iter().map(|(c, _)| without_places(c)).collect();
    assert_eq!(ran, on_the_page(), "{out}");
    assert_eq!(pieces.len(), SAYS.len());
    for ((command, said), (begins, words)) in pieces.iter().zip(SAYS) {
        assert!(command.starts_with(begins), "{command}");
        for word in *words {
            assert!(said.contains(word), "no `{word}` from {command}: {said}");
        }
    }
    for word in [
        "its web front says: ",
        "from within it the original cannot be reached",
        "requests meanwhile and failed none",
    ] {
        assert!(out.contains(word), "no `{word}`: {out}");
    }
    // What it made is gone.
    let left = fs_err::read_dir("/tmp").unwrap().flatten();
    let left = left.map(|e| e.file_name().to_string_lossy().into_owned());
    let own = out
        .lines()
        .find_map(|line| line.split("/tmp/lifeboat-").nth(1));
    let own = own.map(|rest| rest.split('/').next().unwrap_or_default().to_owned());
    let own = format!("lifeboat-{}", own.unwrap());
    assert!(!left.into_iter().any(|name| name == own), "{own} is left");
}
