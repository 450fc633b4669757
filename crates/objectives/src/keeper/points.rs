//! What the vault holds: asked for until it answers, and put into records that were lost.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lifeboat_plan::schedule::{Event, Job, JobEvent, Outcome, Time, Work};

use super::{Loop, Msg, Point};
use crate::{Error, process, run::Files};

impl Loop {
    pub(super) fn points(&mut self, points: Vec<Point>) {
        self.knows_points = true;
        self.pointed
            .extend(points.iter().map(|point| point.app.clone()));
        let points: Vec<Point> = points.into_iter().filter(|point| point.usable).collect();
        let mut newest: BTreeMap<String, Time> = BTreeMap::new();
        for point in &points {
            let at = newest.entry(point.app.clone()).or_insert(point.began);
            *at = point.began.max(*at);
        }
        for (app, began) in newest {
            let known = self.known.entry(app.clone()).or_insert((began, None));
            known.0 = known.0.max(began);
            if self.planned.contains(&app) {
                self.step(Event::Point {
                    app: app.as_str().into(),
                    began,
                    took: None,
                });
            }
        }
        if std::mem::take(&mut self.rebuild) {
            self.rebuild_records(&points);
        }
    }

    pub(super) fn rebuild_records(&mut self, points: &[Point]) {
        let mut points: Vec<&Point> = points.iter().collect();
        points.sort_by_key(|point| point.began);
        for point in points {
            let work = Work::Capture {
                app: point.app.as_str().into(),
            };
            let mut job = Job::new(self.scheduler.reserve(), work, process::own(), point.began);
            job.began = Some(point.began);
            job.point = Some(point.id.clone());
            job.step(
                point.began,
                JobEvent::Said("found in the vault; its own record was lost".to_owned()),
            );
            job.step(point.began, JobEvent::Ended(Outcome::Done));
            self.keep(&job);
        }
    }

    /// Lists the vault's points, as a person would; the answer comes as a message.
    pub(super) fn ask_for_points(&self, after: Duration) {
        let files = Files::of(&self.folder(), 0);
        let (program, to, stop) = (
            self.options.program.clone(),
            self.to.clone(),
            Arc::clone(&self.stop),
        );
        let work = move || {
            std::thread::sleep(after);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            files.remove();
            let args: Vec<OsString> = ["points", "--output", "json"].map(OsString::from).to_vec();
            let ended = process::start(&program, &args, &files).and_then(|mut child| child.wait());
            let points = match ended {
                Ok(status) if status.success() => read_points(&files.answer()),
                Ok(_) => Err(files
                    .log()
                    .last()
                    .cloned()
                    .unwrap_or_else(|| "it ended without a word".to_owned())),
                Err(why) => Err(why.to_string()),
            };
            files.remove();
            let _ = to.send(Msg::Points(points));
        };
        let _ = std::thread::Builder::new()
            .name("objectives-job".to_owned())
            .spawn(work);
    }
}

fn read_points(answer: &str) -> std::result::Result<Vec<Point>, String> {
    let answer: serde_json::Value =
        serde_json::from_str(answer).map_err(|e| Error::Records(e.to_string()).to_string())?;
    let points = answer["points"]
        .as_array()
        .or_else(|| answer.as_array())
        .into_iter()
        .flatten();
    let read = points.filter_map(|point| {
        let (site, host, app) = (
            point["site"].as_str()?,
            point["host"].as_str()?,
            point["app"].as_str()?,
        );
        Some(Point {
            app: format!("{site}/{host}/{app}"),
            id: point["id"].as_str()?.to_owned(),
            usable: point["partial"] == false,
            began: Time::of(point["time"].as_str()?.parse().ok()?),
        })
    });
    Ok(read.collect())
}
