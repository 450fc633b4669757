//! What only an admin sees is left out of texts for others: absolute paths of the host, and places of vaults.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_lite::Regex;

/// Put in the place of what is left out.
const OUT: &str = "(path)";

/// A path begins at the beginning of a word; what stands before it stays.
#[allow(clippy::expect_used, reason = "a constant, tried by a test")]
static PATHS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(^|[\s"'`(\[{<=:,;])(/[^\s"'`)\]}>,;]+)"#).expect("the pattern is sound")
});

/// The text without paths.
#[must_use]
pub fn paths(text: &str) -> Cow<'_, str> {
    PATHS.replace_all(text, |found: &regex_lite::Captures<'_>| {
        format!("{}{OUT}", &found[1])
    })
}

/// The same, unless somebody may see all.
#[must_use]
pub fn unless(all: bool, text: &str) -> String {
    if all {
        text.to_owned()
    } else {
        paths(text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_places_are_left_out_and_names_of_apps_stay() {
        for (text, shown) in [
            (
                "cannot read /srv/shop/db: denied",
                "cannot read (path) denied",
            ),
            (
                "`/etc/x` and sftp:me@far:/vault",
                "`(path)` and sftp:me@far:(path)",
            ),
            ("/var/lib", "(path)"),
            ("default/lab/shop: copy 3/4", "default/lab/shop: copy 3/4"),
            ("a / b", "a / b"),
        ] {
            assert_eq!(paths(text), shown);
        }
        assert_eq!(unless(true, "/x"), "/x");
    }
}
