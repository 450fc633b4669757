//! "Did you mean": the nearest of the names that exist.

/// The most names that are suggested.
pub const MOST: usize = 3;

/// Number of single-character edits (insert, delete, replace, swap of neighbours) between two texts.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let replace = last[j] + usize::from(x != y);
            let mut best = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

/// The names among `known` that a person may have meant by `typed`, nearest first, at most
/// [`MOST`]. Case does not count; a name that begins with what was typed is near.
#[must_use]
pub fn suggest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let typed = typed.to_lowercase();
    let length = typed.chars().count();
    // A third of the letters may be wrong; two-letter names must have one right.
    let limit = if length < 3 { 1 } else { (length / 3).max(2) };
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            if length >= 2 && (lower.starts_with(&typed) || typed.starts_with(&lower)) {
                return Some((1, name));
            }
            // A name far longer than what was typed cannot be near: spare the work.
            let near = lower.chars().count().abs_diff(length) <= limit;
            near.then(|| distance(&typed, &lower))
                .filter(|d| *d <= limit)
                .map(|d| (d, name))
        })
        .collect();
    found.sort_unstable();
    found.dedup_by(|a, b| a.1 == b.1);
    found
        .into_iter()
        .take(MOST)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// ` (did you mean `a` or `b`?)`, or nothing.
#[must_use]
pub fn sentence(suggestions: &[String]) -> String {
    match suggestions {
        [] => String::new(),
        names => {
            let quoted: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
            format!(" (did you mean {}?)", quoted.join(" or "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("shop", "shop"), 0);
        assert_eq!(distance("shop", "shpo"), 1);
        assert_eq!(distance("shop", "chop"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        let known = ["shop", "blog", "nextcloud", "volume:shop_db"];
        assert_eq!(suggest("shpo", known), ["shop"]);
        assert_eq!(suggest("Shop", known), ["shop"]);
        assert_eq!(suggest("nextclod", known), ["nextcloud"]);
        assert_eq!(suggest("next", known), ["nextcloud"]);
        assert!(suggest("immich", known).is_empty());
    }

    #[test]
    fn sentences() {
        assert_eq!(sentence(&[]), "");
        assert_eq!(
            sentence(&["a".into(), "b".into()]),
            " (did you mean `a` or `b`?)"
        );
    }
}
