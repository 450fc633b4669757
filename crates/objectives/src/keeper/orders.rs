//! Orders: what somebody asked for once. Each is written down before it is acknowledged, and begins in its turn.

use std::io::Write as _;
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use lifeboat_plan::schedule::{Job, Order, Work};

use super::{Loop, Refused, now};
use crate::{commands, process, run::Files};

/// So many run at a time, and so many wait.
const AT_ONCE: usize = 4;
const WAITING: usize = 200;

impl Loop {
    /// Takes an order: once this returns, it is carried out whatever happens to the agent.
    pub(super) fn order(&mut self, order: Order, file: Option<&str>) -> Result<u64, Refused> {
        if self.orders.len() >= WAITING {
            return Err(Refused::Conflict(format!(
                "{WAITING} orders wait already; ask again when some are done"
            )));
        }
        let id = self.scheduler.reserve();
        let unkept = |why: String| {
            tracing::error!("an order cannot be written down: {why}");
            Refused::Conflict("the order cannot be written down; the agent's log says why".into())
        };
        if let Some(content) = file {
            let given = Files::of(&self.folder(), id).given;
            durable(&given, content).map_err(|why| unkept(why.to_string()))?;
        }
        let job = Job::new(id, Work::Order(order.clone()), process::own(), now());
        self.records
            .put(&job)
            .map_err(|why| unkept(why.to_string()))?;
        self.orders.push((id, order));
        self.begin_orders();
        Ok(id)
    }

    /// Begins what can: the oldest first, one of a name at a time.
    pub(super) fn begin_orders(&mut self) {
        loop {
            let of_order = |job: &&Job| matches!(job.work, Work::Order(_));
            let running = self.jobs.values().filter(of_order).count();
            let free = |order: &Order| {
                let about = order.about.as_deref();
                let mut jobs = self.jobs.values();
                let alone = about.is_none() || !jobs.any(|job| commands::about(&job.work) == about);
                alone && (order.copy.is_none() || self.knows_settings)
            };
            let next = self.orders.iter().position(|(_, order)| free(order));
            let Some(next) = next.filter(|_| running < AT_ONCE) else {
                return;
            };
            let (id, order) = self.orders.remove(next);
            self.start(id, Work::Order(order));
        }
    }
}

fn durable(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = fs_err::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
