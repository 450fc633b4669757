//! The book's command reference is what the program itself says.
//!
//! After a change of commands or options it is written anew by
//! `LIFEBOAT_WRITE_REFERENCE=1 cargo test -p lifeboat-cli --test it reference`.

use std::{fmt::Write, path::Path};

use crate::host::{Host, stdout};

const HEAD: &str = "\
# Command reference

From the program's own `--help`. `lifeboat man DIR` writes manual pages, `lifeboat completion SHELL` prints a completion script.
";

#[test]
fn the_command_reference_is_what_the_program_says() {
    let host = Host::new();
    let mut page = HEAD.to_owned();
    section(&host, &[], &mut page);
    page.push_str("\nThe options that all commands have are in the first block.\n");

    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/commands.md");
    if std::env::var_os("LIFEBOAT_WRITE_REFERENCE").is_some() {
        fs_err::write(&book, &page).unwrap();
    }
    let written = fs_err::read_to_string(&book).unwrap();
    let differs = written.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(
        written == page,
        "docs/src/commands.md is not what the program says (first: {differs:?}); write it anew with \
         LIFEBOAT_WRITE_REFERENCE=1 cargo test -p lifeboat-cli --test it reference"
    );
}

/// Adds a command's help and that of the commands under it.
fn section(host: &Host, command: &[&str], page: &mut String) {
    let help = stdout(
        &host
            .lifeboat()
            .args(command)
            .arg("--help")
            .assert()
            .success(),
    );
    let below = subcommands(&help);
    // Of a command that only holds others, those say all there is to say.
    if command.is_empty() || below.is_empty() {
        if !command.is_empty() {
            write!(page, "\n## lifeboat {}\n", command.join(" ")).unwrap();
        }
        let own = match command {
            [] => help.clone(),
            _ => without_global_options(&help),
        };
        write!(page, "\n```text\n{}\n```\n", own.trim_end()).unwrap();
    }
    for name in below {
        section(host, &[command, &[name.as_str()]].concat(), page);
    }
    if command.is_empty() {
        // Hidden among the commands: packagers look for it, others do not.
        section(host, &["man"], page);
    }
}

fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Not what goes on in the next line.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// They would be the same under each command, as `-h` and `-V` are. What stands behind them
/// (examples) is kept.
fn without_global_options(help: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut skipped = false;
    for paragraph in help.split("\n\n") {
        // A title and its first option are one paragraph.
        let body = paragraph.strip_prefix("Options:\n").unwrap_or(paragraph);
        if body.starts_with("  -h, --help") || body.starts_with("  -V, --version") {
            continue;
        }
        if !paragraph.starts_with(' ') {
            skipped = paragraph.starts_with("Global options:");
        }
        if !skipped {
            kept.push(paragraph);
        }
    }
    kept.join("\n\n")
}
