//! Why a container does not come up, and what to do about it: one sentence.

use lifeboat_engine::Engine;
use serde_json::Value;

/// Log lines that are quoted.
const LINES: usize = 3;
/// Of each so many letters.
const LETTERS: usize = 160;

/// Looks at its state, its log and what the engine said. Never fails: what cannot be found out is not said.
pub(crate) fn diagnose(engine: &dyn Engine, id: &str, error: Option<&str>) -> String {
    let raw = engine.inspect_container(id).unwrap_or_default();
    let log = engine.log_tail(id, 30).unwrap_or_default();
    sentence(&raw, &log, error)
}

fn sentence(raw: &Value, log: &str, error: Option<&str>) -> String {
    let state = &raw["State"];
    let said = error
        .map(str::to_owned)
        .or_else(|| state["Error"].as_str().map(str::to_owned))
        .unwrap_or_default();
    let mut out = cause(state, &said, log);
    let lines: Vec<String> = log
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.chars()
                .filter(|c| !c.is_control())
                .take(LETTERS)
                .collect()
        })
        .collect();
    if !lines.is_empty() {
        let last = lines[lines.len().saturating_sub(LINES)..].join(" / ");
        out.push_str(&format!("; its last words: {last}"));
    }
    out
}

/// The likeliest cause with what to do.
fn cause(state: &Value, said: &str, log: &str) -> String {
    let lower = said.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["port is already allocated", "address already in use"]) {
        let port = said
            .split("0.0.0.0:")
            .nth(1)
            .and_then(|rest| rest.split([' ', ':']).next());
        let port = port.map(|port| format!(" {port}")).unwrap_or_default();
        return format!(
            "a port{port} that it publishes is taken by another program: find it with `ss -ltnp`, or publish another one"
        );
    }
    if says(&["no such image", "pull access denied", "manifest unknown"]) {
        return "its image is not on the engine: pull it, or bring it back with `lifeboat restore APP --images`".to_owned();
    }
    if says(&[
        "bind source path does not exist",
        "no such file or directory",
        "is not there",
        "not a directory",
    ]) {
        return format!(
            "something that it mounts or runs is missing ({said}): mount or restore it first"
        );
    }
    if says(&["no space left"]) {
        return "the disk is full: `docker system df` and `df -h` say of what".to_owned();
    }
    if says(&["executable file not found", "permission denied"]) {
        return format!("its command cannot be run ({said}): look at its command and the image");
    }
    if !said.is_empty() {
        return said.to_owned();
    }
    let tail = log.to_lowercase();
    if state["OOMKilled"] == true {
        return "it needed more memory than it may have, and the kernel killed it (out of memory): give it more with `mem_limit`, or find what takes it".to_owned();
    }
    if tail.contains("no space left on device") {
        return "the disk is full: `docker system df` and `df -h` say of what".to_owned();
    }
    match state["ExitCode"].as_i64().unwrap_or(0) {
        137 => "it was killed by SIGKILL: by the kernel for want of memory on the host (see `dmesg`), or by a program".to_owned(),
        139 => "it crashed with a segmentation fault: a fault of the program, or an image for another processor".to_owned(),
        126 => "its command cannot be run (exit code 126): look at its command and the image's permissions".to_owned(),
        127 => "its command was not found (exit code 127): look at its command and the image".to_owned(),
        0 => "it ends with exit code 0 right after its start: its command does not stay in the foreground".to_owned(),
        code => format!("it ends with exit code {code}: its log says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_cause_has_its_sentence() {
        let none = json!({"State": {}});
        for (raw, log, error, word) in [
            (
                &none,
                "",
                Some("driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated"),
                "port 8080",
            ),
            (
                &none,
                "",
                Some("invalid mount config: bind source path does not exist: /srv/x"),
                "/srv/x",
            ),
            (&none, "", Some("No such image: a:1"), "pull it"),
            (
                &json!({"State": {"OOMKilled": true, "ExitCode": 137}}),
                "",
                None,
                "out of memory",
            ),
            (
                &json!({"State": {"ExitCode": 139}}),
                "",
                None,
                "segmentation",
            ),
            (
                &json!({"State": {"ExitCode": 1}}),
                "a\nfatal: no config\n",
                None,
                "its last words: a / fatal: no config",
            ),
            (
                &json!({"State": {"ExitCode": 1}}),
                "write: No space left on device",
                None,
                "disk is full",
            ),
        ] {
            let told = sentence(raw, log, error);
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}
