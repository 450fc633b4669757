//! The engine itself: what it runs, and how it maps ids.

use lifeboat_plan::manifest::EngineRecord;

use super::Ground;
use crate::restore::ids::Ids;

pub(super) fn platform(on: &Ground<'_>, found: &mut Vec<String>) {
    let (was, is) = (&on.manifest.engine, &on.here.engine);
    if !was.os.is_empty() && !is.os.is_empty() && was.os != is.os {
        found.push(format!(
            "the app ran on {}, this engine runs {}; recover on an engine of that kind",
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
    let here = Ids::of(&EngineRecord::from(is));
    if Ids::of(was).is_lost_on(&here) {
        found.push(
            "the app ran on a rootless engine, and nobody here can tell which of its host's user ids was which of the containers'; recover on that engine, or on one with the same data root".to_owned(),
        );
    }
}
