//! What was asked for, as an order: the command of this program that does it. Values become values of flags (`--flag=value`) or stand
//! behind `--`, so that none of them is ever taken for a flag.

mod apps;
mod registry;
mod vault;

use lifeboat_plan::schedule::{Form, Order};

pub use apps::{backup, estimate, interrupted, remove_copy, remove_expired, restore};
pub use registry::{registry, registry_check, registry_forget, registry_restore};
pub use vault::{check, copy, forget, pin, prune, repair};

use crate::{ask, problem::Problem};

/// The longest value, and so many of a kind.
const LONGEST: usize = 4096;
const MOST: usize = 200;

/// A command line that is being put together.
pub struct Line {
    words: Vec<String>,
    names: Vec<String>,
}

impl Line {
    fn new(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            names: Vec::new(),
        }
    }

    fn flag(&mut self, name: &str, on: bool) -> &mut Self {
        if on {
            self.words.push(format!("--{name}"));
        }
        self
    }

    fn value(&mut self, name: &str, value: Option<&str>) -> Result<&mut Self, Problem> {
        if let Some(value) = value {
            self.words.push(format!("--{name}={}", sound(name, value)?));
        }
        Ok(self)
    }

    fn values(&mut self, name: &str, values: &[String]) -> Result<&mut Self, Problem> {
        few(name, values)?;
        for value in values {
            self.value(name, Some(value))?;
        }
        Ok(self)
    }

    fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.names.push(name.into());
        self
    }

    /// All of it.
    pub fn words(mut self) -> Vec<String> {
        if !self.names.is_empty() {
            self.words.push("--".to_owned());
            self.words.append(&mut self.names);
        }
        self.words
    }
}

fn few(name: &str, values: &[String]) -> Result<(), Problem> {
    if values.len() > MOST {
        return Err(Problem::bad(format!(
            "`{name}` has more than {MOST} members"
        )));
    }
    Ok(())
}

fn sound<'v>(name: &str, value: &'v str) -> Result<&'v str, Problem> {
    if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
        return Err(Problem::bad(format!(
            "`{name}` is empty, longer than {LONGEST} bytes, or holds control characters"
        )));
    }
    Ok(value)
}

/// A point as people name it: `[[SITE/]HOST/]APP[@ID]`, an id, `latest`.
///
/// # Errors
/// It is none of these.
pub fn reference(text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(Problem::bad(
            "`point` is missing: an app, APP@ID, an id, or `latest`",
        ));
    }
    let is_id = |id: &str| {
        id == "latest" || (4..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let (app, id) = match text.split_once('@') {
        Some((app, id)) => (app, Some(id)),
        None => (text, None),
    };
    let app = ask::name(app)?;
    match id {
        None => Ok(app),
        Some(id) if is_id(id) => Ok(format!("{app}@{id}")),
        Some(_) => Err(Problem::bad(
            "what stands behind `@` is no point: its id has 4 to 64 hexadecimal digits",
        )),
    }
}

/// The app's own name in a reference; none: the reference is an id.
#[must_use]
pub fn app_of(reference: &str) -> Option<&str> {
    let app = reference.split('@').next()?;
    let is_id = app == "latest" || app.len() >= 8 && app.bytes().all(|b| b.is_ascii_hexdigit());
    (!is_id).then(|| app.rsplit('/').next().unwrap_or(app))
}

fn references(line: &mut Line, points: &[String]) -> Result<(), Problem> {
    few("points", points)?;
    for point in points {
        line.name(reference(point)?);
    }
    Ok(())
}

/// The same as an order.
fn order(title: String, about: Option<&str>, line: Line) -> Order {
    Order {
        title,
        about: about.map(str::to_owned),
        captures: None,
        args: line.words(),
        file_flag: None,
        copy: None,
        form: Form::Json,
    }
}

/// The name once more, as the command asks for it.
///
/// # Errors
/// It was not said, or is another.
pub fn confirmed(name: &str, said: Option<&str>, what: &str) -> Result<(), Problem> {
    match said {
        Some(said) if said == name => Ok(()),
        Some(_) => Err(Problem::conflict(format!(
            "`confirm` is not `{name}`, which {what}; nothing was changed"
        ))),
        None => Err(Problem::conflict(format!(
            "`{name}` {what}: say its name once more in `confirm`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_told_from_an_id() {
        assert_eq!(app_of("default/lab/shop@0123"), Some("shop"));
        assert_eq!(app_of("0123abcd"), None);
        assert_eq!(app_of("latest"), None);
        assert_eq!(
            app_of("cafe"),
            Some("cafe"),
            "short names can be hexadecimal"
        );
    }
}
