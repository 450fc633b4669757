//! Bind sources: what stands in their place, and what the app needs and is not there.

use lifeboat_plan::manifest::{BindContent, BindDecision};

use super::{Ground, PathState};
use crate::restore::{far, journal::Intent};

pub(super) fn binds(on: &Ground<'_>, found: &mut Vec<String>) {
    for bind in &on.manifest.binds {
        let state = on.paths.get(&bind.source).copied();
        let state = state.unwrap_or(PathState::Absent);
        match bind.decision {
            BindDecision::Captured => {
                let is_ours = on.ours.contains(&Intent::Path(bind.source.clone()))
                    || far::began(on.ours.iter(), &bind.source);
                if state == PathState::Something && !bind.shared && !is_ours {
                    found.push(format!(
                        "{} is there already and is never overwritten; move it away (mv {} {}.old) first, or put the app's elsewhere (--map-bind {}:NEW)",
                        bind.source,
                        bind.source,
                        bind.source,
                        on.was(&bind.source)
                    ));
                }
            }
            BindDecision::Within => {}
            // Without its source the engine makes an empty folder and the app starts afresh.
            _ => {
                let was_there = bind.content == BindContent::Present;
                if was_there && state != PathState::Something {
                    found.push(format!(
                        "{} held data when the point was made, is not in the point and is missing or empty here; put it there first, or say where it is here (--map-bind {}:NEW), or the app starts with an empty folder",
                        bind.source,
                        on.was(&bind.source)
                    ));
                }
            }
        }
    }
}
