//! `recover`: the whole way once. An app runs, is protected, loses its engine with all its data and
//! its files on the host, and comes back on an empty engine with every row that it had acknowledged.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lifeboat_testkit::{
    engine::{EngineOptions, PrivateEngine},
    sample_app::{Acked, SampleApp, diff},
};
use serde_json::Value;

use super::{Context, stage::Stage};
use crate::say;

/// Runs it and prints the report.
pub fn run(context: &Context) -> Result<()> {
    let stage = Stage { context };
    say("1/6  starting a private Docker Engine (nothing of this machine's is touched)");
    let engine = PrivateEngine::start(
        EngineOptions::new("first", context.dir.join("first")).hostname("demo"),
    )?;
    say("2/6  starting the sample app: PostgreSQL, Redis, a worker that writes, a web front");
    let app = SampleApp::create(&engine, &context.dir.join("shop"))?;
    app.wait_ready(&engine)?;
    std::thread::sleep(std::time::Duration::from_secs(2));

    say("3/6  lifeboat init, lifeboat apps, lifeboat backup --all");
    stage.lifeboat(
        &engine,
        &["init", "--sheet", &stage.path("recovery-sheet.txt")],
    )?;
    stage.lifeboat(&engine, &["apps"])?;
    let protected = stage.json(&engine, &["backup", "--all"])?["protected"][0].take();
    let before = app.fingerprint(&engine)?;

    say("4/6  the disaster: the engine, its data root, and the app's files on the host are gone");
    let lost_at = Instant::now();
    let acked = app.acked()?;
    engine.destroy()?;
    app.remove_files()?;

    say("5/6  an empty engine; lifeboat restore shop, and the volume that belonged to nothing");
    let second = PrivateEngine::start(
        EngineOptions::new("second", context.dir.join("second")).hostname("demo"),
    )?;
    let restored = stage.json(&second, &["restore", "shop"])?;
    stage.json(&second, &["restore", "volume:attic"])?;
    let back_after = lost_at.elapsed();

    say("6/6  comparing what came back with what was");
    app.wait_ready(&second)?;
    let instant = instant(&stage, &second)?;
    let promised = Acked::before(&acked, instant);
    let recovered = app.verify_recovered(&second, &promised)?;
    let differences = diff(&before, &app.fingerprint(&second)?);
    report(&stage, &protected, &restored, back_after.as_secs_f64());
    say(format!(
        "  rows         {} acknowledged before the point's instant, none is missing; {} rows now",
        recovered.promised, recovered.rows
    ));
    ensure!(
        recovered.promised > 0,
        "nothing had been acknowledged, so nothing was proved"
    );
    ensure!(
        differences.is_empty(),
        "the recovered app differs:\n{}",
        differences.join("\n")
    );
    say("  definitions  containers, networks, volumes and tags are what they were, field by field");
    if context.keep {
        say(format!(
            "  kept         DOCKER_HOST={}",
            second.docker_host()
        ));
        second.detach()?;
        return Ok(());
    }
    second.destroy()?;
    app.remove_files()?;
    Ok(())
}

/// Nanoseconds since 1970 of the instant that the point promises.
fn instant(stage: &Stage<'_>, engine: &PrivateEngine) -> Result<u64> {
    let points = stage.json(engine, &["points", "shop"])?;
    let time = points["points"][0]["time"]
        .as_str()
        .context("the point has no time")?;
    let time: jiff::Timestamp = time.parse()?;
    Ok(u64::try_from(time.as_nanosecond())?)
}

fn report(stage: &Stage<'_>, protected: &Value, restored: &Value, back_after: f64) {
    let seconds = |value: &Value| value.as_f64().unwrap_or_default();
    let mega = |value: &Value| value.as_f64().unwrap_or_default() / 1e6;
    say("");
    say("Report");
    say(format!(
        "  protected    {} files, {:.1} MB of data in {:.1} s; {:.1} MB in the vault, images included",
        protected["files"],
        mega(&protected["bytes"]),
        seconds(&protected["seconds"]),
        mega(&protected["added"])
    ));
    say(format!(
        "  consistency  {}, the app stood still for {:.0} ms",
        protected["level"].as_str().unwrap_or("?"),
        seconds(&protected["stall_seconds"]) * 1000.0
    ));
    say(format!(
        "  RPO          the point was {:.1} s old when the restore began",
        seconds(&restored["age_seconds"])
    ));
    let segments: Vec<String> = restored["segments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| {
            format!(
                "{} {:.1}",
                s["name"].as_str().unwrap_or("?"),
                seconds(&s["seconds"])
            )
        })
        .collect();
    say(format!(
        "  RTO          {:.1} s: {} ({:.1} s with the start of an empty engine)",
        seconds(&restored["rto_seconds"]),
        segments.join(", "),
        back_after
    ));
    say(format!("  vault        {}", stage.path("state/vault")));
    say(format!(
        "  read it      restic -r {} --password-file {} snapshots",
        stage.path("state/vault"),
        stage.path("etc/key")
    ));
}
