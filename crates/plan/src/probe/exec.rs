//! The words of a command.

/// What only a shell understands, outside of quotes.
const SHELL: &[char] = &['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '\n'];

/// A command as people write it: words and quotes, or a JSON list of words. There is no shell in between, as in
/// Kubernetes; what needs one is refused rather than run as something else.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    let words = if text.starts_with('[') {
        serde_json::from_str::<Vec<String>>(text)
            .map_err(|why| format!("the list of words is no JSON: {why}"))?
    } else {
        split(text)?
    };
    match words.first() {
        Some(first) if !first.is_empty() => {}
        _ => return Err("there is no command; write for instance exec:pg_isready".to_owned()),
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("a word of the command holds a zero byte".to_owned());
    }
    Ok(words)
}

fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"') | None, '\\') => {
                let next = letters.next().ok_or("the command ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if SHELL.contains(&letter) => {
                return Err(format!(
                    "{letter:?} means something only to a shell, and there is none; write exec:sh -c '…'"
                ));
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote of the command is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}
