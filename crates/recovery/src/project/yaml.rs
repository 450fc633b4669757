//! One compose file as plain values, bounded: by its size, by how deep it nests and by what its
//! aliases come to. What is wrong with it is said by place, never by content: it may hold secrets.

use std::{io::Read, path::Path};

use serde_json::Value;

/// No compose file, and no env file, is larger.
const MAX_FILE: u64 = 2 << 20;

/// The text of a small file, or why there is none.
pub fn text(path: &Path) -> Result<String, String> {
    // A pipe or device would never end, or never begin.
    let meta = fs_err::metadata(path).map_err(|e| e.kind().to_string())?;
    if !meta.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = String::new();
    let read = fs_err::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => "it is no text".to_owned(),
            kind => kind.to_string(),
        })?;
    if read as u64 > MAX_FILE {
        return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
    }
    Ok(text)
}

/// All documents of a file; usually one.
pub fn documents(path: &Path) -> Result<Vec<Value>, String> {
    parse(&text(path)?)
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 64,
            max_depth: 64,
            max_nodes: 100_000,
            max_aliases: 10_000,
            max_recorded_anchor_events: 100_000,
            max_merge_keys: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 32,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<Value>(text, options).map_err(|e| {
        match e.location() {
            Some(at) => format!(
                "it is no YAML that can be read, at line {}, column {}",
                at.line(),
                at.column()
            ),
            None => "it is no YAML that can be read".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compose_files_use() {
        let text = "x-base: &base {env_file: a.env, n: 1}\nservices:\n  web:\n    <<: *base\n    ports: [80:80, 0x10]\n    environment: !override\n      ON: yes\n      8080: .inf\n    gone: !reset null\n---\nsecond: true\n";
        let documents = parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        let web = &documents[0]["services"]["web"];
        assert_eq!(web["env_file"], "a.env");
        assert_eq!(web["ports"][0], "80:80");
        assert!(web["gone"].is_null());
    }

    #[test]
    fn bombs_and_broken_files_are_sentences_without_content() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for at in 1..12 {
            let below = at - 1;
            let list = vec![format!("*a{below}"); 10].join(", ");
            bomb.push_str(&format!("a{at}: &a{at} [{list}]\n"));
        }
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for text in [
            bomb.as_str(),
            deep.as_str(),
            "password: \"hunter2\nservices: [",
            "a: b: hunter2\n",
            "a: *none\n",
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with("it is no YAML"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn large_files_and_folders_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(text(dir.path()).unwrap_err(), "it is no file");
        let large = dir.path().join("large");
        let file = fs_err::File::create(&large).unwrap();
        file.set_len(MAX_FILE + 1).unwrap();
        assert!(text(&large).unwrap_err().contains("larger"));
        fs_err::write(dir.path().join("binary"), b"\xff\xfe\xff").unwrap();
        assert!(documents(&dir.path().join("binary")).is_err());
    }
}
