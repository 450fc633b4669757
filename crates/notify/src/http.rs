//! Requests: what each service takes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{Level, Message, NotSent, message::shortened, target::Kind};

/// A whole request may take so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// So much of an answer is read.
const ANSWER: usize = 4096;

/// Where the services that have one address are. Others only in tests.
#[derive(Debug, Clone)]
pub struct Services {
    /// Discord's.
    pub discord: String,
    /// Slack's web hooks.
    pub slack_hooks: String,
    /// Slack's API.
    pub slack_api: String,
    /// Telegram's.
    pub telegram: String,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            discord: "https://discord.com".to_owned(),
            slack_hooks: "https://hooks.slack.com".to_owned(),
            slack_api: "https://slack.com".to_owned(),
            telegram: "https://api.telegram.org".to_owned(),
        }
    }
}

/// A client that follows nobody.
pub(crate) fn client() -> Result<Client, NotSent> {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .user_agent(concat!("lifeboat/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| NotSent(format!("no HTTP client can be made: {}", e.without_url())))
}

/// The requests that a message makes.
pub(crate) fn requests(
    client: &Client,
    kind: &Kind,
    message: &Message,
    at: &Services,
) -> Vec<RequestBuilder> {
    let Message { level, title, body } = message;
    let text = if body.is_empty() { title } else { body };
    match kind {
        Kind::Ntfy { base, topic, login } => {
            let (priority, tag) = match level {
                Level::Failure => (5, "rotating_light"),
                Level::Warning => (4, "warning"),
                Level::Recovery => (3, "white_check_mark"),
                Level::Info => (3, "information_source"),
            };
            let request = client.post(base).json_body(&json!({
                "topic": topic.expose_secret(),
                "title": title,
                "message": shortened(text, 4000),
                "priority": priority,
                "tags": [tag],
            }));
            vec![match login {
                // A user alone is an access token.
                Some((token, pass)) if pass.expose_secret().is_empty() => {
                    request.bearer_auth(token)
                }
                Some((user, pass)) => request.basic_auth(user, Some(pass.expose_secret())),
                None => request,
            }]
        }
        Kind::Discord { id, token } => {
            let url = format!("{}/api/webhooks/{id}/{}", at.discord, token.expose_secret());
            let body = json!({
                "content": message.text(2000),
                "allowed_mentions": {"parse": []},
            });
            vec![client.post(url).json_body(&body)]
        }
        Kind::SlackHook { path } => {
            let url = format!("{}/services/{}", at.slack_hooks, path.expose_secret());
            vec![
                client
                    .post(url)
                    .json_body(&json!({"text": escaped_for_slack(message)})),
            ]
        }
        Kind::SlackBot { token, channel } => {
            let url = format!("{}/api/chat.postMessage", at.slack_api);
            let body = json!({"channel": channel, "text": escaped_for_slack(message)});
            vec![
                client
                    .post(url)
                    .bearer_auth(token.expose_secret())
                    .json_body(&body),
            ]
        }
        Kind::Telegram { token, chats } => {
            let url = format!("{}/bot{}/sendMessage", at.telegram, token.expose_secret());
            let request = |chat: &String| {
                let body = json!({"chat_id": chat, "text": message.text(4096)});
                client.post(&url).json_body(&body)
            };
            chats.iter().map(request).collect()
        }
        Kind::Gotify { base, token } => {
            let priority = match level {
                Level::Failure => 8,
                Level::Warning => 5,
                Level::Recovery | Level::Info => 3,
            };
            let body = json!({"title": title, "message": text, "priority": priority});
            let request = client.post(format!("{base}/message"));
            vec![
                request
                    .header("x-gotify-key", token.expose_secret())
                    .json_body(&body),
            ]
        }
        Kind::Generic { url, headers, json } => {
            let mut request = client.post(url.expose_secret());
            request = match json {
                true => {
                    request.json_body(&json!({"title": title, "message": text, "level": level}))
                }
                false => request
                    .header("content-type", "text/plain; charset=utf-8")
                    .body(message.text(usize::MAX)),
            };
            for (name, value) in headers {
                request = request.header(name, value.expose_secret());
            }
            vec![request]
        }
        Kind::Apprise { url } => {
            let kind = match level {
                Level::Failure => "failure",
                Level::Warning => "warning",
                Level::Recovery => "success",
                Level::Info => "info",
            };
            let body = json!({"title": title, "body": text, "type": kind});
            vec![client.post(url.expose_secret()).json_body(&body)]
        }
        Kind::Smtp(_) | Kind::Exec { .. } => Vec::new(),
    }
}

fn escaped_for_slack(message: &Message) -> String {
    let text = message.text(30_000);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

trait JsonBody {
    fn json_body(self, value: &serde_json::Value) -> Self;
}

impl JsonBody for RequestBuilder {
    fn json_body(self, value: &serde_json::Value) -> Self {
        self.header("content-type", "application/json")
            .body(value.to_string())
    }
}

/// Sends; anything but a success is an error that shows the status and the beginning of the answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<(), NotSent> {
    let answer = request.send().await.map_err(|e| {
        let why = match &e {
            _ if e.is_timeout() => "no answer in time",
            _ if e.is_connect() => "it cannot be reached",
            _ if e.is_builder() => "its address cannot be used",
            _ => "the request broke off",
        };
        NotSent(why.to_owned())
    })?;
    let status = answer.status();
    let text = beginning(answer).await;
    // Slack's API says 200 and `"ok":false`.
    let refused = text.contains("\"ok\":false");
    match status.is_success() && !refused {
        true => Ok(()),
        false => Err(NotSent(format!(
            "it answers {}{}",
            status.as_u16(),
            reason(&text)
        ))),
    }
}

async fn beginning(answer: reqwest::Response) -> String {
    let mut stream = answer.bytes_stream();
    let mut read: Vec<u8> = Vec::new();
    while let Some(Ok(piece)) = stream.next().await {
        let piece: Bytes = piece;
        read.extend(piece.iter().take(ANSWER - read.len()));
        if read.len() >= ANSWER {
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// What a service says of why, if it says it in the way that they do: nothing else of an answer is shown, since some
/// repeat what they were sent.
fn reason(text: &str) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return String::new();
    };
    let words = ["errorDescription", "description", "error", "message"];
    let said = words.iter().find_map(|word| value.get(word)?.as_str());
    said.map_or_else(String::new, |said| format!(" ({})", shortened(said, 120)))
}
