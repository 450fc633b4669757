//! `first-run`: the first two minutes with an app that runs, command by command as the first page of the
//! book has them (`xtask/tests/lab` compares). Looked at, protected, and brought up a second time
//! beside itself, while somebody uses it; then the copy is taken away.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lifeboat_testkit::{
    engine::{EngineOptions, PrivateEngine},
    sample_app::{SampleApp, WEB_PORT, diff},
};

use super::{Context, stage::Stage};
use crate::say;

/// Runs it.
pub fn run(context: &Context) -> Result<()> {
    let stage = Stage { context };
    say("     a private Docker Engine with the sample app: what a person has before Lifeboat");
    let engine = PrivateEngine::start(
        EngineOptions::new("first", context.dir.join("first")).hostname("demo"),
    )?;
    let app = SampleApp::create(&engine, &context.dir.join("shop"))?;
    app.wait_ready(&engine)?;

    let begin = Instant::now();
    let sheet = stage.path("recovery-sheet.txt");
    let vault = stage.path("vault");
    let files = stage.path("files");
    let does = |args: &[&str]| timed(&stage, &engine, args);
    does(&["apps"])?;
    does(&["apps", "shop"])?;
    does(&["init", "--vault", &vault, "--sheet", &sheet])?;
    does(&["backup", "--all"])?;
    let before = app.fingerprint(&engine)?;
    let asked = Visitor::while_doing(&engine, || {
        does(&["restore", "shop", "--as", "shop-try"])?;
        say("\n  looking into the copy");
        look_inside(&engine)?;
        does(&["rm", "shop-try", "--yes"])
    });
    asked.done?;
    does(&["points"])?;
    does(&["ls", "shop"])?;
    does(&["restore", "shop", "--target", &files])?;
    does(&["check", "--read-data"])?;
    let whole = begin.elapsed();
    let differences = diff(&before, &app.fingerprint(&engine)?);
    ensure!(
        differences.is_empty(),
        "the original differs:\n{}",
        differences.join("\n")
    );
    ensure!(
        asked.errors == 0 && asked.answers > 0,
        "the original failed {} of {} times while the copy was there",
        asked.errors,
        asked.answers + asked.errors
    );
    say("");
    say("Report");
    say(format!(
        "  from the first look to the last check: {:.1} s",
        whole.as_secs_f64()
    ));
    say(format!(
        "  the original answered {} requests meanwhile and failed none; its definitions, quiet volumes and tags are what they were",
        asked.answers
    ));
    if context.keep {
        say(format!("  kept: DOCKER_HOST={}", engine.docker_host()));
        engine.detach()?;
        return Ok(());
    }
    engine.destroy()?;
    app.remove_files()?;
    Ok(())
}

/// One command as a person types it, and how long it took.
fn timed(stage: &Stage<'_>, engine: &PrivateEngine, args: &[&str]) -> Result<()> {
    say(format!("\n$ lifeboat {}", args.join(" ")));
    let begin = Instant::now();
    stage.lifeboat(engine, args)?;
    say(format!("  {:.1} s", begin.elapsed().as_secs_f64()));
    Ok(())
}

/// The copy's page, the rows in its database, and that it reaches nothing of the original.
fn look_inside(engine: &PrivateEngine) -> Result<()> {
    let api = engine.api();
    let page = ["wget", "-qO-", "http://127.0.0.1:8080/index.html"];
    let page = api.exec_ok("shop-try-web-1", &page)?;
    say(format!(
        "     its web front says: {}",
        page.lines().next().unwrap_or_default()
    ));
    let count = [
        "psql",
        "-h",
        "/tmp",
        "-XqAt",
        "-c",
        "select count(*) from ledger",
    ];
    let rows = api.exec_ok("shop-try-db-1", &count)?;
    say(format!("     its database has {} rows", rows.trim()));
    let original = format!("http://172.28.5.1:{WEB_PORT}/index.html");
    let tried = ["timeout", "5", "wget", "-T", "2", "-qO-", &original];
    let reached = api.exec("shop-try-web-1", &tried)?.code == 0;
    ensure!(!reached, "the copy reaches the original at {original}");
    say("     from within it the original cannot be reached");
    Ok(())
}

/// Somebody who uses the original meanwhile.
struct Visitor<T> {
    done: T,
    answers: u64,
    errors: u64,
}

impl<T> Visitor<T> {
    fn while_doing(engine: &PrivateEngine, work: impl FnOnce() -> T) -> Self {
        let stop = AtomicBool::new(false);
        let (answers, errors) = (AtomicU64::new(0), AtomicU64::new(0));
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
                    let page = engine.http_get(local, WEB_PORT, "/index.html");
                    let counter = match page {
                        Ok((200, _)) => &answers,
                        _ => &errors,
                    };
                    counter.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let done = work();
            stop.store(true, Ordering::SeqCst);
            done
        });
        Self {
            done,
            answers: answers.into_inner(),
            errors: errors.into_inner(),
        }
    }
}
