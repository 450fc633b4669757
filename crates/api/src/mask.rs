//! What only an admin sees is left out of texts for others: absolute paths of the host, and places of vaults.

pub mod definition;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

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

/// Put in the place of a secret.
pub const SECRET: &str = "(masked)";

/// A JSON document in which no text holds a path.
#[must_use]
pub fn value(all: bool, mut value: Value) -> Value {
    if !all {
        walk(&mut value, &mut |text| {
            if let Cow::Owned(masked) = paths(text) {
                *text = masked;
            }
        });
    }
    value
}

fn walk(value: &mut Value, each: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(all) => all.iter_mut().for_each(|one| walk(one, each)),
        Value::Object(all) => all.values_mut().for_each(|one| walk(one, each)),
        _ => {}
    }
}

/// A body of a request as it may be written down: passwords and values of variables are left out, and what is no JSON altogether.
#[must_use]
pub fn body(body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return format!("({} bytes that are no JSON)", body.len());
    };
    leave_out(&mut value);
    value.to_string()
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(leave_out),
        Value::Object(all) => {
            for (name, value) in all {
                match (name.as_str(), &mut *value) {
                    ("password", value) => *value = Value::from(SECRET),
                    ("env", Value::Object(variables)) => {
                        for value in variables.values_mut() {
                            *value = Value::from(SECRET);
                        }
                    }
                    (_, value) => leave_out(value),
                }
            }
        }
        _ => {}
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

    #[test]
    fn bodies_are_written_down_without_secrets() {
        let said = r#"{"password": "s3cret", "maps": {"env": {"KEY": "s3cret"}}, "app": "shop"}"#;
        let shown = body(said.as_bytes());
        assert!(
            !shown.contains("s3cret") && shown.contains("shop"),
            "{shown}"
        );
        let torn = r#"{"password": "s3cret""#;
        assert!(!body(torn.as_bytes()).contains("s3cret"));
        let document = serde_json::json!({"a": ["see /srv/x"], "b": {"c": "/y"}});
        let shown = value(false, document.clone());
        assert_eq!(
            shown,
            serde_json::json!({"a": ["see (path)"], "b": {"c": "(path)"}})
        );
        assert_eq!(value(true, document.clone()), document);
    }
}
