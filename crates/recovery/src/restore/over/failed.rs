//! A replacement that failed: everything goes back, and one sentence says how it ended.

use super::{Over, back::go_back, record::safety_of};
use crate::{
    RecoveryError,
    restore::{journal::RestoreJournal, undo::is_outage},
};

impl Over<'_> {
    /// What is replaced, and that alone which runs on where it is not.
    fn names(&self) -> (String, String) {
        let app = self.point.manifest.identity.name.to_string();
        match self.part {
            Some(part) => (part.what(&app), app),
            None => (app, "it".to_owned()),
        }
    }

    /// It failed before anything was stopped.
    pub(super) fn unprepared(&self, journal: RestoreJournal, why: RecoveryError) -> RecoveryError {
        let (what, app) = self.names();
        if is_outage(&why) {
            tracing::warn!(
                "{what}: {app} runs on, untouched; the same command goes on from here, and `lifeboat restore --undo` takes away what is there"
            );
            return why;
        }
        let step = |name: &str| self.ctx.progress.step(name);
        let went = go_back(
            self.engine,
            &self.ctx.places,
            &step,
            journal,
            &why.to_string(),
        );
        match (went, why) {
            (Ok(_), RecoveryError::Interrupted) => RecoveryError::Interrupted,
            (Ok(back), why) => RecoveryError::Failed(sentence(
                format!("{what} was not replaced, and {app} runs on untouched: {why}"),
                &back.notes,
            )),
            (Err(e), why) => RecoveryError::Failed(format!(
                "{what} was not replaced, and {app} runs on untouched: {why}; what had been made for it is still there: {e}; `lifeboat restore --undo` tries again"
            )),
        }
    }

    /// It failed after the old containers were stopped: they come back.
    pub(super) fn back(&self, journal: RestoreJournal, why: &RecoveryError) -> RecoveryError {
        let (what, _) = self.names();
        let safety = safety_of(journal.all());
        let step = |name: &str| self.ctx.progress.step(name);
        match go_back(
            self.engine,
            &self.ctx.places,
            &step,
            journal,
            &why.to_string(),
        ) {
            Ok(back) => {
                let mut notes = back.notes;
                if let Some(aside) = back.aside {
                    notes.push(format!(
                        "what the replacement wrote is kept until {}, see `lifeboat rm {}`",
                        aside.until.strftime("%F"),
                        aside.name()
                    ));
                }
                notes.extend(safety.map(|id| format!("the safety point is {}", id.short())));
                RecoveryError::Failed(sentence(
                    format!(
                        "{what} was not replaced ({why}); everything was swapped back, and the app is as it was before"
                    ),
                    &notes,
                ))
            }
            Err(e) => RecoveryError::Failed(format!(
                "{what} was not replaced ({why}), and going back stopped too: {e}; nothing is lost, `lifeboat restore --undo` goes on from here"
            )),
        }
    }
}

fn sentence(what: String, notes: &[String]) -> String {
    let notes = notes.iter().map(String::as_str);
    std::iter::once(what.as_str())
        .chain(notes)
        .collect::<Vec<_>>()
        .join("; ")
}
