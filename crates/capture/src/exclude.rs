//! Patterns that leave files out (or, in a restore, take only some), as restic reads them.
//!
//! - `*`, `?` and `[…]` stay within one component, `**` as a component stands for any number.
//! - A pattern that begins with `/` is anchored ([`Anchor`] says where); any other matches at every
//!   depth.
//! - A directory that is left out is not entered, so everything below it is left out.
//! - `!pattern` takes back what an earlier pattern left out. The last one that matches decides.
//! - In files: one pattern a line, empty lines and lines that begin with `#` say nothing.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::{CaptureError, Result, sys};

/// Where a leading `/` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At the root of the host, as in `backup --exclude /var/tmp`.
    Host,
    /// At the root of what is captured or restored, as in a volume's label.
    Source,
}

#[derive(Debug, Clone)]
struct Rule {
    matcher: GlobMatcher,
    negated: bool,
    anchor: Anchor,
}

/// A list of patterns.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    rules: Vec<Rule>,
    patterns: Vec<String>,
}

impl Excludes {
    /// No pattern: nothing matches.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads patterns, one an item.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>, anchor: Anchor) -> Result<Self> {
        let mut out = Self::default();
        for pattern in patterns {
            out.rules.push(rule(pattern, anchor)?);
            out.patterns.push(pattern.to_owned());
        }
        Ok(out)
    }

    /// Reads the text of a pattern file.
    pub fn parse_file(text: &str, anchor: Anchor) -> Result<Self> {
        let lines = text.lines().map(str::trim);
        Self::parse(
            lines.filter(|l| !l.is_empty() && !l.starts_with('#')),
            anchor,
        )
    }

    /// These patterns, then those of `other`.
    #[must_use]
    pub fn and(mut self, other: &Excludes) -> Self {
        self.rules.extend(other.rules.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a file matches. `host` is its absolute path, `source` its path below the root of the
    /// capture, beginning with `/`.
    pub fn matches(&self, host: &[u8], source: &[u8]) -> bool {
        self.rules
            .iter()
            .rev()
            .find(|rule| {
                let path = match rule.anchor {
                    Anchor::Host => host,
                    Anchor::Source => source,
                };
                rule.matcher.is_match(sys::to_path(path))
            })
            .is_some_and(|rule| !rule.negated)
    }

    /// As [`Excludes::matches`], for a path inside the source alone.
    pub fn matches_inside(&self, source: impl AsRef<Path>) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let source = source.as_ref().as_os_str().as_bytes();
        self.matches(source, source)
    }
}

fn rule(pattern: &str, anchor: Anchor) -> Result<Rule> {
    let (negated, body) = match pattern.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let bad = |why: String| CaptureError::Pattern {
        pattern: pattern.to_owned(),
        why,
    };
    let body = body.strip_prefix("./").unwrap_or(body);
    let body = match body.trim_end_matches('/') {
        "" => return Err(bad("it names nothing, or everything".to_owned())),
        body => body,
    };
    // Braces are ordinary characters to restic.
    let body = body.replace('{', "\\{").replace('}', "\\}");
    let glob = if body.starts_with('/') {
        body
    } else {
        format!("**/{body}")
    };
    let glob = GlobBuilder::new(&glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|e| bad(e.kind().to_string()))?;
    Ok(Rule {
        matcher: glob.compile_matcher(),
        negated,
        anchor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], path: &str) -> bool {
        let set = Excludes::parse(patterns.iter().copied(), Anchor::Source).unwrap();
        set.matches(b"/nowhere", path.as_bytes())
    }

    #[test]
    fn patterns_match_as_restic_has_them() {
        for (patterns, path, expected) in [
            (&["*.tmp"][..], "/a/b/c.tmp", true),
            (&["*.tmp"], "/c.tmp", true),
            (&["*.tmp"], "/c.tmp/x", false),
            (&["cache"], "/a/cache", true),
            (&["cache/"], "/a/cache", true),
            (&["cache"], "/a/cached", false),
            (&["/cache"], "/cache", true),
            (&["/cache"], "/a/cache", false),
            (&["a/*/c"], "/x/a/b/c", true),
            (&["a/*/c"], "/x/a/b/b/c", false),
            (&["a/**/c"], "/x/a/b/b/c", true),
            (&["/a/**"], "/a/b/c", true),
            (&["/a/**"], "/a", false),
            (&["x{1,2}"], "/x{1,2}", true),
            (&["x{1,2}"], "/x1", false),
            (&["f[12]"], "/f2", true),
            (&["*.log", "!keep.log"], "/keep.log", false),
            (&["*.log", "!keep.log"], "/lose.log", true),
            (&["!keep.log", "*.log"], "/keep.log", true),
            (&[], "/a", false),
        ] {
            assert_eq!(matches(patterns, path), expected, "{patterns:?} on {path}");
        }
    }

    #[test]
    fn names_that_are_no_text_match_by_their_wildcards() {
        let set = Excludes::parse(["*.bin"], Anchor::Source).unwrap();
        assert!(set.matches(b"/h", b"/a\xff\xfe.bin"));
    }

    #[test]
    fn files_may_have_comments_and_anchors_differ() {
        let text = "# say\n\n  *.o  \n/var/tmp\n";
        let set = Excludes::parse_file(text, Anchor::Host).unwrap();
        assert_eq!(set.patterns(), ["*.o", "/var/tmp"]);
        assert!(set.matches(b"/var/tmp", b"/elsewhere"));
        assert!(!set.matches(b"/srv/var/tmp", b"/var/tmp"));
        assert!(Excludes::parse(["["], Anchor::Host).is_err());
        assert!(Excludes::parse(["/"], Anchor::Host).is_err());
    }
}
