//! Messages over real sockets: what arrives is what the services' own documents ask for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_notify::{Beat, Heartbeat, Level, Message, Options, Sender, Services, Target};
use server::{Http, smtp};

fn options(at: &str) -> Options {
    Options {
        pauses: vec![Duration::from_millis(20); 2],
        queue: 4,
        services: Services {
            discord: at.to_owned(),
            slack_hooks: at.to_owned(),
            slack_api: at.to_owned(),
            telegram: at.to_owned(),
        },
    }
}

fn message() -> Message {
    Message {
        level: Level::Failure,
        title: "RPO of shop missed – über".to_owned(),
        body: "first line\nsecond <b>".to_owned(),
    }
}

fn target(url: &str) -> Arc<Target> {
    Arc::new(Target::parse(url).unwrap())
}

#[test]
fn each_service_gets_what_it_asks_for() {
    let http = Http::start(200, "{}");
    let sender = Sender::start(options(&http.url())).unwrap();
    let at = http.at();
    let send = |url: &str| {
        sender.try_now(&target(url), &message()).unwrap();
        http.take()
    };
    let ntfy = send(&format!("ntfy://me:pw@{at}/alerts?scheme=http"));
    assert_eq!(ntfy.line, "POST / HTTP/1.1");
    assert_eq!(ntfy.header("authorization"), "Basic bWU6cHc=");
    let json = ntfy.json();
    assert_eq!(
        (json["topic"].as_str(), json["priority"].as_i64()),
        (Some("alerts"), Some(5))
    );
    assert_eq!(json["title"], "RPO of shop missed – über");
    let discord = send("discord://t0ken@4711");
    assert_eq!(discord.line, "POST /api/webhooks/4711/t0ken HTTP/1.1");
    assert!(
        discord.json()["content"]
            .as_str()
            .unwrap()
            .contains("second <b>")
    );
    let slack = send("slack://hook:T1-B2-c3D@webhook");
    assert_eq!(slack.line, "POST /services/T1/B2/c3D HTTP/1.1");
    assert!(
        slack.json()["text"]
            .as_str()
            .unwrap()
            .contains("second &lt;b&gt;")
    );
    let bot = send("slack://xoxb:1-2-x@C001");
    assert_eq!(bot.header("authorization"), "Bearer xoxb-1-2-x");
    let telegram = send("telegram://1:tok@telegram?chats=@ops");
    assert_eq!(telegram.line, "POST /bot1:tok/sendMessage HTTP/1.1");
    assert_eq!(telegram.json()["chat_id"], "@ops");
    let gotify = send(&format!("gotify://{at}/sub/tok?disabletls=yes"));
    assert_eq!(gotify.line, "POST /sub/message HTTP/1.1");
    assert_eq!(gotify.header("x-gotify-key"), "tok");
    let generic = send(&format!(
        "generic+http://{at}/hook?a=b&@X-Key=k&template=json"
    ));
    assert_eq!(generic.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(generic.header("x-key"), "k");
    assert_eq!(generic.json()["level"], "failure");
    let apprise = send(&format!("apprise://{at}/key1"));
    assert_eq!(apprise.line, "POST /notify/key1 HTTP/1.1");
    assert_eq!(apprise.json()["type"], "failure");
}

#[test]
fn switches_are_told_of_start_success_and_failure() {
    let http = Http::start(200, "OK");
    let sender = Sender::start(options(&http.url())).unwrap();
    let checks = Arc::new(Heartbeat::healthchecks(&format!("{}/ping/uuid/", http.url())).unwrap());
    let kuma = Arc::new(
        Heartbeat::kuma(&format!(
            "{}/api/push/tok?status=up&msg=OK&ping=",
            http.url()
        ))
        .unwrap(),
    );
    let run = || "0b1f9c1e-0000-4000-8000-000000000001".to_owned();
    let say = |switch: &Arc<Heartbeat>, beat: Beat| {
        sender.beat(switch, beat);
        assert!(sender.drain(Duration::from_secs(5)));
    };
    say(&checks, Beat::Start { run: run() });
    assert!(
        http.take()
            .line
            .starts_with("POST /ping/uuid/start?rid=0b1f9c1e-")
    );
    say(
        &checks,
        Beat::Success {
            run: run(),
            took: 1200,
            line: "point abc".to_owned(),
        },
    );
    let request = http.take();
    assert!(
        request.line.starts_with("POST /ping/uuid?rid="),
        "{}",
        request.line
    );
    assert_eq!(request.body, "point abc");
    let log = format!("{}the end", "x".repeat(20_000));
    say(&checks, Beat::Fail { run: run(), log });
    let request = http.take();
    assert!(request.line.starts_with("POST /ping/uuid/fail?rid="));
    assert!(request.body.ends_with("the end") && request.body.len() == 10_000);
    say(&kuma, Beat::Start { run: run() });
    say(
        &kuma,
        Beat::Success {
            run: run(),
            took: 1200,
            line: "point abc".to_owned(),
        },
    );
    assert_eq!(
        http.take().line,
        "GET /api/push/tok?status=up&msg=point+abc&ping=1200 HTTP/1.1"
    );
    say(
        &kuma,
        Beat::Fail {
            run: run(),
            log: "a\nvault away".to_owned(),
        },
    );
    assert!(
        http.take()
            .line
            .starts_with("GET /api/push/tok?status=down&msg=vault+away")
    );
    assert!(http.is_empty());
}

#[test]
fn mail_arrives_with_its_subject_and_all_its_readers() {
    let (at, mails) = smtp();
    let sender = Sender::start(options("http://127.0.0.1:9")).unwrap();
    let url = format!(
        "smtp://me:pw@{at}/?from=lifeboat@example.org&to=a@example.org,b@example.org&encryption=None"
    );
    sender.try_now(&target(&url), &message()).unwrap();
    let talk = mails.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(talk.contains("AUTH PLAIN AG1lAHB3"), "{talk}");
    assert!(talk.contains("RCPT TO:<a@example.org>") && talk.contains("RCPT TO:<b@example.org>"));
    assert!(
        talk.contains("Subject: [lifeboat] ") && talk.contains("=?utf-8?"),
        "{talk}"
    );
    assert!(talk.contains("second <b>"), "{talk}");
    // Without STARTTLS on offer nothing is sent, unless the URL says so.
    let sealed = format!("smtp://{at}/?from=a@example.org&to=b@example.org");
    assert!(sender.try_now(&target(&sealed), &message()).is_err());
}

#[test]
fn what_is_refused_is_said_without_secrets_and_forgotten_when_it_works_again() {
    let http = Http::start(403, r#"{"error":"forbidden"}"#);
    let sender = Sender::start(options(&http.url())).unwrap();
    let bad = target(&format!(
        "ntfy://me:s3cret@{}/s3cret-topic?scheme=http",
        http.at()
    ));
    sender.tell(&bad, message());
    assert!(sender.drain(Duration::from_secs(5)));
    let troubles = sender.troubles();
    assert_eq!(troubles.len(), 1);
    assert_eq!(troubles[0].why, "it answers 403 (forbidden)");
    assert!(!format!("{troubles:?}").contains("s3cret"));
    http.answer(200, "{}");
    sender.tell(&bad, message());
    assert!(sender.drain(Duration::from_secs(5)));
    assert_eq!(sender.troubles(), []);
    let nobody = target("gotify://127.0.0.1:9/s3cret?disabletls=yes");
    let error = sender.try_now(&nobody, &message()).unwrap_err().to_string();
    assert_eq!(error, "it cannot be reached");
}

#[test]
fn no_redirect_takes_a_secret_away() {
    let thief = Http::start(200, "");
    let http = Http::redirect(&thief.url());
    let sender = Sender::start(options(&http.url())).unwrap();
    let error = sender
        .try_now(&target("discord://s3cret@1"), &message())
        .unwrap_err();
    assert_eq!(error.to_string(), "it answers 307");
    assert!(thief.is_empty());
}

#[test]
fn a_place_that_hangs_holds_up_nobody() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = target(&format!(
        "gotify://{}/x?disabletls=yes",
        hanging.local_addr().unwrap()
    ));
    let http = Http::start(200, "{}");
    let sender = Sender::start(options(&http.url())).unwrap();
    let clock = Instant::now();
    for _ in 0..50 {
        sender.tell(&slow, message());
    }
    let quick = target("discord://t@1");
    sender.tell(&quick, message());
    assert!(
        clock.elapsed() < Duration::from_millis(500),
        "handing in never waits"
    );
    let until = Instant::now() + Duration::from_secs(5);
    while http.is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!http.is_empty());
    let clock = Instant::now();
    drop(sender);
    assert!(
        clock.elapsed() < Duration::from_secs(2),
        "ending never waits either"
    );
}
