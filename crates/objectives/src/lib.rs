//! Objectives kept without anyone watching: policies of all apps, captures started in time, records of all jobs, alerts
//! before an RPO is missed, figures for Prometheus.
//!
//! Decisions are [`lifeboat_plan::schedule`]'s and [`lifeboat_plan::policy`]'s, which do no I/O; this crate brings them
//! what happens and does what they say.
//!
//! | owner | thread | owns |
//! | --- | --- | --- |
//! | [`Keeper`] | `objectives` | the schedule, the records, what people were told |
//! | `follow` | `objectives-look` | the engine's events; looks at the engine after each, and every 30 s |
//! | `run` | `objectives-job`, one a job | the process of a job |
//! | `serve` | `objectives-metrics` | the loopback address for figures, where one is asked for |
//!
//! **Jobs are processes** (see [`process`]): `lifeboat backup shop`, as a person would type it.
//!
//! **Crashes.** A record is written before its job starts. Whoever starts later closes what is not over: a job whose
//! process is no more by what its output says, or as interrupted. One whose process still runs (it outlives its agent) is
//! watched until it ends. Lost records are made again from the vault's points.

pub mod commands;
mod digest;
mod error;
mod flow;
mod follow;
mod keeper;
pub mod metrics;
mod outbox;
pub mod policies;
pub mod process;
pub mod progress;
mod records;
pub mod report;
mod results;
mod run;
mod serve;
mod settings;
mod traces;
mod trying;
mod view;
mod wishes;

pub use digest::Digest;
pub use error::{Error, Result};
pub use flow::Flow;
pub use keeper::{Connect, Handle, Keeper, Options, Refused};
pub use outbox::sentence;
pub use records::Records;
pub use results::Said;
pub use settings::Settings;
pub use traces::Collector;
pub use trying::try_targets;
pub use view::{AppView, View};
pub use wishes::set_by_api;
