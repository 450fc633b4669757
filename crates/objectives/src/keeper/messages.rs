//! Messages that no event asks for.

use std::time::{Duration, Instant};

use lifeboat_plan::schedule::Time;

use super::{Loop, now};
use crate::{digest, report};

/// Pause between two tries to write records that are in memory alone.
const SETTLE: Duration = Duration::from_secs(30);

impl Loop {
    /// Sends the weekly digest where it is due. Whoever sees a first start begins to count there.
    pub(super) fn digest(&mut self) {
        let zone = jiff::tz::TimeZone::system();
        let now = now();
        // Before the apps are known there is nothing to tell.
        if self.settings.targets.is_empty() || self.apps.is_empty() {
            return;
        }
        let sent = match self.digested {
            Some(sent) => sent,
            None => match self.records.mark(digest::MARK) {
                Ok(Some(sent)) => sent,
                Ok(None) => return self.note_digest(now),
                Err(why) => {
                    tracing::error!("the digest: {why}");
                    return self.digested = Some(now);
                }
            },
        };
        self.digested = Some(sent.min(now));
        if !self.settings.digest.is_due(sent, now, &zone) {
            return;
        }
        self.note_digest(now);
        match self.records.all() {
            Ok(jobs) => {
                let from = now.minus(digest::PERIOD);
                let report = report::report(&jobs, &self.apps, from, now);
                self.show();
                let host = self.apps.first().and_then(|app| app.app.split('/').nth(1));
                let view = self.view.lock();
                let of = host.unwrap_or("this host");
                let message = digest::message(of, &report, view.apps.iter());
                drop(view);
                self.outbox.tell(&message, &self.sender, &self.settings);
            }
            Err(why) => tracing::error!("the digest cannot be made: {why}"),
        }
    }

    /// Tells once that records cannot be written, and once that they can.
    pub(super) fn unwritten(&mut self, why: Option<String>) {
        let why = why.or_else(|| self.records.in_memory.clone());
        self.outbox.state("writing the records of jobs", why);
    }

    /// Records that had to be kept in memory go into their file as soon as there is room.
    pub(super) fn settle_records(&mut self) {
        if self.records.in_memory.is_some() && self.settled.elapsed() >= SETTLE {
            self.settled = Instant::now();
            if self.records.settle() {
                self.unwritten(None);
            }
        }
    }

    fn note_digest(&mut self, now: Time) {
        self.digested = Some(now);
        if let Err(why) = self.records.set_mark(digest::MARK, now) {
            tracing::error!("the digest: {why}");
        }
    }
}
