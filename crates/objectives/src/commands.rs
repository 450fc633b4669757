//! Work as commands of this program, and what their answers say.

use std::ffi::OsString;
use std::path::Path;

use lifeboat_plan::schedule::{Form, Job, Order, Outcome, Task, Time, Work};
use serde_json::Value;

use crate::{
    policies::{AppPolicy, keep},
    settings::{CopyTo, Settings},
};

/// How long a job waits for a vault that somebody else holds.
const RETRY_LOCK: &str = "2m";
/// What a check reads of the vault each time.
const CHECK_PART: &str = "1/12";

/// A line that names it.
#[must_use]
pub fn shown(work: &Work) -> String {
    match work {
        Work::Capture { app } => format!("capture {app}"),
        Work::Upkeep(Task::Forget) => "forget".to_owned(),
        Work::Upkeep(Task::Prune) => "prune".to_owned(),
        Work::Upkeep(Task::Check) => "check".to_owned(),
        Work::Upkeep(Task::Registry(name)) => format!("registry {name}"),
        Work::Upkeep(Task::ForgetTags(name)) => format!("registry forget {name}"),
        Work::Upkeep(Task::Copy(name)) => format!("copy {name}"),
        Work::Upkeep(Task::ForgetIn(name)) => format!("forget in {name}"),
        Work::Upkeep(Task::PruneIn(name)) => format!("prune {name}"),
        Work::Upkeep(Task::CheckIn(name)) => format!("check {name}"),
        Work::Order(order) => order.title.clone(),
    }
}

/// The app (`site/host/app`) that this work makes a recovery point of.
#[must_use]
pub fn captures(work: &Work) -> Option<&str> {
    match work {
        Work::Capture { app } => Some(app),
        Work::Upkeep(_) => None,
        Work::Order(order) => order.captures.as_deref(),
    }
}

/// The app or copy that it is about, by the name that it has on this host.
pub(crate) fn about(work: &Work) -> Option<&str> {
    match work {
        Work::Capture { app } => app.rsplit('/').next(),
        Work::Upkeep(_) => None,
        Work::Order(order) => order.about.as_deref(),
    }
}

/// The commands that do it, one after the other; `file` is what an order came with.
pub(crate) fn commands(
    work: &Work,
    settings: &Settings,
    apps: &[AppPolicy],
    file: &Path,
) -> Vec<Vec<OsString>> {
    let line = |words: &[&str]| -> Vec<OsString> {
        let ends = ["--output", "json", "--retry-lock", RETRY_LOCK];
        words.iter().chain(&ends).map(OsString::from).collect()
    };
    match work {
        Work::Capture { app } => {
            let name = app.rsplit('/').next().unwrap_or(app);
            let mut command = line(&["backup", name]);
            let of = apps.iter().find(|known| known.app == **app);
            // As it was resolved here, whatever the settings say by then.
            if let Some(asked) = of.and_then(|of| of.policy.consistency.as_ref()) {
                command.push("--consistency".into());
                command.push(asked.value.to_string().into());
            }
            vec![command]
        }
        Work::Upkeep(Task::Forget) => apps.iter().map(|app| line(&forget(app))).collect(),
        Work::Upkeep(Task::Prune) => vec![line(&["prune"])],
        Work::Upkeep(Task::Check) => vec![line(&["check", "--read-data-rolling", CHECK_PART])],
        Work::Upkeep(Task::Registry(name)) => vec![line(&["registry", "backup", name])],
        Work::Upkeep(Task::ForgetTags(name)) => {
            let registry = settings.registries.get(name);
            let Some(rules) = registry.and_then(|registry| registry.forget.as_ref()) else {
                return Vec::new();
            };
            let mut command = line(&["registry", "forget", name]);
            command.extend(rules.words().into_iter().map(OsString::from));
            vec![command]
        }
        Work::Upkeep(Task::Copy(name)) => {
            let Some(copy) = settings.copies.get(name) else {
                return Vec::new();
            };
            let mut command = line(&["copy"]);
            if copy.retain.is_some() {
                // What is forgotten there would come again with each copy.
                command.push("--only-newer".into());
            }
            command.extend(place(copy));
            vec![command]
        }
        Work::Upkeep(Task::ForgetIn(name)) => {
            let copy = settings.copies.get(name);
            let Some((copy, retain)) = copy.and_then(|copy| Some((copy, copy.retain?))) else {
                return Vec::new();
            };
            // The vault may hold what other hosts copy there.
            let forget = |app: &AppPolicy| {
                let keep = keep(retain);
                // Not of all of them has a copy brought a point yet.
                let mut words = vec!["forget", app.app.as_str(), "--missing-ok"];
                words.extend(keep.iter().map(String::as_str));
                there(copy, line(&words))
            };
            apps.iter().map(forget).collect()
        }
        Work::Upkeep(Task::PruneIn(name)) => {
            let copy = settings.copies.get(name).into_iter();
            copy.map(|copy| there(copy, line(&["prune"]))).collect()
        }
        Work::Upkeep(Task::CheckIn(name)) => {
            let copy = settings.copies.get(name).into_iter();
            let check = ["check", "--read-data-rolling", CHECK_PART];
            copy.map(|copy| there(copy, line(&check))).collect()
        }
        Work::Order(order) => {
            let Some(to) = &order.copy else {
                return vec![ordered(order, file, Vec::new())];
            };
            let copy = settings.copies.get(to);
            copy.map(|copy| ordered(order, file, place(copy)))
                .into_iter()
                .collect()
        }
    }
}

/// Where a further vault is, as flags.
fn place(copy: &CopyTo) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--to".into(), copy.to.clone().into()];
    if let Some(file) = &copy.password_file {
        words.push("--to-password-file".into());
        words.push(file.into());
    }
    words
}

/// A command in a further vault, which is reached as a copy reaches it.
fn there(copy: &CopyTo, command: Vec<OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--in-vault".into(), copy.to.clone().into()];
    if let Some(file) = &copy.password_file {
        words.push("--in-password-file".into());
        words.push(file.into());
    }
    words.extend(command);
    words
}

/// The command of an order; flags stand before what it names.
fn ordered(order: &Order, file: &Path, mut more: Vec<OsString>) -> Vec<OsString> {
    let form = match order.form {
        Form::Json => "json",
        Form::Text => "table",
    };
    let before = ["--output", form, "--retry-lock", RETRY_LOCK];
    let mut words: Vec<OsString> = before.map(OsString::from).to_vec();
    words.extend(order.args.iter().map(OsString::from));
    if let Some(flag) = &order.file_flag {
        let mut both = OsString::from(format!("{flag}="));
        both.push(file);
        more.push(both);
    }
    let at = words.iter().position(|word| word == "--");
    let at = at.unwrap_or(words.len());
    words.splice(at..at, more);
    words
}

/// `--keep-…` as the policy has it.
fn forget(app: &AppPolicy) -> Vec<&str> {
    let mut words = vec!["forget", app.app.as_str()];
    words.extend(app.keep.iter().map(String::as_str));
    words
}

/// What a job's answer adds to its record; how it ended; the beginning of the point that counts.
pub(crate) fn ended(job: &mut Job, code: Option<i32>, out: &str) -> (Outcome, Option<Time>) {
    let answers: Vec<Value> = serde_json::Deserializer::from_str(out)
        .into_iter::<Value>()
        .map_while(std::result::Result::ok)
        .collect();
    let last_words = job
        .log
        .iter()
        .rev()
        .find(|line| line.starts_with("lifeboat: "));
    let why = last_words.map_or("its process ended without a word", |line| {
        line.trim_start_matches("lifeboat: ")
    });
    let failed = Outcome::Failed {
        why: why.to_owned(),
    };
    if captures(&job.work).is_some() {
        return captured(job, code, answers.first(), failed);
    }
    let outcome = match code {
        Some(0) => Outcome::Done,
        Some(3) => Outcome::Incomplete {
            why: vec![why.to_owned()],
        },
        Some(130) => Outcome::Cancelled,
        Some(_) => failed,
        None => Outcome::Interrupted,
    };
    (outcome, None)
}

fn captured(
    job: &mut Job,
    code: Option<i32>,
    answer: Option<&Value>,
    failed: Outcome,
) -> (Outcome, Option<Time>) {
    let made = answer.and_then(|a| a["protected"].as_array()?.first());
    // The answer tells even where nobody waited for the process.
    let Some(made) = made.filter(|made| made["id"].is_string()) else {
        let said = answer.and_then(|a| a["failed"].as_array()?.first()?["error"].as_str());
        let outcome = match (code, said) {
            (Some(130), _) => Outcome::Cancelled,
            (_, Some(why)) => Outcome::Failed {
                why: why.to_owned(),
            },
            (None, None) => Outcome::Interrupted,
            (Some(_), None) => failed,
        };
        return (outcome, None);
    };
    let number = |name: &str| made[name].as_u64().unwrap_or(0);
    job.files = number("files");
    job.bytes = number("bytes");
    job.added = number("added");
    job.stall = made["stall_seconds"]
        .as_f64()
        .map(|s| (s * 1000.0).round() as u64);
    job.point = made["id"].as_str().map(str::to_owned);
    let began = made["time"]
        .as_str()
        .and_then(|t| t.parse().ok())
        .map(Time::of);
    let missing: Vec<String> = made["incomplete"]
        .as_array()
        .into_iter()
        .flatten()
        .chain([&made["less_consistent"]])
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect();
    match missing.is_empty() {
        true => (Outcome::Done, began),
        false => (Outcome::Incomplete { why: missing }, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lifeboat_plan::{
        identity::AppIdentity,
        name::{AppName, HostName, SiteName},
        policy::{Layers, resolve},
    };

    use super::*;

    #[test]
    fn a_further_vault_keeps_what_it_is_told_of_this_hosts_apps() {
        let copy = |more: &str| {
            let text = format!("to = \"/far\"\nrpo = \"6h\"\n{more}");
            let copies = [("far".to_owned(), toml::from_str(&text).unwrap())].into();
            Settings {
                copies,
                ..Settings::default()
            }
        };
        let app = AppPolicy {
            app: "default/lab/shop".to_owned(),
            name: "shop".to_owned(),
            policy: resolve(&Layers {
                app: &AppIdentity::new(
                    SiteName::default(),
                    HostName::new("lab").unwrap(),
                    AppName::new("shop").unwrap(),
                ),
                labelled: &[],
                holds_data: &|_| false,
                file: &BTreeMap::new(),
                api: None,
                zone: &jiff::tz::TimeZone::UTC,
                now: jiff::Timestamp::UNIX_EPOCH,
            }),
            keep: Vec::new(),
        };
        let lines = |task: fn(String) -> Task, settings: &Settings| -> Vec<String> {
            let work = Work::Upkeep(task("far".to_owned()));
            let lines = commands(&work, settings, std::slice::from_ref(&app), Path::new("/f"));
            let line = |words: &Vec<OsString>| words.join(std::ffi::OsStr::new(" "));
            lines
                .iter()
                .map(|words| line(words).into_string().unwrap())
                .collect()
        };
        let keeps = copy("retain = \"7d,4w\"\npassword-file = \"/k\"");
        assert_eq!(
            lines(Task::ForgetIn, &keeps),
            [
                "--in-vault /far --in-password-file /k forget default/lab/shop --missing-ok --keep-daily 7 --keep-weekly 4 --output json --retry-lock 2m"
            ]
        );
        assert_eq!(
            lines(Task::Copy, &keeps),
            ["copy --output json --retry-lock 2m --only-newer --to /far --to-password-file /k"]
        );
        // Where nothing is said, all stays, and all is sent.
        let all = copy("");
        assert_eq!(lines(Task::ForgetIn, &all), [] as [String; 0]);
        assert_eq!(
            lines(Task::Copy, &all),
            ["copy --output json --retry-lock 2m --to /far"]
        );
    }

    #[test]
    fn flags_of_an_order_stand_before_what_it_names() {
        let settings = Settings {
            copies: [(
                "far".to_owned(),
                toml::from_str("to = \"/far\"\nrpo = \"6h\"\npassword-file = \"/k\"").unwrap(),
            )]
            .into(),
            ..Settings::default()
        };
        let order = Order {
            title: "copy to far".to_owned(),
            about: None,
            captures: None,
            args: ["copy", "--dry-run", "--", "shop"]
                .map(str::to_owned)
                .to_vec(),
            file_flag: Some("--map-file".to_owned()),
            copy: Some("far".to_owned()),
            form: Form::Text,
        };
        let file = Path::new("/state/7.given");
        let lines = commands(&Work::Order(order.clone()), &settings, &[], file);
        let line = lines[0].join(std::ffi::OsStr::new(" "));
        assert_eq!(
            line.to_str().unwrap(),
            "--output table --retry-lock 2m copy --dry-run --to /far --to-password-file /k --map-file=/state/7.given -- shop"
        );
        // A vault that is not named any more: nothing is done, and not in its place something else.
        let none = commands(&Work::Order(order), &Settings::default(), &[], file);
        assert!(none.is_empty());
    }
}
