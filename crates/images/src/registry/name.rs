//! Names of repositories and tags, as the distribution specification has them ("Pulling manifests"). A name that is none
//! is refused before it becomes part of a path or of a URL.

/// Longest name of a repository: what registries take together with a host.
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;

/// Whether this is the name of a repository: parts of `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` between slashes.
#[must_use]
pub fn is_repository(name: &str) -> bool {
    name.len() <= MAX_NAME && name.split('/').all(is_component)
}

fn is_component(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between = |separator: &str| {
        matches!(separator, "." | "_" | "__")
            || (!separator.is_empty() && separator.bytes().all(|b| b == b'-'))
    };
    let mut rest = part;
    loop {
        let Some(after_word) = rest.strip_prefix(is_word) else {
            return false;
        };
        rest = after_word.trim_start_matches(is_word);
        let word = rest.find(is_word).unwrap_or(rest.len());
        if rest.is_empty() {
            return true;
        }
        if !between(&rest[..word]) {
            return false;
        }
        rest = &rest[word..];
    }
}

/// Whether this is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let is_first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_later = |b: u8| is_first(b) || matches!(b, b'.' | b'-');
    tag.len() <= MAX_TAG && tag.bytes().next().is_some_and(is_first) && tag.bytes().all(is_later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for name in [
            "a",
            "team/app",
            "a.b",
            "a_b",
            "a__b",
            "a---b",
            "0/1/2",
            "library/postgres",
        ] {
            assert!(is_repository(name), "{name}");
        }
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "..", "a/../b", "a..b", "a___b", "-a", "a-", "a.",
            "a-.b", "a b", "ä", "a%2e",
        ] {
            assert!(!is_repository(name), "{name}");
        }
        assert!(is_repository(&"a".repeat(255)) && !is_repository(&"a".repeat(256)));
    }

    #[test]
    fn tags() {
        for tag in ["latest", "1.0", "_x", "V1-rc.2", &"a".repeat(128)] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", ".", "..", "-a", ".a", "a/b", "a:b", &"a".repeat(129)] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
