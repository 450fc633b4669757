//! Long lists in pages.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

/// The longest page, and one where nothing is said.
const MOST: usize = 1000;
const DEFAULT: usize = 100;

/// Which page is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A page.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The cursor of the next one; none: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paging {
    /// How many are wanted.
    ///
    /// # Errors
    /// None, or too many.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(DEFAULT) {
            limit @ 1..=MOST => Ok(limit),
            limit => Err(Problem::bad(format!(
                "limit={limit} is not between 1 and {MOST}"
            ))),
        }
    }

    /// The cursor as a number.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn number(&self) -> Result<Option<u64>, Problem> {
        let cursor = self.cursor.as_deref();
        cursor
            .map(|cursor| {
                cursor.parse().map_err(|_| {
                    Problem::bad("this cursor is not one that a page before gave as `next`")
                })
            })
            .transpose()
    }
}

impl<T> Page<T> {
    /// A page of what was read with one more than the limit; `cursor` says where the next one goes on.
    pub fn of(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}
