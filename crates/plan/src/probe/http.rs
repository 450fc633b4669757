//! What an HTTP probe asks, and which answers are good.

use serde_json::Value;

use super::Reference;

/// What a header of the question says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// This.
    Plain(String),
    /// What is found there.
    From(Reference),
}

/// Headers that carry credentials: only by reference.
const SECRET_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "x-auth-token",
    "api-key",
];

/// `GET http(s)://:PORT/PATH`. A certificate is not verified, as in Kubernetes: the question goes to the container's
/// own address, not to a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// `https`.
    pub tls: bool,
    /// Port.
    pub port: u16,
    /// Path with its query; begins with `/`.
    pub path: String,
    /// What the header `Host` says; the container's address if nothing.
    pub host: Option<String>,
    /// Good statuses, from and to; 200 to 399 if empty. One of these in 300 to 399 is not followed.
    pub status: Vec<(u16, u16)>,
    /// Further headers.
    pub headers: Vec<(String, HeaderText)>,
    /// A pattern (regular expression) that the body has to match somewhere.
    pub body: Option<String>,
    /// What has to stand in the body's JSON.
    pub json: Option<JsonTest>,
}

impl Http {
    /// Whether a status is good.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        if self.status.is_empty() {
            return (200..400).contains(&status);
        }
        let within = |(from, to): &(u16, u16)| (*from..=*to).contains(&status);
        self.status.iter().any(within)
    }

    /// Whether a redirect is followed: unless somebody waits for that very status.
    #[must_use]
    pub fn follows(&self, status: u16) -> bool {
        matches!(status, 301 | 302 | 303 | 307 | 308)
            && (self.status.is_empty() || !self.accepts(status))
    }

    pub(super) fn set(&mut self, name: &str, text: &str, from_label: bool) -> Result<(), String> {
        match name {
            "status" => self.status = statuses(text)?,
            "host" if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') => {
                return Err(format!("{text:?} is no host name"));
            }
            "host" => self.host = Some(text.to_owned()),
            "body" => {
                regex_lite::Regex::new(text)
                    .map_err(|why| format!("the pattern {text:?} is not understood: {why}"))?;
                self.body = Some(text.to_owned());
            }
            "json" => self.json = Some(JsonTest::parse(text)?),
            _ => {
                let header = name.strip_prefix("header.").ok_or("no such value")?;
                let value = header_text(header, text, from_label)?;
                self.headers.push((header.to_owned(), value));
            }
        }
        Ok(())
    }
}

fn header_text(name: &str, text: &str, from_label: bool) -> Result<HeaderText, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err(format!("{name:?} is no name of a header"));
    }
    let reference = Reference::parse(text, from_label);
    let looks_so = ["env:", "file:/", "host-file:/"]
        .iter()
        .any(|start| text.starts_with(start));
    let lower = name.to_ascii_lowercase();
    if looks_so || SECRET_HEADERS.contains(&lower.as_str()) {
        return Ok(HeaderText::From(reference?));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the header {name} holds a control character"));
    }
    Ok(HeaderText::Plain(text.to_owned()))
}

/// `200`, `200-299`, `2xx`, and several of them with commas.
fn statuses(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let wrong = || format!("{text:?} are no statuses; write for instance 200-299,401 or 2xx");
    let one = |text: &str| match text.trim().parse::<u16>() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(wrong()),
    };
    let part = |part: &str| {
        let part = part.trim();
        if let Some(class) = part.strip_suffix("xx") {
            let class = class.parse::<u16>().ok().filter(|c| (1..=5).contains(c));
            let class = class.ok_or_else(wrong)?;
            return Ok((class * 100, class * 100 + 99));
        }
        match part.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (one(from)?, one(to)?);
                if from > to {
                    Err(wrong())
                } else {
                    Ok((from, to))
                }
            }
            None => one(part).map(|status| (status, status)),
        }
    };
    text.split(',').map(part).collect()
}

/// A place in a JSON document, and what has to stand there: `status=ok`, `checks[0].up=true`, `$.a.b` (something that
/// is neither `false`, `null` nor missing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonTest {
    text: String,
    steps: Vec<Step>,
    wanted: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
}

impl JsonTest {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence about what it is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no place in JSON; write for instance status=ok or checks[0].up")
        };
        let (path, wanted) = match text.split_once('=') {
            Some((path, wanted)) => {
                let wanted = wanted.trim_start_matches('=').trim();
                (path, Some(wanted.trim_matches('"').to_owned()))
            }
            None => (text, None),
        };
        let path = path.trim().trim_start_matches('$').trim_start_matches('.');
        let mut steps = Vec::new();
        for part in path.split('.') {
            let mut pieces = part.split('[');
            let key = pieces.next().unwrap_or_default().trim();
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            } else if !part.starts_with('[') {
                return Err(wrong());
            }
            for index in pieces {
                let index = index.trim().strip_suffix(']').ok_or_else(wrong)?;
                let named = index.trim_matches(['"', '\'']);
                steps.push(match index.parse() {
                    Ok(at) => Step::At(at),
                    Err(_) if named.len() + 2 == index.len() => Step::Key(named.to_owned()),
                    Err(_) => return Err(wrong()),
                });
            }
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
            wanted,
        })
    }

    /// Whether a document is as it should be; otherwise what stands there.
    ///
    /// # Errors
    /// A phrase.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        let mut at = document;
        for step in &self.steps {
            at = match step {
                Step::Key(key) => &at[key.as_str()],
                Step::At(index) => &at[*index],
            };
        }
        let found = match at {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let good = match &self.wanted {
            Some(wanted) => found == *wanted,
            None => !matches!(at, Value::Null | Value::Bool(false)),
        };
        if good {
            return Ok(());
        }
        let found: String = found.chars().take(60).collect();
        Err(format!(
            "its JSON should have {}, it has {found}",
            self.text
        ))
    }
}

impl std::fmt::Display for JsonTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
