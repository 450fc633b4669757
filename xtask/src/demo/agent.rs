//! `agent`: the sample app is labelled while it runs, and `lifeboat agent` keeps its RPO under load. Then its vault is
//! taken away: somebody is told before the RPO is missed, again when it is, and again when it is kept. Ends in a table.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lifeboat_testkit::engine::{EngineOptions, PrivateEngine};
use lifeboat_testkit::sample_app::SampleApp;
use serde_json::Value;

use super::{Context, stage::Stage};
use crate::say;

/// What the label asks for.
const RPO: Duration = Duration::from_secs(60);
/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// A message, and when it came, in milliseconds since 1970.
struct Told {
    at: i64,
    level: String,
    title: String,
    body: String,
}

/// A usable point: when its capture began and was complete, and for how long the app stood still.
#[derive(Clone, Copy)]
struct Made {
    began: i64,
    complete: i64,
    stall: u64,
}

/// Runs it and prints the table.
pub fn run(context: &Context) -> Result<()> {
    let stage = Stage { context };
    say(
        "1/5  an engine with the sample app: PostgreSQL, Redis and a worker that writes all the time",
    );
    let engine =
        PrivateEngine::start(EngineOptions::new("agent", context.dir.join("e1")).hostname("demo"))?;
    let app = SampleApp::create(&engine, &context.dir.join("shop"))?;
    app.wait_ready(&engine)?;
    let sheet = stage.path("sheet.txt");
    stage.lifeboat(&engine, &["init", "--sheet", &sheet])?;
    let (at, told) = receiver()?;
    fs_err::write(
        stage.path("etc/lifeboat.toml"),
        format!("[notify]\nurls = [\"generic+http://{at}/?template=json\"]\n"),
    )?;
    let agent = Agent::start(&stage, &engine)?;
    wait("the first point, by the default policy", || {
        Ok(!made(&stage, &engine)?.is_empty())
    })?;

    say("2/5  the app is labelled as it runs: lifeboat.rpo=60s");
    let labelled = now();
    app.label(
        &engine,
        &[("lifeboat.rpo", "60s"), ("lifeboat.retain", "24h,7d")],
    )?;
    wait("the label is seen", || {
        let policy = stage.json(&engine, &["policy", "shop"])?;
        let jobs = made(&stage, &engine)?;
        let seen = policy[0]["policy"]["rpo"]["value"] == "1m";
        Ok(seen && jobs.iter().any(|point| point.began > labelled))
    })?;
    stage.lifeboat(&engine, &["policy", "shop"])?;

    let minutes = context.load.as_secs() / 60;
    say(format!("3/5  {minutes} min under load"));
    // A new RPO may be missed from the first moment on: the newest point is from before.
    told.try_iter().for_each(drop);
    let (from, rows) = (now(), app.acked()?.len());
    let clock = Instant::now();
    let mut said = 0;
    while clock.elapsed() < context.load {
        std::thread::sleep(Duration::from_secs(1));
        let points = of_period(&made(&stage, &engine)?, from);
        if points.len() > said {
            said = points.len();
            if let Some(point) = points.last() {
                say(format!(
                    "     {:>4} s  point {said}, complete after {:.1} s, the app stood still for {} ms",
                    clock.elapsed().as_secs(),
                    seconds(point.complete - point.began),
                    point.stall
                ));
            }
        }
    }
    let (to, rows) = (now(), app.acked()?.len() - rows);
    let points = made(&stage, &engine)?;
    let oldest = oldest(&points, from, to);
    let (mut warned, mut wrong) = (0, Vec::new());
    for told in told.try_iter() {
        // On a busy machine a capture may take twice as long as the ones before: then it is said, and kept all the same.
        warned += usize::from(told.title.contains("is about to be missed"));
        if told.title.contains("is missed") {
            wrong.push(told.title);
        }
    }
    stage.lifeboat(&engine, &["status"])?;

    say("4/5  the vault is taken away");
    let (vault, away) = (stage.path("state/vault"), stage.path("away"));
    fs_err::rename(&vault, &away)?;
    let soon = hear(&told, "is about to be missed")?;
    let missed = hear(&told, "is missed")?;
    let newest = made(&stage, &engine)?.last().map_or(0, |point| point.began);
    let misses = newest + millis(RPO);

    say("5/5  the vault is back");
    let back = now();
    fs_err::rename(&away, &vault)?;
    let again = hear(&told, "is kept again")?;
    agent.end()?;
    stage.lifeboat(&engine, &["jobs", "-n", "12"])?;

    let load = of_period(&points, from);
    let stall = load.iter().map(|point| point.stall).max().unwrap_or(0);
    let slowest = load.iter().map(|p| p.complete - p.began).max().unwrap_or(0);
    say("");
    for (what, figure) in [
        (
            "RPO that the label asks for",
            format!("{} s", RPO.as_secs()),
        ),
        (
            "load",
            format!(
                "{minutes} min, {:.0} rows acknowledged a second",
                rows as f64 / seconds(to - from)
            ),
        ),
        ("points made meanwhile", load.len().to_string()),
        (
            "the oldest that the newest point ever was",
            format!("{:.1} s", seconds(oldest)),
        ),
        ("the longest capture", format!("{:.1} s", seconds(slowest))),
        (
            "the longest that the app stood still",
            format!("{stall} ms"),
        ),
        ("told meanwhile that it was at risk", warned.to_string()),
        (
            "told before the RPO was missed",
            format!("{:.1} s before", seconds(misses - soon.at)),
        ),
        (
            "told that it was missed",
            format!("{:.1} s after", seconds(missed.at - misses)),
        ),
        (
            "told that it is kept again",
            format!("{:.1} s after the vault was back", seconds(again.at - back)),
        ),
    ] {
        say(format!("{what:<44}{figure}"));
    }
    ensure!(
        wrong.is_empty(),
        "somebody was told of a miss that was none: {wrong:?}"
    );
    ensure!(oldest <= millis(RPO), "the RPO was missed under load");
    ensure!(
        soon.at < misses,
        "nobody was told before the RPO was missed"
    );
    ensure!(soon.level == "warning" && missed.level == "failure" && again.level == "recovery");
    engine.destroy()?;
    app.remove_files()
        .context("the app's files cannot be removed")
}

/// The agent; killed if the scenario fails.
struct Agent(Option<Child>);

impl Agent {
    fn start(stage: &Stage<'_>, engine: &PrivateEngine) -> Result<Self> {
        let log = fs_err::File::create(stage.path("agent.log"))?;
        let mut command = stage.command(engine, &["agent"]);
        command.stdin(Stdio::null()).stderr(log.into_parts().0);
        Ok(Self(Some(command.spawn()?)))
    }

    fn end(mut self) -> Result<()> {
        let Some(mut agent) = self.0.take() else {
            return Ok(());
        };
        let stopped = Command::new("kill").arg(agent.id().to_string()).status()?;
        ensure!(stopped.success(), "the agent cannot be stopped");
        ensure!(agent.wait()?.success(), "the agent did not end well");
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.0 {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// Somebody who is told: a small receiver of messages.
fn receiver() -> Result<(String, Receiver<Told>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?.to_string();
    let (to, from) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Some(body) = stream.ok().and_then(|mut s| receive(&mut s).ok()) else {
                continue;
            };
            let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
            let (level, title) = (text("level"), text("title"));
            let body = text("message");
            say(format!("     told ({level}): {title}: {body}"));
            let at = now();
            if to
                .send(Told {
                    at,
                    level,
                    title,
                    body,
                })
                .is_err()
            {
                return;
            }
        }
    });
    Ok((at, from))
}

fn receive(stream: &mut std::net::TcpStream) -> Result<Value> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(serde_json::from_slice(&body)?)
}

fn hear(told: &Receiver<Told>, words: &str) -> Result<Told> {
    let clock = Instant::now();
    while let Some(left) = PATIENCE.checked_sub(clock.elapsed()) {
        let message = told.recv_timeout(left);
        let message = message.with_context(|| format!("nobody was told that an RPO {words}"))?;
        let said = format!("{}\n{}", message.title, message.body);
        if said
            .lines()
            .any(|line| line.contains("/shop") && line.contains(words))
        {
            return Ok(message);
        }
    }
    anyhow::bail!("nobody was told that an RPO {words}")
}

fn wait(what: &str, is: impl Fn() -> Result<bool>) -> Result<()> {
    let clock = Instant::now();
    while !is()? {
        ensure!(
            clock.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

/// The app's usable points by the records, the oldest first.
fn made(stage: &Stage<'_>, engine: &PrivateEngine) -> Result<Vec<Made>> {
    let jobs = stage.json(engine, &["jobs", "-n", "1000"])?;
    let jobs = jobs.as_array().context("no jobs")?;
    let done = jobs.iter().filter(|job| {
        let of_app = job["work"]["app"]
            .as_str()
            .is_some_and(|app| app.ends_with("/shop"));
        of_app && job["outcome"]["result"] == "done"
    });
    let mut made: Vec<Made> = done
        .filter_map(|job| {
            Some(Made {
                began: job["began"].as_i64()?,
                complete: job["ended"].as_i64()?,
                stall: job["stall"].as_u64().unwrap_or(0),
            })
        })
        .collect();
    made.sort_by_key(|point| point.began);
    Ok(made)
}

fn of_period(points: &[Made], from: i64) -> Vec<Made> {
    let within = points.iter().filter(|point| point.complete >= from);
    within.copied().collect()
}

/// How old the newest usable point was at most between two moments: just before the next one was complete, or at the end.
fn oldest(points: &[Made], from: i64, to: i64) -> i64 {
    let nexts = points.iter().skip(1).map(|next| next.complete);
    let pairs = points.iter().zip(nexts.chain([to]));
    let counted = pairs.filter(|(_, next)| *next >= from);
    counted
        .map(|(point, next)| next.min(to) - point.began)
        .max()
        .unwrap_or(i64::MAX)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
