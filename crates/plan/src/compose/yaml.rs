//! YAML out of plain values: block style, keys in their order, every string in a form that no reader
//! of YAML 1.1 or 1.2 takes for anything else. Only what a compose file needs.

use serde_json::Value;

/// The text of a document. In a compose file `$` begins a variable, so it is doubled in values.
#[must_use]
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                indent(depth, out);
                out.push_str(&string(key));
                out.push(':');
                below(value, depth, out);
            }
        }
        Value::Array(list) => {
            for value in list {
                indent(depth, out);
                out.push('-');
                item(value, depth, out);
            }
        }
        scalar => {
            indent(depth, out);
            out.push_str(&scalar_text(scalar));
            out.push('\n');
        }
    }
}

/// What stands after `key:`.
fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(value, depth + 1, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            block(value, depth + 1, out);
        }
        flat => {
            out.push(' ');
            out.push_str(&scalar_text(flat));
            out.push('\n');
        }
    }
}

/// What stands after `-`: the first line of a map beside it, the rest below.
fn item(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut text = String::new();
            block(value, depth + 1, &mut text);
            out.push(' ');
            out.push_str(text.trim_start_matches(' '));
        }
        nested @ Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            block(nested, depth + 1, out);
        }
        flat => {
            out.push(' ');
            out.push_str(&scalar_text(flat));
            out.push('\n');
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => string(&text.replace('$', "$$")),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// Plain where that is safe, double-quoted otherwise.
fn string(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    /// Words that some reader takes for a truth value or for nothing.
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let begins = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'/' || b == b'_');
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@=+,".contains(&b);
    begins
        && text.bytes().all(harmless)
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_quoted() {
        for (text, written) in [
            ("shop-db-1", "shop-db-1"),
            ("/srv/data:/data:ro", "/srv/data:/data:ro"),
            ("postgres:16", "postgres:16"),
            ("No", "\"No\""),
            ("", "\"\""),
            ("12:30", "\"12:30\""),
            ("1e3", "\"1e3\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("x:", "\"x:\""),
            ("- x", "\"- x\""),
            ("*x", "\"*x\""),
            ("a\"b\\c\n\u{7f}ü", "\"a\\\"b\\\\c\\n\\u007fü\""),
        ] {
            assert_eq!(string(text), written, "{text:?}");
        }
    }

    #[test]
    fn maps_lists_and_what_is_empty() {
        let value = json!({
            "a": {"b": [1, "x", {"c": true, "d": []}], "e": {}, "f": null},
            "g": "$HOME is $$",
        });
        assert_eq!(
            document(&value),
            "a:\n  b:\n    - 1\n    - x\n    - c: true\n      d: []\n  e: {}\n  f: null\ng: \"$$HOME is $$$$\"\n"
        );
    }
}
