//! Absolute host paths as values: cleaned, compared by whole components, never touched.

/// Cleans an absolute path without looking at the file system: double slashes, `.` and a trailing
/// slash go. `None` if it is not absolute, holds a NUL, or holds `..` (which only the file system
/// can resolve truthfully).
#[must_use]
pub fn clean(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut out = String::with_capacity(path.len());
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => {
                out.push('/');
                out.push_str(part);
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Some(out)
}

/// `true` if `path` is `above` or lies below it. Both clean.
#[must_use]
pub fn is_within(path: &str, above: &str) -> bool {
    above == "/"
        || path == above
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Joins a relative path to a folder and resolves `.` and `..` by words, as Compose does for its
/// labels. `None` if it climbs above the root or the folder is not absolute.
#[must_use]
pub fn join(folder: &str, relative: &str) -> Option<String> {
    if relative.starts_with('/') {
        return resolve(relative);
    }
    resolve(&format!("{folder}/{relative}"))
}

fn resolve(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The folder that a clean path lies in; `/` for `/`.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        assert_eq!(clean("/srv//data/./x/").as_deref(), Some("/srv/data/x"));
        assert_eq!(clean("/").as_deref(), Some("/"));
        assert_eq!(clean("//").as_deref(), Some("/"));
        for bad in ["", "srv", "./srv", "/srv/../etc", "/a\0b"] {
            assert_eq!(clean(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn within_counts_whole_components() {
        assert!(is_within("/srv/a", "/srv"));
        assert!(is_within("/srv", "/srv"));
        assert!(is_within("/srv", "/"));
        assert!(!is_within("/srv2", "/srv"));
        assert!(!is_within("/srv", "/srv/a"));
    }

    #[test]
    fn joining() {
        assert_eq!(
            join("/srv/shop", "./compose.yml").as_deref(),
            Some("/srv/shop/compose.yml")
        );
        assert_eq!(join("/srv/shop", "../x").as_deref(), Some("/srv/x"));
        assert_eq!(join("/srv/shop", "/etc/x").as_deref(), Some("/etc/x"));
        assert_eq!(join("/srv", "../../x"), None);
        assert_eq!(join("srv", "x"), None);
        assert_eq!(parent("/srv/a"), "/srv");
        assert_eq!(parent("/srv"), "/");
    }
}
