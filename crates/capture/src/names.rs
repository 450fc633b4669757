//! Names of users and groups, for people who read a listing. Numbers are what is restored.

use std::collections::HashMap;

/// `/etc/passwd` and `/etc/group` of this host, read once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads both files; one that cannot be read has no names.
    pub(crate) fn of_this_host() -> Self {
        let read = |path| fs_err::read(path).map(|b| parse(&b)).unwrap_or_default();
        Self {
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }

    pub(crate) fn user(&self, id: u32) -> String {
        self.users.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn group(&self, id: u32) -> String {
        self.groups.get(&id).cloned().unwrap_or_default()
    }
}

/// `name:x:id:…` lines; the first name of an id counts.
fn parse(bytes: &[u8]) -> HashMap<u32, String> {
    let mut out = HashMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        if let Ok(id) = id.parse() {
            out.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id_counts() {
        let names = parse(b"root:x:0:0::/:\ntoor:x:0:0::/:\nbroken\nweb:x:33:33\n+::::::\n");
        assert_eq!(names.len(), 2);
        assert_eq!(names[&0], "root");
        assert_eq!(names[&33], "web");
    }
}
