//! The engine itself: what it runs, and how it maps ids.

use super::Ground;

pub(super) fn platform(on: &Ground<'_>, found: &mut Vec<String>) {
    let (was, is) = (&on.manifest.engine, &on.here.engine);
    if !was.os.is_empty() && !is.os.is_empty() && was.os != is.os {
        found.push(format!(
            "the app ran on {}, this engine runs {}",
            was.os, is.os
        ));
    } else if !was.architecture.is_empty()
        && !is.architecture.is_empty()
        && was.architecture != is.architecture
    {
        found.push(format!(
            "the app's images are for {}, this engine is {}; recover on an engine of that architecture",
            was.architecture, is.architecture
        ));
    }
    if is.user_namespaces != was.user_namespaces {
        found.push(
            "one of the two engines maps user ids (rootless or userns-remap) and the other does not; recover on an engine that is set up alike".to_owned(),
        );
    }
}
