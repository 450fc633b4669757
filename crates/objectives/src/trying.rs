//! A test message to everybody who is told when something is wrong.

use lifeboat_notify::{Level, Message, Options, Sender};

use crate::{Result, Settings};

/// Sends it: each place (without secrets), and why it did not take it.
///
/// # Errors
/// Nothing can be sent at all.
pub fn try_targets(
    settings: &Settings,
    host: Option<&str>,
) -> Result<Vec<(String, Option<String>)>> {
    let sender = Sender::start(Options::default())?;
    let message = Message {
        level: Level::Info,
        title: format!("A test from {}", host.unwrap_or("this host")),
        body: "Lifeboat reaches you here. Real messages come when an RPO is about to be missed, is missed, and is kept again.".to_owned(),
    };
    let tried = settings.targets.iter().map(|target| {
        let sent = sender.try_now(target, &message);
        (target.to_string(), sent.err().map(|e| e.to_string()))
    });
    Ok(tried.collect())
}
