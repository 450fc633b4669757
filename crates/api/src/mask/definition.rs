//! Raw definitions without their secrets: values of variables, what looks like a credential in labels, options and arguments. Names
//! stay, so that one sees what is set.

use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

use super::SECRET;

/// Names of what is a secret, most likely. Rather one too many than one too few.
#[allow(clippy::expect_used, reason = "a constant, tried by a test")]
static SECRETIVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(pass|pwd|secret|token|credential|private|auth|apikey|api[-_.]key|access[-_.]?key|users$|dsn|webhook|license)",
    )
    .expect("the pattern is sound")
});
/// `user:password@` in an address, `Bearer …`, `$2y$…` and the like (hashes of passwords).
#[allow(clippy::expect_used, reason = "a constant, tried by a test")]
static INSIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(://[^/\s:@]*:)[^/\s@]+(@)|(bearer |basic )\S+|\$(?:2[aby]|apr1|[156y])\$\S+")
        .expect("the pattern is sound")
});
/// Where a command stands.
const COMMANDS: [&str; 7] = [
    "Cmd",
    "Entrypoint",
    "Args",
    "Path",
    "Test",
    "Shell",
    "OnBuild",
];
/// `-a`, `-p`: what clients of databases take passwords with.
const SHORT: [&str; 3] = ["-a", "-p", "-P"];

/// Takes secrets out; for others than admins (`all` is false) whole commands as well.
pub fn hide(value: &mut Value, all: bool) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, all)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::Array(variables) if name == "Env" => {
                        variables.iter_mut().for_each(variable)
                    }
                    value if COMMANDS.contains(&name.as_str()) => command(value, all),
                    Value::String(text) if SECRETIVE.is_match(name) && !text.is_empty() => {
                        SECRET.clone_into(text);
                    }
                    value => hide(value, all),
                }
            }
        }
        Value::String(text) => within(text),
        _ => {}
    }
}

/// `NAME=VALUE` keeps its name.
fn variable(value: &mut Value) {
    if let Value::String(text) = value {
        let name = text.split('=').next().unwrap_or_default();
        *text = format!("{name}={SECRET}");
    }
}

fn within(text: &mut String) {
    // Labels hold whole documents.
    if INSIDE.is_match(text) {
        *text = INSIDE
            .replace_all(text, format!("$1$3{SECRET}$2"))
            .into_owned();
    }
}

fn command(value: &mut Value, all: bool) {
    if !all && !value.is_null() {
        *value = Value::from(SECRET);
        return;
    }
    let words = match value {
        Value::Array(words) => words,
        Value::String(text) => return one(text),
        _ => return,
    };
    let mut hidden = false;
    for word in words {
        let Value::String(text) = word else { continue };
        if std::mem::take(&mut hidden) {
            SECRET.clone_into(text);
            continue;
        }
        let flag = text.starts_with('-') && !text.contains(['=', ' ']);
        hidden = flag && (SECRETIVE.is_match(text) || SHORT.contains(&text.as_str()));
        one(text);
    }
}

/// One argument, or a line for a shell.
fn one(text: &mut String) {
    within(text);
    let mut hidden = false;
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            if std::mem::take(&mut hidden) && !word.is_empty() {
                return SECRET.to_owned();
            }
            match word.split_once('=') {
                Some((name, _)) if SECRETIVE.is_match(name) => format!("{name}={SECRET}"),
                None if word.starts_with('-') && text.contains(' ') => {
                    hidden = SECRETIVE.is_match(word) || SHORT.contains(&word);
                    word.to_owned()
                }
                _ => word.to_owned(),
            }
        })
        .collect();
    *text = words.join(" ");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw() -> Value {
        json!({
            "Name": "/shop-db-1",
            "Path": "docker-entrypoint.sh",
            "Args": ["redis-server", "--requirepass", "s3cret", "--port=6379", "--token=s3cret"],
            "Config": {
                "Env": ["POSTGRES_PASSWORD=s3cret", "LANG=s3cret"],
                "Labels": {
                    "traefik.http.middlewares.a.basicauth.users": "ann:s3cret",
                    "backup.url": "https://ann:s3cret@far/x",
                    "hook": "Bearer s3cret",
                    "com.docker.compose.project": "shop",
                },
                "Healthcheck": {"Test": ["CMD-SHELL", "redis-cli -a s3cret ping && PGPASSWORD=s3cret psql"]},
                "Cmd": null,
            },
            "HostConfig": {"LogConfig": {"Config": {"splunk-token": "s3cret", "max-size": "1m"}}},
        })
    }

    #[test]
    fn no_secret_stays_and_names_do() {
        for all in [true, false] {
            let mut value = raw();
            hide(&mut value, all);
            let text = value.to_string();
            assert!(!text.contains("s3cret"), "{text}");
            for stays in [
                "POSTGRES_PASSWORD",
                "LANG",
                "shop-db-1",
                "splunk-token",
                "1m",
                "backup.url",
            ] {
                assert!(text.contains(stays), "{stays}: {text}");
            }
            assert_eq!(text.contains("requirepass"), all, "{text}");
            assert_eq!(text.contains("redis-cli"), all, "{text}");
        }
    }
}
