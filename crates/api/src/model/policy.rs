//! Policies.

use std::collections::BTreeMap;

use lifeboat_plan::policy::{self, Wishes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{mask, problem::Problem};

/// A value, and who says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Value {
    /// The value, as a label would have it.
    pub value: String,
    /// Who says it: `label lifeboat.rpo on shop-db-1`, `API`, `default`, …
    pub by: String,
}

/// What holds for one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// `site/host/app`.
    pub app: String,
    /// Whether it is protected.
    pub protected: bool,
    /// Values by name: `protect`, `rpo`, `rto`, `retain`, `consistency`, `window`, `schedule`, `priority`.
    pub values: BTreeMap<String, Value>,
    /// What the API set, whether it holds or not.
    pub set: Option<PolicyChange>,
    /// What cannot be read, contradicts or cannot be kept.
    pub notes: Vec<String>,
}

impl Policy {
    pub(crate) fn of(app: &str, policy: &policy::Policy, set: Option<Wishes>, all: bool) -> Self {
        let rows = policy.rows().into_iter();
        let values = rows.map(|(name, value, origin)| {
            let by = mask::unless(all, &origin.to_string());
            (name.to_owned(), Value { value, by })
        });
        let notes = policy.notes.iter();
        Self {
            app: app.to_owned(),
            protected: policy.protect.value,
            values: values.collect(),
            set: set.as_ref().and_then(PolicyChange::of),
            notes: notes.map(|note| mask::unless(all, &note.text)).collect(),
        }
    }
}

/// What is set for an app, whole: what is not in it is not set any more. Written as labels are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyChange {
    /// Whether it is protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect: Option<bool>,
    /// Recovery point objective: `15m`, `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo: Option<String>,
    /// Recovery time objective: `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto: Option<String>,
    /// What is kept: `7d,4w,12m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<String>,
    /// `live`, `crash` or `application`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<String>,
    /// When a capture may begin: `22:00-06:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Fixed times, as cron has them: `0 3 * * *`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// `low`, `normal`, `high` or a number from -100 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
}

impl PolicyChange {
    fn of(wishes: &Wishes) -> Option<Self> {
        serde_json::from_value(serde_json::to_value(wishes).ok()?).ok()
    }

    /// As the policies have it.
    ///
    /// # Errors
    /// A value that cannot be read, or none at all.
    pub fn wishes(&self) -> Result<Wishes, Problem> {
        let unreadable = |why: serde_json::Error| Problem::bad(why.to_string());
        let wishes: Wishes = serde_json::to_value(self)
            .and_then(serde_json::from_value)
            .map_err(unreadable)?;
        if wishes == Wishes::default() {
            return Err(Problem::bad(
                "nothing is set: give at least one value, or DELETE what the API set",
            ));
        }
        Ok(wishes)
    }
}
