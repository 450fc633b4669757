//! Figures as Prometheus reads them.

use std::fmt::Write as _;

use lifeboat_plan::schedule::{AlertKind, Time};

use crate::view::{AppView, View};

/// The text of `/metrics`.
#[must_use]
pub fn text(view: &View, now: Time) -> String {
    let mut out = String::new();
    let seconds = |millis: u64| millis as f64 / 1000.0;
    per_app(
        &mut out,
        view,
        "lifeboat_app_protected",
        "gauge",
        "Whether a policy protects the app.",
        |a| Some(f64::from(u8::from(a.policy.protect.value))),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_rpo_target_seconds",
        "gauge",
        "How old the newest usable point may be.",
        |a| {
            a.policy
                .protect
                .value
                .then(|| a.policy.rpo.value.as_seconds())
        },
    );
    per_app(
        &mut out,
        view,
        "lifeboat_rpo_actual_seconds",
        "gauge",
        "Time since the capture of the newest usable point began.",
        |a| a.began.map(|began| seconds(now.since(began))),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_rpo_missed",
        "gauge",
        "1 while the RPO is missed.",
        |a| {
            let protected = a.policy.protect.value;
            protected.then(|| f64::from(u8::from(a.misses.is_some_and(|misses| misses <= now))))
        },
    );
    per_app(
        &mut out,
        view,
        "lifeboat_rpo_at_risk",
        "gauge",
        "1 while the RPO is about to be missed, or is.",
        |a| {
            let told = matches!(a.told, Some(AlertKind::Soon | AlertKind::Missed));
            a.policy.protect.value.then(|| f64::from(u8::from(told)))
        },
    );
    per_app(
        &mut out,
        view,
        "lifeboat_rto_target_seconds",
        "gauge",
        "How long the app may be away.",
        |a| a.policy.rto.as_ref().map(|rto| rto.value.as_seconds()),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_last_point_timestamp_seconds",
        "gauge",
        "When the capture of the newest usable point began.",
        |a| a.began.map(|began| began.0 as f64 / 1000.0),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_capture_failures",
        "gauge",
        "Captures that failed in a row.",
        |a| Some(a.failures as f64),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_capture_duration_seconds",
        "gauge",
        "How long the last capture took.",
        |a| a.last.map(|last| seconds(last.0)),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_capture_stall_seconds",
        "gauge",
        "How long the app could not write because of the last capture.",
        |a| a.last.and_then(|last| last.1).map(seconds),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_point_bytes",
        "gauge",
        "Size of the newest point.",
        |a| a.last.map(|last| last.2 as f64),
    );
    per_app(
        &mut out,
        view,
        "lifeboat_point_added_bytes",
        "gauge",
        "What the newest point added to the vault.",
        |a| a.last.map(|last| last.3 as f64),
    );
    head(
        &mut out,
        "lifeboat_jobs_total",
        "counter",
        "Jobs that ended since the agent began.",
    );
    for ((work, result), count) in &view.ended {
        let _ = writeln!(
            out,
            "lifeboat_jobs_total{{work=\"{}\",result=\"{result}\"}} {count}",
            escaped(work)
        );
    }
    for (name, help, value) in [
        (
            "lifeboat_jobs_running",
            "Jobs under way.",
            view.jobs.len() as f64,
        ),
        (
            "lifeboat_engine_seen",
            "1 while the engine can be seen.",
            f64::from(u8::from(view.blind.is_none())),
        ),
        (
            "lifeboat_settings_sound",
            "1 while lifeboat.toml can be used.",
            f64::from(u8::from(view.unsettled.is_none())),
        ),
        (
            "lifeboat_notify_undelivered",
            "Places that did not take their last message.",
            view.troubles.len() as f64,
        ),
    ] {
        head(&mut out, name, "gauge", help);
        let _ = writeln!(out, "{name} {value}");
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn per_app(
    out: &mut String,
    view: &View,
    name: &str,
    kind: &str,
    help: &str,
    value: impl Fn(&AppView) -> Option<f64>,
) {
    head(out, name, kind, help);
    for (app, facts) in &view.apps {
        if let Some(value) = value(facts) {
            let _ = writeln!(out, "{name}{{app=\"{}\"}} {value}", escaped(app));
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
