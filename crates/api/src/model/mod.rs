//! What goes over the wire. Types of its own, so that the inside can change without breaking anybody; what is not for everybody is
//! left out where they are made. Times are milliseconds since 1970, lengths of time milliseconds.

mod about;
mod event;
mod job;
mod order;
mod page;
mod point;
mod policy;
mod status;

pub use about::{About, Reach};
pub use event::Event;
pub use job::{Job, JobState, Phase};
pub use order::{
    BackupWanted, CheckWanted, CopyWanted, EstimateWanted, ForgetWanted, InterruptedWanted, Keep,
    Maps, Mend, NothingMore, PointsWanted, PruneWanted, RegistryCheckWanted, RegistryForgetWanted,
    RegistryRestoreWanted, RegistryWanted, RemoveCopyWanted, RepairWanted, RestoreWanted, Wanted,
};
pub use page::{Page, Paging};
pub use point::{Point, points};
pub use policy::{Policy, PolicyChange, Value};
pub use status::{App, Level, ObjectiveState, Objectives, Row, Status, Trouble, UnderWay};

pub(crate) use status::app;
