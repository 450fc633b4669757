//! New names: the app's own at the beginning is replaced, anything else gets the copy's before it.

use std::collections::BTreeSet;

/// Gives names, no two alike.
pub struct Names {
    prefix: String,
    copy: String,
    given: BTreeSet<String>,
}

impl Names {
    /// `prefix` is the project's or app's name, `copy` the copy's.
    pub fn new(prefix: &str, copy: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            copy: copy.to_owned(),
            given: BTreeSet::new(),
        }
    }

    /// Takes a name that somebody chose; `false` if it is given already.
    pub fn take(&mut self, name: &str) -> bool {
        self.given.insert(name.to_owned())
    }

    /// The new name of `old`; `between` stands between the copy's name and a name that does not begin
    /// with the app's.
    pub fn give(&mut self, old: &str, between: char) -> String {
        let rest = old
            .strip_prefix(&self.prefix)
            .filter(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']));
        let plain = match rest {
            Some(rest) => format!("{}{rest}", self.copy),
            None => format!("{}{between}{old}", self.copy),
        };
        let mut name = plain.clone();
        let mut number = 2;
        while !self.given.insert(name.clone()) {
            name = format!("{plain}{between}{number}");
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_replaced_or_the_name_put_before() {
        let mut names = Names::new("shop", "shop-try");
        let given =
            ["shop-db-1", "shop_db", "shop", "shopping", "proxy"].map(|n| names.give(n, '-'));
        assert_eq!(
            given,
            [
                "shop-try-db-1",
                "shop-try_db",
                "shop-try",
                "shop-try-shopping",
                "shop-try-proxy"
            ]
        );
        // Two that would be called alike.
        assert_eq!(names.give("shop-x", '-'), "shop-try-x");
        assert_eq!(names.give("x", '-'), "shop-try-x-2");
    }
}
