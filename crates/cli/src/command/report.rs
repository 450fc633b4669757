//! `report`: a period's evidence, as a table, a page and JSON.

use lifeboat_api::audit::Audit;
use lifeboat_objectives::{
    Records, Settings, policies,
    report::{Report, report},
    set_by_api,
};
use lifeboat_plan::{policy::Period, schedule::Time};
use serde::Serialize;

use crate::{
    args::ReportArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// What is handed on.
#[derive(Serialize)]
struct Evidence {
    host: String,
    program: &'static str,
    well: bool,
    #[serde(flatten)]
    report: Report,
    /// Changes in the audit log, the hash of the last one, and what is wrong with it.
    audit: lifeboat_api::audit::Verdict,
}

/// Shows it.
pub fn run(session: &Session, args: &ReportArgs) -> Result<Exit> {
    let failed = |error: lifeboat_objectives::Error| Failure::new(error.to_string());
    let settings = Settings::load(&session.places.config.join("lifeboat.toml")).map_err(failed)?;
    let engine = session.connect()?;
    let at = super::objectives::place(session);
    let set = set_by_api(&session.places.state);
    let policies =
        policies::policies(engine.as_ref(), &at, &settings.policies, &set).map_err(failed)?;
    let jobs = match Records::look(&session.places.state).map_err(failed)? {
        Some(records) => records.all().map_err(failed)?,
        None => Vec::new(),
    };
    let to = Time::of(jiff::Timestamp::now());
    let from = to.minus(u64::try_from(args.last.as_millis()).unwrap_or(u64::MAX));
    let report = report(&jobs, &policies, from, to);
    let host = policies.first().and_then(|app| {
        let host = app.app.split('/').nth(1)?;
        Some(host.to_owned())
    });
    let evidence = Evidence {
        host: at.host.or(host).unwrap_or_else(|| "this host".to_owned()),
        program: crate::session::PROGRAM,
        well: report.is_well(),
        audit: Audit::of(&session.places.state).verify(None)?,
        report,
    };
    if let Some(file) = &args.html {
        fs_err::write(file, page(&evidence))?;
    }
    if session.out.is_json() {
        session.out.json(&evidence)?;
    } else {
        session.out.text(&text(&evidence, session.out.width()))?;
    }
    Ok(match evidence.well {
        true => Exit::Done,
        false => Exit::NotWell,
    })
}

const APPS: [&str; 7] = [
    "APP",
    "RPO",
    "POINTS",
    "FAILED",
    "OLDEST",
    "MISSED FOR",
    "STALL",
];
const WORK: [&str; 5] = ["WORK", "DONE", "FAILED", "LAST DONE", "LAST FAILURE"];

fn millis(millis: u64) -> String {
    human::seconds(millis as f64 / 1000.0)
}

fn time(at: i64) -> String {
    human::local_seconds(at.div_euclid(1000))
}

fn apps(report: &Report) -> Vec<[String; 7]> {
    let rows = report.apps.iter().map(|app| {
        let rpo = app.rpo.map(|rpo| Period::millis(rpo).to_string());
        [
            app.app.clone(),
            rpo.unwrap_or_else(|| "unprotected".to_owned()),
            app.points.to_string(),
            app.failed.to_string(),
            app.oldest.map(millis).unwrap_or_default(),
            match app.missed {
                0 => String::new(),
                missed => millis(missed),
            },
            app.longest_stall.map(millis).unwrap_or_default(),
        ]
    });
    rows.collect()
}

fn work(report: &Report) -> Vec<[String; 5]> {
    let rows = report.work.iter().map(|work| {
        [
            work.what.clone(),
            work.done.to_string(),
            work.failed.to_string(),
            work.last_done.map(time).unwrap_or_default(),
            work.last_failure.clone().unwrap_or_default(),
        ]
    });
    rows.collect()
}

fn sentences(evidence: &Evidence) -> [String; 2] {
    let audit = &evidence.audit;
    let log = match audit.wrong.first() {
        None => format!(
            "The audit log is whole: {} changes, the last one {}.",
            audit.lines, audit.head
        ),
        Some(wrong) => format!("The audit log is not whole: {wrong}."),
    };
    let well = if evidence.well {
        "No RPO was missed, as far as the records reach."
    } else {
        "An RPO was missed, or a protected app has no point."
    };
    [well.to_owned(), log]
}

fn text(evidence: &Evidence, width: Option<u16>) -> String {
    let report = &evidence.report;
    let mut text = format!(
        "{}, {} to {}\n",
        evidence.host,
        time(report.from),
        time(report.to)
    );
    let mut table = Table::new(&APPS.map(|name| (name, Align::Left)), width);
    for row in apps(report) {
        table.row(row.map(|cell| human::escape(cell.as_bytes())));
    }
    text.push_str(&table.render());
    if !report.work.is_empty() {
        let mut table = Table::new(&WORK.map(|name| (name, Align::Left)), width);
        for row in work(report) {
            table.row(row.map(|cell| human::escape(cell.as_bytes())));
        }
        text.push_str(&table.render());
    }
    for sentence in sentences(evidence) {
        text.push_str(&format!("{}\n", human::escape(sentence.as_bytes())));
    }
    text
}

/// A page that needs nothing else: no script, no style from elsewhere.
fn page(evidence: &Evidence) -> String {
    let report = &evidence.report;
    let title = format!(
        "{}, {} to {}",
        evidence.host,
        time(report.from),
        time(report.to)
    );
    let [well, log] = sentences(evidence).map(|sentence| html(&sentence));
    let apps = rows(&APPS, &apps(report));
    let work = rows(&WORK, &work(report));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Lifeboat: {title}</title>\n<style>body{{font:15px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}}table{{border-collapse:collapse;width:100%;margin:1rem 0}}th,td{{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccc}}.not{{color:#b00}}</style></head>\n<body><h1>{title}</h1>\n<p class=\"{class}\">{well}</p>\n{apps}{work}<p>{log}</p>\n<p>RPOs are those that hold now; an app's figures begin with its first usable point in the records. {program}</p></body></html>\n",
        title = html(&title),
        class = if evidence.well { "well" } else { "not" },
        program = html(evidence.program),
    )
}

fn rows<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String], tag: &str| {
        let cells = cells
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", html(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let mut text = line(&head.map(str::to_owned), "th");
    text.extend(rows.iter().map(|row| line(row, "td")));
    format!("<table>\n{text}</table>\n")
}

fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use lifeboat_objectives::report::AppReport;

    use super::*;

    #[test]
    fn nothing_in_a_page_is_more_than_text() {
        let app = AppReport {
            app: "default/h/<script>alert(1)</script>".to_owned(),
            rpo: Some(60_000),
            missed: 5000,
            points: 1,
            ..AppReport::default()
        };
        let report = Report {
            apps: vec![app],
            ..Report::default()
        };
        let audit = Audit::of(std::path::Path::new("/nowhere"));
        let evidence = Evidence {
            host: "h".to_owned(),
            program: "lifeboat",
            well: report.is_well(),
            audit: audit.verify(None).unwrap(),
            report,
        };
        let page = page(&evidence);
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("<td>1m</td>"), "{page}");
        assert!(page.contains("class=\"not\""), "{page}");
        assert!(text(&evidence, None).contains("MISSED FOR"));
    }
}
