//! `${VARIABLE}` as Compose reads it, with the values that files give.
//!
//! What was exported in somebody's shell is known to nobody afterwards: a variable without a value
//! and without a default is an error that names it, never an empty text.

use std::collections::BTreeMap;

/// Values by name.
pub type Variables = BTreeMap<String, String>;

/// Defaults within defaults beyond this are nobody's.
const MAX_DEPTH: usize = 16;
/// A path longer than this is none.
const MAX_LENGTH: usize = 64 << 10;

/// The text with every variable replaced; else the name of one that has no value.
pub fn interpolate(text: &str, variables: &Variables) -> Result<String, String> {
    expand(text, variables, 0)
}

fn expand(text: &str, variables: &Variables, depth: usize) -> Result<String, String> {
    if depth > MAX_DEPTH {
        return Err(text.chars().take(32).collect());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
        } else if let Some(inside) = after.strip_prefix('{') {
            let Some(end) = closing(inside) else {
                return Err(inside.chars().take(32).collect());
            };
            out.push_str(&braced(&inside[..end], variables, depth)?);
            rest = &inside[end + 1..];
        } else {
            let name = &after[..name_length(after)];
            if name.is_empty() {
                out.push('$');
            } else {
                let value = variables.get(name).ok_or_else(|| name.to_owned())?;
                out.push_str(value);
            }
            rest = &after[name.len()..];
        }
        if out.len() > MAX_LENGTH {
            return Err(text.chars().take(32).collect());
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands between the braces: a name, or a name with an operator and a word.
fn braced(inside: &str, variables: &Variables, depth: usize) -> Result<String, String> {
    let (name, operator) = inside.split_at(name_length(inside));
    let value = variables.get(name);
    let filled = value.filter(|value| !value.is_empty());
    let missing = || name.to_owned();
    let or = |value: Option<&String>, word: &str| match value {
        Some(value) => Ok(value.clone()),
        None => expand(word, variables, depth + 1),
    };
    let only_if = |is_set: bool, word: &str| {
        if is_set {
            expand(word, variables, depth + 1)
        } else {
            Ok(String::new())
        }
    };
    if let Some(word) = operator.strip_prefix(":-") {
        or(filled, word)
    } else if let Some(word) = operator.strip_prefix('-') {
        or(value, word)
    } else if let Some(word) = operator.strip_prefix(":+") {
        only_if(filled.is_some(), word)
    } else if let Some(word) = operator.strip_prefix('+') {
        only_if(value.is_some(), word)
    } else if operator.starts_with(":?") {
        filled.cloned().ok_or_else(missing)
    } else if operator.is_empty() || operator.starts_with('?') {
        value.cloned().ok_or_else(missing)
    } else {
        Err(missing())
    }
}

/// Where the brace closes that stands open, braces within counted.
fn closing(inside: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    let is_name = |(at, letter): (usize, char)| {
        letter == '_' || letter.is_ascii_alphabetic() || (at > 0 && letter.is_ascii_digit())
    };
    text.char_indices()
        .find(|letter| !is_name(*letter))
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, String> {
        let variables = [("A", "x"), ("EMPTY", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        interpolate(text, &variables.into())
    }

    #[test]
    fn every_form() {
        for (text, value) in [
            ("plain", "plain"),
            ("$A/b", "x/b"),
            ("${A}b", "xb"),
            ("$$A", "$A"),
            ("${NONE:-d}", "d"),
            ("${NONE-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NONE:-${A}/${EMPTY:-e}}", "x/e"),
            ("${A:+y}", "y"),
            ("${EMPTY:+y}", ""),
            ("${EMPTY+y}", "y"),
            ("${NONE+y}", ""),
            ("${A:?why}", "x"),
            ("a$ b", "a$ b"),
            ("ü${A}ü", "üxü"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(value), "{text}");
        }
        for (text, name) in [
            ("$NONE", "NONE"),
            ("${NONE}", "NONE"),
            ("${EMPTY:?why}", "EMPTY"),
            ("${NONE?why}", "NONE"),
            ("${A%x}", "A"),
            ("${A", "A"),
        ] {
            assert_eq!(with(text), Err(name.to_owned()), "{text}");
        }
        assert!(with(&"${N:-".repeat(1000)).is_err());
    }
}
