//! What supervision needs to know of a container, read once from its inspect answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rules;
use super::replicas::Replicas;
use crate::inventory::Container;
use crate::label;
use crate::order::{Condition, depends_on};
use crate::probe::{self, Check, Probes, Settings};

/// The engine's restart policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// Always.
    Always,
    /// Always, but for what was stopped.
    UnlessStopped,
    /// After failures, so many times; 0 is for ever.
    OnFailure(u32),
}

impl Policy {
    /// From a raw inspect answer.
    #[must_use]
    pub fn of(raw: &Value) -> Self {
        let policy = &raw["HostConfig"]["RestartPolicy"];
        match policy["Name"].as_str().unwrap_or_default() {
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            "on-failure" => {
                let most = policy["MaximumRetryCount"].as_u64().unwrap_or(0);
                Self::OnFailure(u32::try_from(most).unwrap_or(u32::MAX))
            }
            _ => Self::No,
        }
    }

    /// Whether one that ended with 0 is to run again.
    #[must_use]
    pub fn is_forever(self) -> bool {
        matches!(self, Self::Always | Self::UnlessStopped)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure(0) => f.write_str("on-failure"),
            Self::OnFailure(most) => write!(f, "on-failure:{most}"),
        }
    }
}

/// The place that a container fills in a Compose project; another one with the same takes over from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// Project.
    pub project: String,
    /// Service.
    pub service: String,
    /// Number within the service.
    pub number: String,
}

impl Slot {
    /// From labels, or an event's attributes, which hold them.
    #[must_use]
    pub fn of(labels: &std::collections::BTreeMap<String, String>) -> Option<Self> {
        let text = |key| label::get(labels, key).map(str::to_owned);
        Some(Self {
            project: text(label::PROJECT)?,
            service: text(label::SERVICE)?,
            number: text(label::NUMBER).unwrap_or_default(),
        })
    }
}

/// One thing that has to be there first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// A service of the same project, or a container's name or id.
    pub on: String,
    /// What it has to be.
    pub condition: NeedCondition,
    /// Its restart restarts this one too.
    pub restart: bool,
    /// Its namespace is shared: without it there is no start, and after its start another one.
    pub namespace: bool,
}

/// What a dependency has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedCondition {
    /// Started.
    Started,
    /// Ready: its health check or readiness probe passes.
    Ready,
    /// Ended with 0.
    Completed,
}

/// What supervision needs to know of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// The app it belongs to, as people call it.
    pub app: String,
    /// Its place in a Compose project.
    pub slot: Option<Slot>,
    /// Restart policy.
    pub policy: Policy,
    /// How it is looked after.
    pub rules: Rules,
    /// What has to be there first.
    pub needs: Vec<Need>,
    /// Removed by the engine when it ends.
    pub auto_remove: bool,
    /// Signal that stops it.
    pub stop_signal: u32,
    /// Seconds between that and the kill.
    pub stop_grace: u64,
    /// Its image has a health check that is not switched off.
    pub has_check: bool,
    /// A readiness probe other than that check says when it can be relied on.
    pub has_readiness: bool,
    /// Image as given at creation.
    pub image: String,
}

/// What is in the name of an old container that was set aside when another one took its place.
pub const ASIDE: &str = ".lifeboat-old-";

/// The app that a container with these labels belongs to.
#[must_use]
pub fn app_of(labels: &std::collections::BTreeMap<String, String>, name: &str) -> String {
    [label::COPY, label::APP, label::PROJECT, label::STACK]
        .iter()
        .find_map(|key| label::get(labels, key))
        .unwrap_or(name)
        .to_owned()
}

impl Facts {
    /// From a container as it was inspected.
    #[must_use]
    pub fn of(container: &Container, heal_all: bool, settings: &Settings) -> Self {
        let probes = probe::read(container, settings);
        let raw = &container.raw;
        let config = &raw["Config"];
        let policy = Policy::of(raw);
        let check = config["Healthcheck"]["Test"].as_array();
        let check = check.and_then(|test| test.first()).and_then(Value::as_str);
        Self {
            id: container.id.clone(),
            name: container.name.clone(),
            app: app_of(&container.labels, &container.name),
            slot: Slot::of(&container.labels),
            policy,
            rules: rules(container, policy, heal_all, &probes),
            has_readiness: probes
                .readiness
                .as_ref()
                .is_some_and(|p| p.check.value != Check::Docker),
            needs: needs(container),
            auto_remove: container.auto_remove,
            stop_signal: signal(config["StopSignal"].as_str().unwrap_or_default()),
            stop_grace: config["StopTimeout"].as_u64().unwrap_or(10),
            has_check: check.is_some_and(|word| word != "NONE"),
            image: container.image_ref.clone(),
        }
    }

    /// The containers whose namespaces it shares, as it names them.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.needs
            .iter()
            .filter(|need| need.namespace)
            .map(|need| need.on.as_str())
    }
}

/// The rules, with what is wrong with the probes' labels among the findings.
fn rules(container: &Container, policy: Policy, heal_all: bool, probes: &Probes) -> Rules {
    let mut rules = Rules::of(&container.labels, policy, heal_all);
    rules.replicas = Replicas::of(container, &mut rules.findings);
    if container.name.contains(ASIDE) {
        // Its labels are those of the one that took its place.
        rules.set_aside();
    }
    for finding in &probes.findings {
        let known = rules
            .findings
            .iter()
            .any(|known| known.contains(&format!("{} ", finding.at)));
        if !known {
            rules
                .findings
                .push(format!("{}: {}", finding.at, finding.what));
        }
    }
    rules
}

fn needs(container: &Container) -> Vec<Need> {
    let host = &container.raw["HostConfig"];
    let shared: Vec<&str> = ["NetworkMode", "PidMode", "IpcMode"]
        .iter()
        .filter_map(|key| host[key].as_str()?.strip_prefix("container:"))
        .collect();
    let mut found: Vec<Need> = Vec::new();
    for on in &container.refers_to {
        found.push(Need {
            on: on.clone(),
            condition: NeedCondition::Started,
            restart: false,
            namespace: shared.contains(&on.as_str()),
        });
    }
    for entry in label::list(&container.labels, label::DEPENDS_ON) {
        let (service, condition, restart) = depends_on(entry);
        let condition = match condition {
            Condition::Started => NeedCondition::Started,
            Condition::Healthy => NeedCondition::Ready,
            Condition::CompletedSuccessfully => NeedCondition::Completed,
        };
        found.push(Need {
            on: service.to_owned(),
            condition,
            restart,
            namespace: false,
        });
    }
    for key in [label::LIFEBOAT_DEPENDS_ON, label::WATCHTOWER_DEPENDS_ON] {
        for on in label::list(&container.labels, key) {
            found.push(Need {
                on: on.to_owned(),
                condition: NeedCondition::Started,
                restart: false,
                namespace: false,
            });
        }
    }
    found
}

/// The number of a signal as definitions write it; 15 where nothing is said.
#[must_use]
pub fn signal(text: &str) -> u32 {
    const NAMES: [(&str, u32); 10] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
        ("PWR", 30),
    ];
    if let Ok(number) = text.parse() {
        return number;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN+") {
        return rest.parse().map_or(15, |n: u32| 34 + n);
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(15, |(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn read_from_an_inspect_answer() {
        let labels = [
            (label::PROJECT, "shop"),
            (label::SERVICE, "web"),
            (label::NUMBER, "1"),
            (label::DEPENDS_ON, "db:service_healthy:true,cache"),
        ];
        let container = Container {
            id: "ab".into(),
            name: "shop-web-1".into(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            refers_to: vec!["vpn".into(), "data".into()],
            raw: json!({
                "Config": {"StopSignal": "SIGQUIT", "StopTimeout": 30, "Healthcheck": {"Test": ["CMD", "true"]}},
                "HostConfig": {"NetworkMode": "container:vpn", "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
            }),
            ..Container::default()
        };
        let facts = Facts::of(&container, false, &Settings::default());
        assert_eq!(
            (facts.app.as_str(), facts.policy),
            ("shop", Policy::OnFailure(3))
        );
        assert_eq!(
            (facts.stop_signal, facts.stop_grace, facts.has_check),
            (3, 30, true)
        );
        assert_eq!(facts.namespaces().collect::<Vec<_>>(), ["vpn"]);
        let db = &facts.needs[2];
        assert_eq!(
            (db.on.as_str(), db.condition, db.restart),
            ("db", NeedCondition::Ready, true)
        );
        assert!(
            facts.needs[3].restart,
            "what Compose assumed before it wrote the word"
        );
    }

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in [
            ("", 15),
            ("SIGINT", 2),
            ("quit", 3),
            ("9", 9),
            ("SIGRTMIN+3", 37),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }
}
