//! Which program a container runs, as far as its definition tells.
//!
//! Only words in the place of a command count: `psql -U postgres` runs no server. What the image's
//! own start does is not seen; it counts as "the image's default" where nobody put another in place.

use serde_json::Value;

use crate::inventory::{Container, Inventory};

/// What a container runs.
pub(super) struct Command {
    /// Programs that stand where a program is started, by base name, the outermost first.
    pub programs: Vec<String>,
    /// The image decides what runs: nobody put another command in place, or only options.
    pub is_default: bool,
}

/// Programs that start another one, which follows; `docker-entrypoint.sh` and its like as well.
const WRAPPERS: &[&str] = &[
    "docker-init",
    "docker-ensure-initdb.sh",
    "launch_sqlservr.sh",
    "permissions_check.sh",
    "tini",
    "dumb-init",
    "catatonit",
    "env",
    "exec",
    "nice",
    "ionice",
    "nohup",
    "numactl",
    "setpriv",
    "stdbuf",
    "time",
];

/// The same, with a user's name before it.
const AS_USER: &[&str] = &[
    "gosu",
    "su-exec",
    "setuidgid",
    "s6-setuidgid",
    "chpst",
    "runuser",
    "su",
];

const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "busybox"];

/// Scripts nested in scripts.
const MAX_DEPTH: usize = 8;

pub(super) fn command(c: &Container, inventory: &Inventory) -> Command {
    let config = &c.raw["Config"];
    let words: Vec<&str> = match c.raw["Path"].as_str() {
        Some(path) if !path.is_empty() => {
            std::iter::once(path).chain(list(&c.raw["Args"])).collect()
        }
        _ => list(&config["Entrypoint"])
            .chain(list(&config["Cmd"]))
            .collect(),
    };
    let mut programs = Vec::new();
    find(&words, 0, &mut programs);
    let image = inventory.images.iter().find(|i| i.id == c.image_id);
    let same = |key: &str| {
        image.is_some_and(|image| list(&config[key]).eq(list(&image.raw["Config"][key])))
    };
    // Options alone are for the image's own entry point, which puts its program before them.
    let options_only = list(&config["Cmd"])
        .next()
        .is_none_or(|w| w.starts_with('-'));
    let by_image = same("Entrypoint") && (same("Cmd") || options_only);
    // Of an image that the engine lists no more the default is not known.
    let unknown = image.is_none() && options_only;
    let is_shell = programs.iter().any(|p| SHELLS.contains(&p.as_str()));
    Command {
        is_default: (by_image || unknown || words.is_empty()) && !is_shell,
        programs,
    }
}

/// Adds the programs that a list of words starts.
fn find(words: &[&str], depth: usize, programs: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut rest = words.iter().copied().peekable();
    // `NAME=value` before a command, and options and `--` after a wrapper.
    let mut skip_options = false;
    while let Some(word) = rest.next() {
        let is_option = skip_options && word.starts_with('-');
        if is_option || is_assignment(word) {
            continue;
        }
        let name = word.rsplit('/').next().unwrap_or(word);
        programs.push(name.to_owned());
        if SHELLS.contains(&name) {
            let tail: Vec<&str> = rest.collect();
            return shell(&tail, depth, programs);
        }
        if AS_USER.contains(&name) {
            while rest.peek().is_some_and(|w| w.starts_with('-')) {
                rest.next();
            }
            rest.next();
        } else if !WRAPPERS.contains(&name) && !name.contains("entrypoint") {
            return;
        }
        skip_options = true;
    }
}

/// `sh -c SCRIPT`, `sh script args`: what the script starts, or the script itself.
fn shell(words: &[&str], depth: usize, programs: &mut Vec<String>) {
    let mut is_script = false;
    for (at, word) in words.iter().enumerate() {
        if is_script {
            for part in word.split(['\n', ';', '&', '|', '(', ')', '{', '}']) {
                let words: Vec<&str> = part
                    .split_whitespace()
                    .map(|w| w.trim_matches(['"', '\'']))
                    .skip_while(|w| {
                        matches!(*w, "if" | "then" | "else" | "do" | "while" | "until" | "!")
                    })
                    .collect();
                find(&words, depth + 1, programs);
            }
            return;
        }
        if word.starts_with('-') && !word.starts_with("--") {
            is_script = word.contains('c');
        } else if !word.starts_with('-') {
            return find(words.get(at..).unwrap_or_default(), depth + 1, programs);
        }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .chars()
                .all(|ch| ch == '_' || ch.is_ascii_alphanumeric())
    })
}

/// A list of words; one text as one word.
fn list(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .chain(value.is_string().then_some(value))
        .filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(words: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        find(words, 0, &mut found);
        found
    }

    #[test]
    fn only_words_in_the_place_of_a_command_count() {
        let has = |words: &[&str], name: &str| programs(words).iter().any(|p| p == name);
        for words in [
            &["postgres", "-D", "/x"][..],
            &["/usr/lib/postgresql/16/bin/postgres"],
            &["docker-entrypoint.sh", "postgres", "-c", "x=1"],
            &["tini", "-g", "--", "docker-entrypoint.sh", "postgres"],
            &["/opt/custom-entrypoint.sh", "postgres"],
            &["gosu", "postgres", "postgres", "-D", "/x"],
            &["env", "A=b", "postgres"],
            &["sh", "-c", "mkdir -p /x && exec postgres -D /x"],
            &["bash", "-ec", "until false; do A=1 postgres; done"],
            &[
                "docker-entrypoint.sh",
                "sh",
                "-c",
                "exec gosu postgres postgres",
            ],
        ] {
            assert!(has(words, "postgres"), "{words:?}");
        }
        for words in [
            &["psql", "-U", "postgres"][..],
            &["sh", "-c", "pg_dump -U postgres postgres > /x"],
            &["docker-entrypoint.sh", "pg_dumpall", "-U", "postgres"],
            &["worker", "--database", "postgres"],
            &["gosu", "postgres", "pg_dump"],
            &["bash", "/work/run.sh", "postgres"],
            &[],
        ] {
            assert!(!has(words, "postgres"), "{words:?}");
        }
    }
}
