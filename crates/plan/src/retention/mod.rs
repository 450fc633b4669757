//! Which recovery points stay and which may be forgotten. Pure: points come in as values, verdicts go out.
//!
//! [`policy`] is restic's `--keep-*`, exactly. [`judge()`] puts what it lacks around it, all of which only ever keeps more:
//!
//! - what is protected (a pin, rustic's `delete`) stays, and is counted as restic would;
//! - the newest complete point of each line (an app, or a host and its paths) stays;
//! - an app that is gone keeps all it has: its newest point is far older than those of others;
//! - an incomplete point never takes the place of a complete one;
//! - a point whose time contradicts the time at which the store got it takes nobody's place.
//!
//! Policies count from a line's own newest point, never from now: a vault that nobody writes to any more loses nothing.

pub mod judge;
pub mod moment;
pub mod policy;
pub mod span;

pub use judge::{GroupBy, Judged, Options, Point, Reason, Verdict, judge};
pub use moment::Moment;
pub use policy::{Count, Kept, Policy, Rule, apply};
pub use span::Span;

#[cfg(test)]
mod tests;
