//! `.env` and `--env-file`, as Compose reads them: enough of it to find files by.

use super::interpolate::{Variables, interpolate};

/// Adds the values of one file to `variables`; later files win. Lines that are none are passed over.
pub fn add(text: &str, variables: &mut Variables) {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once(['=', ':']) else {
            continue;
        };
        let value = value.trim_start();
        let value = match value.chars().next() {
            Some('\'') => quoted(&value[1..], '\'', &mut lines),
            Some('"') => {
                let text = quoted(&value[1..], '"', &mut lines);
                let text = text.replace("\\n", "\n").replace("\\\"", "\"");
                interpolate(&text, variables).unwrap_or(text)
            }
            _ => {
                let end = value.find(" #").unwrap_or(value.len());
                let text = value[..end].trim_end();
                interpolate(text, variables).unwrap_or_else(|_| text.to_owned())
            }
        };
        variables.insert(name.trim().to_owned(), value);
    }
}

/// Up to the closing quote, over lines if need be.
fn quoted<'a>(first: &str, quote: char, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut line = first;
    loop {
        let mut escaped = false;
        for (at, letter) in line.char_indices() {
            if letter == quote && !escaped {
                text.push_str(&line[..at]);
                return text;
            }
            escaped = letter == '\\' && !escaped && quote == '"';
        }
        text.push_str(line);
        match lines.next() {
            Some(next) => {
                text.push('\n');
                line = next;
            }
            None => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let text = r#"
# a comment
BASE=/srv/common
export EXPORTED=yes
PATHS=${BASE}/x   # why
QUOTED="a \"b\" $BASE"
SINGLE='$BASE # kept'
YAML: value
LONG="one
two"
EMPTY=
=nothing
no assignment
"#;
        let mut found = Variables::from([("BASE".to_owned(), "/old".to_owned())]);
        add(text, &mut found);
        for (name, value) in [
            ("BASE", "/srv/common"),
            ("EXPORTED", "yes"),
            ("PATHS", "/srv/common/x"),
            ("QUOTED", "a \"b\" /srv/common"),
            ("SINGLE", "$BASE # kept"),
            ("YAML", "value"),
            ("LONG", "one\ntwo"),
            ("EMPTY", ""),
        ] {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
    }
}
